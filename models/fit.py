"""How a model fits the money: the longest answer whose worst case stays within what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from models.attempt import Candidate
from models.money import CENT_FRACTION, USD_MAX, ZERO_USD, round_up_usd
from models.pricing import ModelCard, TokenPrice, completion_tokens_that_fit, worst_case_usd
from models.snapshot import BudgetRoom, ModelStatistics, Snapshot

# Shorter answers are cut off in mid-sentence and paid for in vain; several providers refuse less
# than 16 tokens (openrouter.ai/docs, parameters).
TOKENS_FLOOR = 64
# The context is filled by tokens, not bytes: dense text such as CJK or hex has about two bytes a
# token. Where that is too hopeful the upstream answers 400, which costs nothing.
CONTEXT_BYTES_PER_TOKEN = 2
ONE = Decimal(1)


@dataclass(slots=True)
class Asked:
    """What the request asks of every model alike."""

    text_tokens: int
    images: int
    images_low: int
    answers: int
    max_tokens: int
    tokens_floor: int


def asked_by(snapshot: Snapshot) -> Asked:
    """Return what the request asks; its own `max_tokens` goes before the policy's."""
    features = snapshot.features
    max_tokens = features.max_tokens or snapshot.policy.max_tokens
    return Asked(
        text_tokens=features.text_tokens_bound,
        images=features.images,
        images_low=features.images_low,
        answers=features.answers,
        max_tokens=max_tokens,
        tokens_floor=min(max_tokens, TOKENS_FLOOR),
    )


@dataclass(slots=True)  # not frozen: ten are made per selection, and freezing trebles that time
class Demand:
    """One priced model and what is asked of it, before any money is looked at.

    `max_tokens` is the longest answer that this model can give; `budgets` pay for the call.
    """

    card: ModelCard
    price: TokenPrice
    asked: Asked
    image_tokens: int
    max_tokens: int
    ratio: Decimal
    budgets: tuple[BudgetRoom, ...]
    statistics: ModelStatistics | None

    @property
    def model_id(self) -> str:
        """The model's id."""
        return self.card.model_id

    @property
    def prompt_tokens(self) -> int:
        """The most tokens that text and images become."""
        return self.asked.text_tokens + self.image_tokens

    @property
    def full_usd(self) -> Decimal:
        """The worst case of the whole answer asked for: the same answer of every model compares."""
        return self.worst_usd(self.asked.max_tokens)

    def worst_usd(self, max_tokens: int) -> Decimal:
        """Return the most that one call with this clamp can cost."""
        asked = self.asked
        return worst_case_usd(
            self.price,
            prompt_tokens=asked.text_tokens + self.image_tokens,
            completion_tokens=max_tokens * asked.answers,
            images=asked.images,
        )

    def candidate(self, max_tokens: int, worst: Decimal) -> Candidate:
        """Return the plan's step for this clamp and its worst case."""
        return Candidate(
            model_id=self.card.model_id,
            provider=self.card.provider,
            price=self.price,
            max_tokens=max_tokens,
            prompt_tokens_bound=self.prompt_tokens,
            worst_case_usd=worst,
            elastic_usd=worst if self.ratio is ONE else round_up_usd(worst * self.ratio),
        )


def answer_room(card: ModelCard, asked: Asked, image_tokens: int) -> int:
    """Return the longest answer that the model can give; below 1: its context is too small.

    A prompt of 12,000 bytes is held as 12,016 tokens, but taken as 6,008 of the context.
    """
    room, context = asked.max_tokens, card.context_tokens
    if card.completion_tokens_max is not None and card.completion_tokens_max < room:
        room = card.completion_tokens_max
    if context is not None:
        left = context - asked.text_tokens // CONTEXT_BYTES_PER_TOKEN
        if image_tokens:  # image bounds are far above the usual: half of the context at most
            left -= min(image_tokens, context // 2)
        if left < room:
            room = left
    return room


def fitted(
    demand: Demand, available_usd: Decimal, whole_usd: Decimal | None = None
) -> Candidate | None:
    """Return the step with the longest answer that fits, or None when even the floor does not.

    `whole_usd` is the worst case of the longest answer, where it is known already.

    1,000 prompt tokens at 0.15 and answers at 0.60 USD per million, $0.001 left:
    (0.001 - 0.00015) / 0.0000006 = 1,416 tokens.
    """
    worst = demand.worst_usd(demand.max_tokens) if whole_usd is None else whole_usd
    if worst <= available_usd:
        return demand.candidate(demand.max_tokens, worst)
    tokens = completion_tokens_that_fit(
        demand.price,
        prompt_tokens=demand.prompt_tokens,
        available_usd=available_usd,
        images=demand.asked.images,
    )
    tokens //= demand.asked.answers
    if tokens < demand.asked.tokens_floor:
        return None
    return demand.candidate(tokens, demand.worst_usd(tokens))


@dataclass(slots=True)
class Room:
    """What one model may cost at most, by the budgets that cover it; `tightest` names the least."""

    available_usd: Decimal
    tightest: str


def room_in(budgets: Sequence[BudgetRoom], ratio: Decimal, held_usd: Decimal = ZERO_USD) -> Room:
    """Return the worst case that every budget can hold beside what other models hold already.

    An elastic budget holds `worst case * ratio`: $1.00 left at 0.5 takes a worst case of $2.00.
    """
    available, tightest = USD_MAX, "no budget"
    for budget in budgets:
        left = budget.remaining_usd
        if held_usd and budget.budget_type != "model":  # that one is the model's own
            left -= held_usd
        if budget.mode == "elastic" and ratio < ONE and left > ZERO_USD:
            left = _worst_case_held_by(left, ratio)
        if left < available:
            available, tightest = left, budget.name
    return Room(available, tightest)


def _worst_case_held_by(left_usd: Decimal, ratio: Decimal) -> Decimal:
    worst = min(USD_MAX, (left_usd / ratio).quantize(CENT_FRACTION, rounding=ROUND_DOWN))
    # A quotient of 28 digits may itself be rounded up.
    return worst if worst * ratio <= left_usd else worst - CENT_FRACTION


def money_returns_at(
    budgets: Sequence[BudgetRoom], needed_usd: Decimal, ratio: Decimal, now: datetime
) -> datetime | None:
    """Return when every budget can hold the needed worst case again, at the latest; None: never.

    Money that is only held comes back at once or never later than the period turns; `now` then.
    """
    back = now
    for budget in budgets:
        needed = round_up_usd(needed_usd * ratio) if budget.mode == "elastic" else needed_usd
        if needed <= budget.remaining_usd:
            continue
        if needed > budget.amount_usd:
            return None
        if budget.period_end is not None:
            back = max(back, budget.period_end)
        elif needed > budget.amount_usd - budget.spent_usd:
            return None
    return back
