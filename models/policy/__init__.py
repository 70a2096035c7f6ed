"""Policies: their content, how their documents are read, and which one serves a request."""

from __future__ import annotations

from models.policy.caching import AnswerCache
from models.policy.content import Policy, PolicyModel, policy_schema
from models.policy.learned import Brings, EscalationCheck, LearnedOrder
from models.policy.levels import Complexity
from models.policy.parsing import parse_policy, parse_policy_text
from models.policy.routing import PolicyChoice, claim_problems, policy_for

__all__ = [
    "AnswerCache",
    "Brings",
    "Complexity",
    "EscalationCheck",
    "LearnedOrder",
    "Policy",
    "PolicyChoice",
    "PolicyModel",
    "claim_problems",
    "parse_policy",
    "parse_policy_text",
    "policy_for",
    "policy_schema",
]
