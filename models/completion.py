"""What an upstream answered, and what it says it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

CostSource = Literal["usage", "catalogue", "generation_api", "key_delta", "assumed_max"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and cost of one answer.

    `prompt_tokens` includes cached and cache-write tokens, `completion_tokens` includes reasoning
    (openrouter.ai/docs, usage accounting, 2026-08-22). `cost_usd` is the true spend, BYOK
    upstream cost included; None when the upstream did not state it.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Decimal | None = None
    is_byok: bool = False

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """One finished answer of one model.

    `model_id` is the one that served, which may differ from the one asked for. `message` is the
    upstream's whole assistant message (tool calls included), as parsed JSON.
    """

    model_id: str
    provider: str | None
    content: str
    message: dict[str, Any]
    finish_reason: str | None
    native_finish_reason: str | None
    usage: Usage | None
    generation_id: str | None
    latency_ms: int
    first_token_ms: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamDelta:
    """One piece of a streamed answer: new text, and the raw delta for pass-through."""

    content: str
    delta: dict[str, Any]
    model_id: str
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """What `GET /generation` knows about a past generation."""

    generation_id: str
    cost_usd: Decimal
    prompt_tokens: int | None
    completion_tokens: int | None
    provider: str | None
    cancelled: bool
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class KeySpend:
    """What `GET /key` says this key has spent, in USD; days, weeks and months are UTC."""

    usage_usd: Decimal
    usage_daily_usd: Decimal
    usage_weekly_usd: Decimal
    usage_monthly_usd: Decimal
    limit_remaining_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Credits:
    """What `GET /credits` says: credits ever bought and used by the account, in USD."""

    total_usd: Decimal
    used_usd: Decimal

    @property
    def balance_usd(self) -> Decimal:
        """What is left; may be negative."""
        return self.total_usd - self.used_usd
