"""What is believed of a model before it has served one request here: always with its source."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from models.learning.derived_priors import FAMILY_RATES, FAMILY_SOURCE, TIER_RATES
from models.learning.posteriors import Belief, statistic
from models.learning.public_priors import PUBLIC_SCORES
from models.pricing import MTOK, TokenPrice
from models.task_types import TASK_TYPES

# In outcomes. An exam is not this installation's work; a price tier says less, and a recorded
# family of tasks a little more, yet it is other people's prompts.
PUBLIC_WEIGHT, TIER_WEIGHT, FAMILY_WEIGHT = 20.0, 8.0, 20.0
# Prompt and answer of an ordinary request, for a cost before any was paid.
USUAL_PROMPT_TOKENS, USUAL_COMPLETION_TOKENS = 500, 300
NO_SOURCE = "none"


class Prior(NamedTuple):
    """A first estimate of P(success), what it weighs in outcomes, and where it is from."""

    success: float
    weight: float
    source: str


def prior_for(model_id: str, price: TokenPrice | None, task_type: str | None = None) -> Prior:
    """Return a model's prior: recorded for the family of tasks, published, or its price tier's.

    A tier's prior is marked `source: none`: nobody measured this model.
    """
    known = _without_variant(model_id)
    family = FAMILY_RATES.get(known, {}).get(_family(task_type))
    if family is not None:
        return Prior(family, FAMILY_WEIGHT, FAMILY_SOURCE)
    published = PUBLIC_SCORES.get(known)
    if published is not None:
        return Prior(published[0], PUBLIC_WEIGHT, published[1])
    return Prior(_tier_rate(price), TIER_WEIGHT, NO_SOURCE)


def belief_in(
    model_id: str,
    price: TokenPrice | None,
    task_type: str | None = None,
    *,
    prompt_tokens: int = USUAL_PROMPT_TOKENS,
    completion_tokens: int = USUAL_COMPLETION_TOKENS,
) -> Belief:
    """Return the prior with the cost that the list price says, for `Posteriors.estimate`."""
    prior = prior_for(model_id, price, task_type)
    cost = 0.0
    if price is not None:
        usd = price.prompt_usd * prompt_tokens + price.completion_usd * completion_tokens
        cost = statistic(usd + price.request_usd)
    return Belief(prior.success, prior.weight, cost)


def _without_variant(model_id: str) -> str:
    return model_id.partition(":")[0].lstrip("~@")


def _family(task_type: str | None) -> str:
    """Return the family of recorded tasks that a task type is nearest to, "" for none."""
    kind = TASK_TYPES.get(task_type or "")
    return "code" if kind is not None and kind.policy == "code" else ""


def _tier_rate(price: TokenPrice | None) -> float:
    """Return the mean rate of recorded models that cost about as much per completion token."""
    usd_per_mtok = Decimal(0) if price is None else price.completion_usd * MTOK
    return next(rate for below, rate in TIER_RATES if below is None or usd_per_mtok < below)
