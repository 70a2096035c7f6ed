"""The policy: which models serve which task types, in which order, at which cost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from models.money import ZERO_USD
from models.policy.caching import AnswerCache
from models.policy.hedge import Hedge
from models.policy.learned import EscalationCheck, LearnedOrder, learned_order
from models.policy.levels import Complexity
from models.ratio import Ratio
from models.request import OnExhausted
from models.usd import Usd

MODELS_MAX = 20
# The seed writes claude-3-5-sonnet as Anthropic does; OpenRouter's id has a point.
_DASHED_VERSION = re.compile(r"(?<=^anthropic/claude-)(\d)-(\d)(?=-[a-z])")
PolicyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]
TypeName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
ModelId = Annotated[
    str,
    StringConstraints(pattern=r"^[~@]?[A-Za-z0-9][\w.-]*/[~]?[A-Za-z0-9][\w.:-]*$", max_length=200),
]


class PolicyModel(BaseModel):
    """One model of a policy: an OpenRouter id, or the seed's pair of provider and model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str | None = Field(None, description="The id's part before the slash")
    model: ModelId = Field(description='OpenRouter id, such as "openai/gpt-4o-mini"')
    priority: int = Field(ge=1, le=1000, description="1 is asked first")

    @model_validator(mode="before")
    @classmethod
    def _join_provider_and_model(cls, value: Any) -> Any:  # whatever the document holds here
        if not isinstance(value, dict) or not isinstance(value.get("model"), str):
            return value
        provider, model = value.get("provider"), value["model"]
        if "/" not in model and isinstance(provider, str):
            model = f"{provider}/{model}"
        if "/" not in model:
            raise ValueError(f'{model!r} needs a provider: "provider/model" or a provider field')
        model = _DASHED_VERSION.sub(r"\1.\2", model)
        return {"provider": model.partition("/")[0], **_known(value), "model": model}

    @model_validator(mode="after")
    def _provider_is_that_of_the_id(self) -> PolicyModel:
        if self.provider != self.model.partition("/")[0]:
            raise ValueError(f"provider {self.provider!r} is not that of {self.model!r}")
        return self

    @property
    def model_id(self) -> str:
        """OpenRouter's id of the model."""
        return self.model


def _known(value: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if (name, part) != ("provider", None)}


class Policy(BaseModel):
    """A routing policy (docs/interface.md, "policy"); content is by person, version by server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PolicyName
    description: str = Field("", max_length=2000)
    models: tuple[PolicyModel, ...] = Field(min_length=1, max_length=MODELS_MAX)
    max_cost_per_task: Usd = Field(description="Most that one request may cost, in USD")
    max_tokens: int = Field(4000, ge=1, le=1_000_000, description="Longest answer, in tokens")
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    task_types: tuple[TypeName, ...] = Field((), max_length=200, description="Types served")
    complexity: Complexity = Field(Complexity.MODERATE, description="What the policy expects")
    fallbacks: Literal["no_dearer", "any"] = Field(
        "no_dearer", description="May a fallback cost more than the model that failed?"
    )
    allow_downgrade_by_simplicity: bool = True
    pause_above: Ratio | None = Field(
        None, description="Share of any budget above which expensive models pause"
    )
    expensive_above_usd: Usd | None = Field(
        None, description="Worst case of one call from which a model counts as expensive"
    )
    required_abilities: tuple[TypeName, ...] = Field((), max_length=20)
    timeout_s: float = Field(120.0, gt=0, le=3600, allow_inf_nan=False)
    limit_wait_s: float = Field(
        60.0, ge=0, le=3600, allow_inf_nan=False, description="Longest wait under a rate limit"
    )
    hedge: Hedge | None = Field(None, description="Ask a second model when the first is slow")
    on_exhausted: OnExhausted = OnExhausted.DOWNGRADE
    approval_above_usd: Usd | None = None
    store_prompts: bool = False
    cache: AnswerCache | None = Field(
        None, description="Give stored answers to equal requests; absent: never"
    )
    learning: Literal["on", "off"] = "on"
    success_value_usd: Usd | None = Field(None, description="What a success is worth, in USD")
    escalation: Literal["off", "suggested", "on"] = Field(
        "off", description="Cheap first, check the answer, then stronger; suggested only says so"
    )
    escalation_check: EscalationCheck = Field(
        "accept", description="agreement: two cheap models are asked where nothing is checked"
    )
    escalation_max_s: float | None = Field(
        None, gt=0, le=3600, allow_inf_nan=False, description="Longest time of a whole chain"
    )
    latency_ms_max: int | None = Field(
        None, ge=1, le=3_600_000, description="Longest mean latency of a model that comes first"
    )
    exploration: float = Field(
        0.0, ge=0, le=0.5, description="Share of requests that another good model gets first"
    )
    orders: tuple[LearnedOrder, ...] = Field(
        (), max_length=400, description="Learned orders by kind of work, set by the server"
    )
    is_active: bool = True
    version: int = Field(1, ge=1, description="Set by the server")
    canary_share: float | None = Field(
        None, gt=0, lt=1, allow_inf_nan=False, description="Of a version on trial; by the server"
    )

    @field_validator("models")
    @classmethod
    def _models_are_distinct(cls, models: tuple[PolicyModel, ...]) -> tuple[PolicyModel, ...]:
        repeated = _repeated(entry.model_id for entry in models)
        if repeated:
            raise ValueError(f"names {', '.join(repeated)} more than once")
        repeated = _repeated(str(entry.priority) for entry in models)
        if repeated:
            raise ValueError(f"gives priority {', '.join(repeated)} to more than one model")
        return models

    @field_validator("task_types", "required_abilities")
    @classmethod
    def _names_are_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        repeated = _repeated(names)
        if repeated:
            raise ValueError(f"names {', '.join(repeated)} more than once")
        return names

    @field_validator("max_cost_per_task")
    @classmethod
    def _cost_is_positive(cls, amount: Decimal) -> Decimal:
        if amount <= ZERO_USD:
            raise ValueError("must be above 0: nothing could ever be routed")
        return amount

    @model_validator(mode="after")
    def _pause_says_what_is_expensive(self) -> Policy:
        if (self.pause_above is None) != (self.expensive_above_usd is None):
            raise ValueError("pause_above and expensive_above_usd go together: give both or none")
        return self

    def ordered_models(self) -> list[PolicyModel]:
        """Return the models, first choice first."""
        return sorted(self.models, key=lambda entry: entry.priority)

    def order_for(self, task_type: str, complexity: Complexity) -> LearnedOrder | None:
        """Return the learned order that serves such a request; None where nothing is learned."""
        return self._learned(task_type, complexity, None)

    def chain_order_for(
        self, task_type: str, complexity: Complexity, check: EscalationCheck
    ) -> LearnedOrder | None:
        """Return the learned chain of such requests with such a check; None: nothing is learned.

        A chain of one model says that none pays.
        """
        return self._learned(task_type, complexity, check)

    def _learned(
        self, task_type: str, complexity: Complexity, check: EscalationCheck | None
    ) -> LearnedOrder | None:
        if self.learning == "off" or not self.orders:
            return None
        return learned_order(self.orders, task_type, complexity, check)

    def stored(self) -> dict[str, Any]:
        """Return the document to store: everything but what the server keeps beside it."""
        return self.model_dump(mode="json", exclude={"version", "is_active", "canary_share"})


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]  # add returns None on purpose


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy document."""
    return Policy.model_json_schema()
