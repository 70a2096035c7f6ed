"""Token prices, and the bounds they put on a request's cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from models.completion import Usage
from models.money import ZERO_USD, round_up_usd

MTOK = Decimal(10**6)


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """The price of one model, in USD per token (and per request or image).

    Prices are the highest tier that the request may reach, so that a hold is a bound.
    """

    prompt_usd: Decimal
    completion_usd: Decimal
    cache_read_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    request_usd: Decimal = ZERO_USD
    image_usd: Decimal = ZERO_USD

    def max_price(self) -> dict[str, str]:
        """Return OpenRouter's `provider.max_price`: USD per million tokens, as strings.

        Strings, because the official SDK drops numbers (openrouter.ai/docs, provider routing).
        """
        caps = {"prompt": self.prompt_usd * MTOK, "completion": self.completion_usd * MTOK}
        if self.request_usd:
            caps["request"] = self.request_usd
        if self.image_usd:
            caps["image"] = self.image_usd
        return {name: f"{cap.normalize():f}" for name, cap in caps.items()}

    @property
    def prompt_bound_usd(self) -> Decimal:
        """The dearest a prompt token can be: writing the cache may cost more than reading plain."""
        return max(self.prompt_usd, self.cache_write_usd or ZERO_USD)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the catalogue knows about one model.

    `priced_at` is when the price was read; `suspended_reason` says why it must not be used.
    """

    model_id: str
    provider: str
    price: TokenPrice | None
    context_tokens: int | None
    completion_tokens_max: int | None
    abilities: frozenset[str]
    source: str
    priced_at: datetime
    suspended_reason: str | None = None


def worst_case_usd(
    price: TokenPrice, *, prompt_tokens: int, completion_tokens: int, images: int = 0
) -> Decimal:
    """Return the most one call can cost: every prompt token at its dearest, the answer full.

    4,000 prompt and 1,000 completion tokens at 0.15/0.60 USD per million:
    4000 * 0.15e-6 + 1000 * 0.6e-6 = 0.0012 USD.
    """
    return round_up_usd(
        price.prompt_bound_usd * prompt_tokens
        + price.completion_usd * completion_tokens
        + price.request_usd
        + price.image_usd * images
    )


def completion_tokens_that_fit(
    price: TokenPrice, *, prompt_tokens: int, available_usd: Decimal, images: int = 0
) -> int:
    """Return how many completion tokens the money buys after the prompt is paid; may be negative.

    A free completion has no bound: returns a very large number.
    """
    left_usd = available_usd - worst_case_usd(
        price, prompt_tokens=prompt_tokens, completion_tokens=0, images=images
    )
    if left_usd < 0:
        return -1
    if price.completion_usd == 0:
        return 10**9
    return int((left_usd / price.completion_usd).to_integral_value(rounding=ROUND_DOWN))


def cost_usd(price: TokenPrice, usage: Usage, *, images: int = 0) -> Decimal:
    """Return what an answer costs by its tokens, rounded up to 12 decimals.

    Used only when the upstream states no cost. prompt_tokens includes cached and cache-write
    tokens; completion_tokens includes reasoning (openrouter.ai/docs, usage accounting,
    2026-08-22). 1,000 prompt tokens of which 400 cached, 10 completion, at 1/0.1/2 USD per
    million: 600e-6 + 40e-6 + 20e-6 = 0.00066 USD.
    """
    plain_tokens = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    cache_read_usd = price.prompt_usd if price.cache_read_usd is None else price.cache_read_usd
    cache_write_usd = price.prompt_usd if price.cache_write_usd is None else price.cache_write_usd
    return round_up_usd(
        plain_tokens * price.prompt_usd
        + usage.cached_tokens * cache_read_usd
        + usage.cache_write_tokens * cache_write_usd
        + usage.completion_tokens * price.completion_usd
        + price.request_usd
        + price.image_usd * images
    )
