"""The request: what a caller asks Switchyard to route."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from models.usd import Usd

PROMPT_BYTES_MAX = 8 * 1024 * 1024
Messages = list[dict[str, Any]]  # the wire's shape, passed on as it is
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class OnExhausted(StrEnum):
    """What happens to a request that does not fit the money left."""

    DOWNGRADE = "downgrade"
    PARK = "park"
    REJECT = "reject"


class Accept(BaseModel):
    """Checks of the answer; a paid answer that fails one counts as a failed attempt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    json_schema: dict[str, Any] | None = Field(None, description="JSON Schema the answer must fit")
    regex: str | None = Field(None, max_length=1000, description="Pattern the answer must contain")
    min_chars: int | None = Field(None, ge=1, description="Least length of the answer")


_NOT_IN_FINGERPRINT = {"idempotency_key", "metadata", "priority", "tenant"}


def _in_order(schema: dict[str, Any]) -> None:
    """Number the fields for Prefect's form: its database forgets the order of a JSON object."""
    for position, part in enumerate(schema["properties"].values()):
        part["position"] = position


class RoutingRequest(BaseModel):
    """One request for a model's answer. Exactly one of `prompt` and `messages` is given."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_in_order)

    prompt: str | None = Field(None, description="The text to answer")
    messages: list[dict[str, Any]] | None = Field(None, description="Chat messages, OpenAI shape")
    task_type: Name | None = Field(None, description="fix_bug, simple_query, ...; else inferred")
    policy: Name | None = Field(None, description="Policy name; else chosen by task type")
    model: Name | None = Field(None, description="Ask this model id only, past the policy's list")
    worker_id: Name | None = Field(None, description="The worker that pays from its own budgets")
    tenant: Name | None = Field(
        None, description="Whose cached answers it may get; the API sets it to the key's id"
    )
    task_id: UUID | None = Field(None, description="The governance task this belongs to")
    step: Name | None = Field(None, description="With task_id: an idempotency key")
    idempotency_key: Name | None = Field(None, description="Same key, same answer, paid once")
    max_cost_usd: Usd | None = Field(None, description="Most this request may cost, in USD")
    max_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="Most tokens of the answer; less where money is short"
    )
    temperature: float | None = Field(None, ge=0, le=2, description="0 to 2; else the policy's")
    tools: list[dict[str, Any]] | None = Field(None, description="Tools, OpenAI shape")
    tool_choice: str | dict[str, Any] | None = Field(None, description="As in the OpenAI API")
    response_format: dict[str, Any] | None = Field(None, description="As in the OpenAI API")
    accept: Accept | None = Field(None, description="Checks that the answer must pass")
    deadline_s: float | None = Field(None, gt=0, le=86_400, description="Seconds from arrival")
    priority: int = Field(0, ge=-1000, le=1000, description="Parked work resumes highest first")
    on_exhausted: OnExhausted = Field(
        OnExhausted.DOWNGRADE, description="When the money left does not suffice"
    )
    approval_above_usd: Usd | None = Field(None, description="Ask a person above this estimate")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Labels of your own, never sent"
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Unknown chat fields, passed to the upstream as they are"
    )

    @field_validator("max_tokens", "temperature", "deadline_s", "priority", mode="before")
    @classmethod
    def _numbers_are_no_truth_values(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("true and false are no numbers")
        return value

    @field_validator("prompt")
    @classmethod
    def _prompt_says_something(cls, prompt: str | None) -> str | None:
        if prompt is not None and not prompt.strip():
            raise ValueError("the prompt is empty")
        return prompt

    @field_validator("messages")
    @classmethod
    def _messages_have_roles(cls, messages: Messages | None) -> Messages | None:
        if messages is not None and (
            not messages or any(not isinstance(m.get("role"), str) for m in messages)
        ):
            raise ValueError("messages needs at least one message, each with a role")
        return messages

    @model_validator(mode="after")
    def _one_source_of_text(self) -> RoutingRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give exactly one of prompt and messages")
        return self

    def chat_messages(self) -> list[dict[str, Any]]:
        """Return the messages to send; a prompt becomes one user message."""
        return (
            self.messages
            if self.messages is not None
            else [{"role": "user", "content": self.prompt}]
        )

    def caller_key(self) -> str | None:
        """Return the caller's idempotency key: its own, or `task_id/step`, else None.

        Each tenant has a space of keys of its own: none meets, or learns of, those of another.
        """
        key = self.idempotency_key
        if key is None and self.task_id is not None and self.step is not None:
            key = f"{self.task_id}/{self.step}"
        return key if key is None or self.tenant is None else f"{self.tenant}/{key}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything that shapes the answer; same key must mean same hash.

        Also of the tenant, where there is one: its keys must not bring another one's answers.
        """
        body = self.model_dump(mode="json", exclude=_NOT_IN_FINGERPRINT)
        if self.tenant is not None:
            body["tenant"] = self.tenant
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


Trace = Literal["flow", "ledger"]
