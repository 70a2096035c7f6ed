"""Budgets: what the limits are, and what is spent, held and left in a period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StringConstraints,
    ValidationError,
    computed_field,
    field_validator,
    model_validator,
)

from models.errors import InvalidConfiguration
from models.money import plain
from models.ratio import Ratio
from models.usd import Usd

EVERY = "*"
# No control characters, and none that are invisible or turn the direction of a line.
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
SCOPE_KEY_PATTERN = rf"^[^{_HIDDEN}]*[^\s{_HIDDEN}][^{_HIDDEN}]*$"
SignedUsd = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]


class BudgetType(StrEnum):
    """Whose money a budget bounds."""

    GLOBAL = "global"
    POLICY = "policy"
    WORKER = "worker"
    MODEL = "model"
    TASK = "task"


class BudgetPeriod(StrEnum):
    """When a budget starts anew; `once` never does."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    ONCE = "once"


class BudgetMode(StrEnum):
    """What a budget holds for a call: its worst case, or the learned 95 % quantile.

    With `elastic` a budget may be overshot by at most (worst case - quantile) of the calls that
    are in flight together.
    """

    HARD = "hard"
    ELASTIC = "elastic"


class BudgetDefinition(BaseModel):
    """One limit, as `PUT /api/routing/budgets` takes it.

    The scope key `*` is a template: each worker (policy, model, task) gets a balance of its own. A
    definition that names the scope takes the template's place for the same period.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget_type: BudgetType
    scope_key: Annotated[
        str,
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=200, pattern=SCOPE_KEY_PATTERN
        ),
    ] = EVERY
    budget_period: BudgetPeriod
    budget_amount: Usd
    alert_threshold: Ratio = Decimal("0.8")
    time_zone: str = Field("UTC", max_length=64, description="IANA name; says when days begin")
    mode: BudgetMode = BudgetMode.HARD
    is_active: StrictBool = True

    @field_validator("time_zone")
    @classmethod
    def _time_zone_exists(cls, time_zone: str) -> str:
        try:
            return ZoneInfo(time_zone).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{time_zone!r} is not an IANA time zone") from error

    @model_validator(mode="after")
    def _scope_fits_type(self) -> BudgetDefinition:
        if self.budget_type is BudgetType.GLOBAL and self.scope_key != EVERY:
            raise ValueError("a global budget has the scope key '*'")
        if self.budget_type is BudgetType.TASK and self.scope_key != EVERY:
            UUID(self.scope_key)  # a ValueError that says so
        return self


class BudgetState(BaseModel):
    """One budget in its open period, in USD; the document of `GET /api/routing/budgets`.

    `budget_id` is None before the first use.
    """

    model_config = ConfigDict(frozen=True)

    budget_id: UUID | None
    budget_type: BudgetType
    scope_key: str
    budget_period: BudgetPeriod
    budget_amount: Usd
    spent_amount: Usd
    reserved_amount: Usd
    alert_threshold: Ratio
    time_zone: str
    mode: BudgetMode
    period_start: datetime
    period_end: datetime | None
    is_active: bool = True
    alerted_at: datetime | None = None

    @computed_field  # type: ignore[prop-decorator]  # mypy: decorators above property
    @property
    def remaining_amount(self) -> SignedUsd:
        """What may still be held; negative after an overrun."""
        return self.budget_amount - self.spent_amount - self.reserved_amount

    @property
    def name(self) -> str:
        """The budget as people read it: "worker:w1 daily"."""
        return budget_name(self.budget_type, self.scope_key, self.budget_period)

    @property
    def used_share(self) -> Decimal:
        """Spent and held over the amount; 1 where the amount is zero."""
        if self.budget_amount == 0:
            return Decimal(1)
        return (self.spent_amount + self.reserved_amount) / self.budget_amount


@dataclass(frozen=True, slots=True)
class PastPeriod:
    """A period that has ended. `final`: 48 hours ago, with no hold left; it is closed then."""

    budget: str
    amount_usd: Decimal
    spent_usd: Decimal
    held_usd: Decimal
    period_start: datetime
    period_end: datetime
    final: bool


def budget_name(budget_type: str, scope_key: str, budget_period: str) -> str:
    """Return "worker:w1 daily" or "global daily"; the cap of one request is "request limit"."""
    if scope_key.startswith("decision:"):
        return "request limit"
    scope = budget_type if scope_key == EVERY else f"{budget_type}:{scope_key}"
    return f"{scope} {budget_period}"


def parse_budget(document: Mapping[str, object]) -> BudgetDefinition:
    """Return the definition that a document states.

    Raises InvalidConfiguration, one line that names every problem.
    """
    try:
        return BudgetDefinition.model_validate(document)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, part['loc'])) or 'budget'}: {part['msg']}"
            for part in error.errors()
        )
        raise InvalidConfiguration("budget refused: " + "; ".join(problems)) from error
