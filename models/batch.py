"""The batch: many requests in one file, grouped where one choice of model serves all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from models.classification import Classification
from models.features import RequestFeatures
from models.money import ZERO_USD
from models.policy import Policy
from models.request import RoutingRequest
from models.result import Status

INVALID = "invalid"
LINE_BYTES_MAX = 16 * 1024 * 1024
# What does not shape an answer.
_NOT_THE_ANSWER = {"idempotency_key", "metadata", "priority", "task_id", "step", "deadline_s"}
_SIZE_MIN = 64


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One line of a batch file: a request, or what is wrong with it.

    `answer_hash` is equal for lines that ask the same of the same worker's money under the same
    key, None for a line that cannot be read.
    """

    number: int
    request: RoutingRequest | None
    answer_hash: str | None
    problem: str | None


def parse_line(number: int, text: str | bytes, *, capped: bool = False) -> BatchLine:
    """Return what a line says; lines of a `capped` batch have no task of their own."""
    try:
        if len(text) > LINE_BYTES_MAX:
            raise ValueError(f"the line is longer than {LINE_BYTES_MAX} bytes")
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("the line is not a JSON object")
        request = RoutingRequest.model_validate(document)
        if capped and request.task_id is not None:
            raise ValueError("task_id: a batch with a limit of its own is one task itself")
    except ValidationError as error:
        return BatchLine(number, None, None, _problems(error))
    except json.JSONDecodeError as error:
        return BatchLine(number, None, None, f"not JSON: {error}")
    except (ValueError, RecursionError) as error:
        return BatchLine(number, None, None, str(error) or type(error).__name__)
    return BatchLine(number, request, answer_hash(request), None)


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'request'}:"
        f" {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_input=False)
    )


def answer_hash(request: RoutingRequest) -> str:
    """Return the SHA-256 of what shapes the answer, who pays, and the caller's own key."""
    body = request.model_dump(mode="json", exclude=_NOT_THE_ANSWER)
    body["caller_key"] = request.caller_key()
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class GroupKey(NamedTuple):
    """What lines have in common for which one selection is made."""

    policy: str
    policy_version: int
    task_type: str
    complexity: str
    task_id: UUID | None
    features: RequestFeatures


def group_key(
    policy: Policy,
    classification: Classification,
    features: RequestFeatures,
    task_id: UUID | None,
) -> GroupKey:
    """Return the group of a line.

    Lines of one group ask for the same abilities, limits and payers, and their prompts are of one
    size within a factor of two. The key's features are those of the largest possible line, so that
    a hold made for them bounds every line of the group.
    """
    size = _next_power_of_two(features.text_tokens_bound)
    largest = replace(features, text_tokens_bound=size, text_tokens_estimate=-(-size // 4))
    return GroupKey(
        policy=policy.name,
        policy_version=policy.version,
        task_type=classification.task_type,
        complexity=classification.complexity.value,
        task_id=task_id,
        features=largest,
    )


def _next_power_of_two(number: int) -> int:
    return max(_SIZE_MIN, 1 << max(0, number - 1).bit_length())


@dataclass(frozen=True, slots=True)
class Batch:
    """A stored batch: which file it is, and the limits that hold for all of it."""

    batch_id: UUID
    name: str
    lines: int
    max_cost_usd: Decimal | None
    deadline_at: datetime | None
    concurrency: int

    def line_key(self, number: int) -> str:
        """Return the idempotency key of a line without one of its own."""
        return f"batch:{self.batch_id}/{number}"


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One line to be routed; `key` finds the decision that an earlier run began."""

    number: int
    request: RoutingRequest
    key: str


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """How far a batch is: lines by status, what they cost, how many were duplicates.

    Duplicates are among the lines of their status; they cost nothing.
    """

    lines: int
    by_status: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    cost_usd: Decimal = ZERO_USD

    @property
    def ended(self) -> int:
        """How many lines have their result."""
        return sum(count for status, count in self.by_status.items() if status != "pending")

    @property
    def share(self) -> float:
        """How much is done, between 0 and 1."""
        return self.ended / self.lines if self.lines else 1.0

    def exit_code(self) -> int:
        """Return the worst that happened: failed 1, refused 3, waiting 4, bad lines 2, else 0."""
        codes = {
            Status.FAILED.value: 1,
            "pending": 1,
            Status.REJECTED.value: 3,
            Status.PARKED.value: 4,
            Status.AWAITING_APPROVAL.value: 4,
            INVALID: 2,
        }
        return next((code for status, code in codes.items() if self.by_status.get(status)), 0)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as a JSON document; money stays Decimal for the printer."""
        return {
            "lines": self.lines,
            "ended": self.ended,
            "by_status": dict(sorted(self.by_status.items())),
            "duplicates": self.duplicates,
            "cost_usd": self.cost_usd,
        }
