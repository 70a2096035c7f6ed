"""The simulated catalogue: models, their prices, limits, abilities and providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

from deployments.simulator.catalogue_rows import ROWS

MTOK = Decimal(1_000_000)
PRICE_VARIANTS = {"nitro", "floor", "exacto", "extended", "thinking"}  # same list price


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves a model; `cancels` is whether a closed stream stops the billing.

    The lists of both kinds: openrouter.ai/docs, streaming, 2026-08-22.
    """

    slug: str
    name: str
    cancels: bool


PROVIDERS: Mapping[str, Provider] = {
    row[0]: Provider(*row)
    for row in (
        ("openai", "OpenAI", True),
        ("azure", "Azure", True),
        ("anthropic", "Anthropic", True),
        ("deepseek", "DeepSeek", True),
        ("deepinfra", "DeepInfra", True),
        ("amazon-bedrock", "Amazon Bedrock", False),
        ("google-ai-studio", "Google AI Studio", False),
        ("google-vertex", "Google", False),
        ("groq", "Groq", False),
        ("alibaba", "Alibaba", False),
        ("mistral", "Mistral", False),
    )
}


@dataclass(frozen=True, slots=True)
class Price:
    """List price in USD per token; cache prices are None where caching is not sold."""

    prompt: Decimal
    completion: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """One listed model."""

    model_id: str
    price: Price
    tier_above: int | None
    tier_price: Price
    context_tokens: int
    max_output_tokens: int
    flags: str
    first_token_ms: int
    tokens_per_second: int
    providers: tuple[Provider, ...]

    @property
    def author(self) -> str:
        """The part before the slash."""
        return self.model_id.split("/", 1)[0]

    def has(self, flag: str) -> bool:
        """Whether the table gives the model this flag (see `catalogue_rows`)."""
        return flag in self.flags

    def price_for(self, prompt_tokens: int) -> Price:
        """Return the price of a request; strictly more tokens than the threshold pay the tier."""
        if self.tier_above is not None and prompt_tokens > self.tier_above:
            return self.tier_price
        return self.price

    def free(self) -> Model:
        """Return the `:free` variant."""
        nothing = Price(Decimal(0), Decimal(0))
        free_id = f"{self.model_id}:free"
        return replace(self, model_id=free_id, price=nothing, tier_above=None, tier_price=nothing)


def usd_per_token(cell: str) -> Decimal | None:
    """Turn a cell of USD per million tokens into USD per token; "-" is None."""
    return None if cell == "-" else Decimal(cell) / MTOK


def tier_of(cell: str, base: Price) -> tuple[int | None, Price]:
    """Read `>N:prompt/completion[/cache read]`."""
    if cell == "-":
        return None, base
    threshold, prices = cell.removeprefix(">").split(":")
    prompt, completion, *read = (Decimal(price) / MTOK for price in prices.split("/"))
    cache_read = read[0] if read else base.cache_read
    return int(threshold), Price(prompt, completion, cache_read, base.cache_write)


def model_of(line: str) -> Model:
    """Read one line of the table."""
    cells = [cell.strip() for cell in line.split("|")]
    price = Price(
        Decimal(cells[1]) / MTOK,
        Decimal(cells[2]) / MTOK,
        usd_per_token(cells[3]),
        usd_per_token(cells[4]),
    )
    tier_above, tier_price = tier_of(cells[5], price)
    return Model(
        model_id=cells[0],
        price=price,
        tier_above=tier_above,
        tier_price=tier_price,
        context_tokens=int(cells[6]),
        max_output_tokens=int(cells[7]),
        flags=cells[8],
        first_token_ms=int(cells[9]),
        tokens_per_second=int(cells[10]),
        providers=tuple(PROVIDERS[slug] for slug in cells[11].split()),
    )


@cache
def catalogue() -> Mapping[str, Model]:
    """Return every listed model by id."""
    models = (model_of(line) for line in ROWS.strip().splitlines())
    return {model.model_id: model for model in models}


def find_model(model_id: str) -> Model | None:
    """Return the model of an id with or without a variant; None when nothing serves it.

    `:nitro` and `:floor` only sort providers, so the price stays; `:free` is a listing of its
    own that only some models have (openrouter.ai/docs, model variants, 2026-08-22).
    """
    base, _, variant = model_id.partition(":")
    model = catalogue().get(base)
    if model is None or not variant or variant in PRICE_VARIANTS:
        return model
    return model.free() if variant == "free" and model.has("f") else None
