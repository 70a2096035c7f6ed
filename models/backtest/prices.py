"""What a call would have cost that was never made: from the model's own recorded tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from models.attempt import Candidate
from models.backtest.past import Past
from models.learning.kinds import ANY
from models.money import CENT_FRACTION
from models.plan_costs import ANSWER_SHARE, ANSWER_TOKENS

FEW = 3  # below so many answers in a type, the model's answers in all types are taken


@dataclass(slots=True)
class _Tokens:
    answers: int = 0
    completion: int = 0
    prompt: int = 0
    estimated_prompt: int = 0


@dataclass(slots=True)
class TokenRecord:
    """The tokens that each model's answers took, by task type and in all."""

    _sums: dict[tuple[str, str], _Tokens] = field(default_factory=dict)

    def add(self, past: Past, prompt_estimate: int) -> None:
        """Count the billed answers of a decision; the estimate is that of its request's text."""
        for step in past.steps:
            if step.completion_tokens is None or step.prompt_tokens is None:
                continue
            for task_type in (past.kind.task_type, ANY):
                sums = self._sums.setdefault((step.model_id, task_type), _Tokens())
                sums.answers += 1
                sums.completion += step.completion_tokens
                sums.prompt += step.prompt_tokens
                sums.estimated_prompt += prompt_estimate

    def estimated_usd(
        self, candidate: Candidate, past: Past, prompt_estimate: int, images: int = 0
    ) -> Decimal:
        """Return what asking the candidate would have cost; never more than its worst case.

        The prompt: its estimate times what this model's prompts were of theirs. The answer: the
        mean of this model's answers in the type, else that of the recorded answer, else the usual
        guess; never above the plan's clamp. Prices are those of the plan.
        """
        known = self._known(candidate.model_id, past.kind.task_type)
        prompt, completion = Decimal(prompt_estimate), self._answer(candidate, past, known)
        if known is not None and known.estimated_prompt:
            prompt = prompt * known.prompt / known.estimated_prompt
        price = candidate.price
        cost = (
            price.prompt_usd * prompt
            + price.completion_usd * min(completion, Decimal(candidate.max_tokens))
            + price.request_usd
            + price.image_usd * images
        )
        cost = cost.quantize(CENT_FRACTION, rounding=ROUND_HALF_UP)
        return min(cost, candidate.worst_case_usd)

    def _known(self, model_id: str, task_type: str) -> _Tokens | None:
        found = self._sums.get((model_id, task_type))
        if found is not None and found.answers >= FEW:
            return found
        return self._sums.get((model_id, ANY))

    def _answer(self, candidate: Candidate, past: Past, known: _Tokens | None) -> Decimal:
        if known is not None:
            return Decimal(known.completion) / known.answers
        billed = [step.completion_tokens for step in past.steps if step.completion_tokens]
        if billed:
            return Decimal(billed[-1])
        return Decimal(min(ANSWER_TOKENS, candidate.max_tokens // ANSWER_SHARE))


def token_record(record: Iterable[tuple[Past, int]]) -> TokenRecord:
    """Return the record of decisions with their requests' estimated prompt tokens."""
    made = TokenRecord()
    for past, prompt_estimate in record:
        made.add(past, prompt_estimate)
    return made
