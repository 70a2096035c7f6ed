"""Faults on demand: which request fails, how, and how often."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

CHAT_PATH = "/chat/completions"
BATCH_PATH = "/batches"


class Fault(StrEnum):
    """Every way to fail. Refusals are never charged; the others are, unless the comment differs.

    `FaultRule.charged` overrides both.
    """

    RATE_LIMITED = "rate_limited"  # 429 of the upstream's shared pool
    RATE_LIMITED_DAILY = "rate_limited_daily"  # 429 of the account's own daily limit
    RATE_LIMITED_KEY = "rate_limited_key"  # 429 of the key's own limit
    IN_FLIGHT = "in_flight"  # 402, transient
    CAN_ONLY_AFFORD = "can_only_afford"  # 402, `afford` tokens
    WEIGHT_EXCEEDS_BUDGET = "weight_exceeds_budget"  # 402, not transient
    PROMPT_LIMIT = "prompt_limit"  # 402, prompt too dear
    OUT_OF_CREDITS = "out_of_credits"  # 402
    KEY_LIMIT = "key_limit"  # 402 (403 with `status`)
    GUARDRAIL_BUDGET = "guardrail_budget"  # 403
    WORKSPACE_BUDGET = "workspace_budget"  # 403
    BAD_REQUEST = "bad_request"
    UNPROCESSABLE = "unprocessable"
    MODEL_NOT_FOUND = "model_not_found"  # 400
    NO_ENDPOINTS = "no_endpoints"  # 404
    CONTEXT_LENGTH = "context_length"  # 400
    UNAUTHORIZED = "unauthorized"
    PERMISSION_DENIED = "permission_denied"
    MODERATION = "moderation"  # 403
    TIMEOUT = "timeout"  # 408
    TOO_LARGE = "too_large"  # 413
    SERVER_ERROR = "server_error"  # 500
    BAD_GATEWAY = "bad_gateway"  # 502
    HTML_BAD_GATEWAY = "html_bad_gateway"  # 502 of an edge, with a page for people
    UNAVAILABLE = "unavailable"  # 503
    GATEWAY_TIMEOUT = "gateway_timeout"  # 504
    EDGE_TIMEOUT = "edge_timeout"  # 524
    OVERLOADED = "overloaded"  # 529
    REDIRECT = "redirect"  # 307 to `location`

    HANG = "hang"  # no headers for `seconds`
    HANG_MID_BODY = "hang_mid_body"  # stops after `at` of the body
    CUT = "cut"  # closes the connection after `at` of the body
    NO_DONE = "no_done"  # a stream that ends without finish_reason, usage and [DONE]
    MID_STREAM_ERROR = "mid_stream_error"  # stream: error chunk; plain: as error_in_choice; waived
    MALFORMED_JSON = "malformed_json"
    WRONG_TYPES = "wrong_types"
    ERROR_IN_200 = "error_in_200"  # top level; waived
    ERROR_IN_CHOICE = "error_in_choice"  # choices[0].error and usage; waived
    EMPTY_ANSWER = "empty_answer"  # waived (zero-completion insurance)
    COST_MULTIPLIED = "cost_multiplied"  # the bill is `multiplier` times the list price
    NEGATIVE_COST = "negative_cost"  # states a negative cost, charges the true one
    NO_USAGE = "no_usage"
    COST_STRING = "cost_string"
    HUGE_BODY = "huge_body"  # a content of `size` bytes
    BYOK = "byok"
    OTHER_MODEL = "other_model"  # `served_model`, or the dated slug of the same model
    SLOW_DRIP = "slow_drip"  # the body arrives over `seconds`
    BATCH_EXPIRES = "batch_expires"  # on /batches: expires when `at` of its items are answered


REFUSALS = frozenset(list(Fault)[: list(Fault).index(Fault.HANG)])
WAIVED = frozenset(
    {Fault.ERROR_IN_200, Fault.ERROR_IN_CHOICE, Fault.MID_STREAM_ERROR, Fault.EMPTY_ANSWER}
)


class FaultMatch(BaseModel):
    """Which requests a rule is for; an absent field matches everything.

    `path` is the path after `/api/v1`; `header` maps names to exact values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    contains: str | None = None
    header: Mapping[str, str] = {}
    stream: bool | None = None
    path: str = CHAT_PATH


class FaultRule(BaseModel):
    """One fault, which requests meet it, and how often: after `after` matches, `times` times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault
    match: FaultMatch = FaultMatch()
    times: int | None = Field(default=None, ge=1)
    after: int = Field(default=0, ge=0)
    probability: float = Field(default=1.0, ge=0, le=1)
    charged: bool | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    message: str | None = None
    retry_after: int | str | None = None  # a string is sent as it is, garbage included
    retry_after_date_s: int | None = None  # an HTTP date this many seconds ahead
    afford: int = Field(default=64, ge=0)
    seconds: float = Field(default=3600, ge=0)
    at: float = Field(default=0.5, ge=0, le=1)
    multiplier: Decimal = Field(default=Decimal(3), gt=0)
    size: int = Field(default=20_000_000, ge=1, le=500_000_000)
    location: str = "http://elsewhere.invalid/api/v1/chat/completions"
    served_model: str | None = None

    @model_validator(mode="after")
    def fits_its_path(self) -> FaultRule:
        """Refuse what other paths than chat cannot do: they only refuse or hang."""
        elsewhere = self.match.path != CHAT_PATH
        if self.fault is Fault.BATCH_EXPIRES:
            if self.match.path != BATCH_PATH:
                raise ValueError(f"{self.fault} exists on {BATCH_PATH} only")
        elif elsewhere and self.fault not in REFUSALS and self.fault is not Fault.HANG:
            raise ValueError(f"{self.fault} exists on {CHAT_PATH} only")
        return self


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule looks at."""

    path: str
    headers: Mapping[str, str]
    model_id: str = ""
    text: str = ""
    stream: bool = False


def matches(match: FaultMatch, subject: Subject) -> bool:
    """Whether every given field of the match agrees; a model matches with or without variant."""
    if match.path != subject.path or match.stream not in (None, subject.stream):
        return False
    if match.model not in (None, subject.model_id, subject.model_id.partition(":")[0]):
        return False
    if match.contains is not None and match.contains not in subject.text:
        return False
    return all(subject.headers.get(name.lower()) == value for name, value in match.header.items())


@dataclass(slots=True)
class Standing:
    """A rule in force and how often it matched and fired."""

    number: int
    rule: FaultRule
    matched: int = 0
    fired: int = 0


class FaultBoard:
    """The rules in force, oldest first; the first that fires decides."""

    def __init__(self, rules: Iterable[FaultRule] = (), *, seed: int = 0) -> None:
        self.seed = seed
        self.standings: list[Standing] = []
        self.added = 0
        for rule in rules:
            self.add(rule)

    def add(self, rule: FaultRule) -> int:
        """Put a rule in force and return its number."""
        self.added += 1
        self.standings.append(Standing(self.added, rule))
        return self.added

    def clear(self, number: int | None = None) -> int:
        """Remove one rule, or all of them; return how many went."""
        kept = [s for s in self.standings if number is not None and s.number != number]
        removed = len(self.standings) - len(kept)
        self.standings = kept
        return removed

    def fire(self, subject: Subject) -> FaultRule | None:
        """Return the fault that this request meets, and count it."""
        for standing in self.standings:
            rule = standing.rule
            if not matches(rule.match, subject):
                continue
            standing.matched += 1
            spent = rule.times is not None and standing.fired >= rule.times
            if spent or standing.matched <= rule.after or not self._drawn(standing):
                continue
            standing.fired += 1
            return rule
        return None

    def _drawn(self, standing: Standing) -> bool:
        if standing.rule.probability >= 1:
            return True
        label = f"{self.seed}:{standing.number}:{standing.matched}".encode()
        digest = hashlib.blake2b(label, digest_size=8).digest()
        return int.from_bytes(digest) / 2**64 < standing.rule.probability
