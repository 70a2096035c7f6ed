"""What an answer costs, to the last digit.

The arithmetic is OpenRouter's (openrouter.ai/docs, usage accounting, 2026-08-22, and four
captured answers): prompt tokens include cached and cache-write ones, completion tokens include
reasoning. Worked: 20,243 prompt of which 20,240 written to the cache at $3.125/M, 3 plain at
$2.50/M, 1,270 completion at $15/M = 0.0632575 + 0.01905 = 0.0823075.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from deployments.simulator.catalogue import Price
from deployments.simulator.wire import Json

BYOK_FEE = Decimal("0.05")  # of the list price (openrouter.ai/docs, BYOK, 2026-08-22)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Token counts of one answer."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one answer costs: `cost` is debited here, `upstream_cost` is the provider's price."""

    tokens: Tokens
    prompt_cost: Decimal
    completion_cost: Decimal
    cost: Decimal
    is_byok: bool = False

    @property
    def upstream_cost(self) -> Decimal:
        """Prompt and completion together, in USD."""
        return self.prompt_cost + self.completion_cost

    def times(self, multiplier: Decimal) -> Bill:
        """Return the bill of a provider that charges a multiple of its list price."""
        prompt, completion = self.prompt_cost * multiplier, self.completion_cost * multiplier
        cost = self.cost * multiplier
        return replace(self, prompt_cost=prompt, completion_cost=completion, cost=cost)

    def with_own_key(self) -> Bill:
        """Return the bill under BYOK: only the fee is debited here."""
        return replace(self, cost=self.upstream_cost * BYOK_FEE, is_byok=True)

    def waived(self) -> Bill:
        """Return the bill under the zero-completion insurance: nothing."""
        nothing = Decimal(0)
        return replace(self, prompt_cost=nothing, completion_cost=nothing, cost=nothing)


def bill_for(price: Price, tokens: Tokens) -> Bill:
    """Apply a list price to token counts."""
    plain = tokens.prompt - tokens.cached - tokens.cache_write
    read = price.prompt if price.cache_read is None else price.cache_read
    write = price.prompt if price.cache_write is None else price.cache_write
    prompt_cost = plain * price.prompt + tokens.cached * read + tokens.cache_write * write
    completion_cost = tokens.completion * price.completion
    return Bill(
        tokens=tokens,
        prompt_cost=prompt_cost,
        completion_cost=completion_cost,
        cost=prompt_cost + completion_cost,
    )


def usage_document(bill: Bill) -> Json:
    """Return the `usage` object of an answer; always complete, `usage.include` is obsolete."""
    tokens = bill.tokens
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "cost": bill.cost,
        "is_byok": bill.is_byok,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached,
            "cache_write_tokens": tokens.cache_write,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": bill.upstream_cost,
            "upstream_inference_prompt_cost": bill.prompt_cost,
            "upstream_inference_completions_cost": bill.completion_cost,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "image_tokens": 0,
            "audio_tokens": 0,
        },
    }
