"""What a call would have cost that was never made."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from models.attempt import Candidate
from models.backtest.past import Past, Step
from models.backtest.prices import token_record
from models.learning.kinds import Kind
from models.pricing import TokenPrice

PER_TOKEN = Decimal("0.000001")


def past(*steps: Step, task_type: str = "fix_bug") -> Past:
    return Past(UUID(int=1), Kind(task_type, "simple"), "rule", 1.0, len(steps), steps)


def answer(model_id: str, prompt: int, completion: int) -> Step:
    return Step(model_id, True, 1.0, Decimal(0), prompt, completion)


def candidate(model_id: str, **changes: Any) -> Candidate:
    parts: dict[str, Any] = {
        "model_id": model_id,
        "provider": "x",
        "price": TokenPrice(1 * PER_TOKEN, 2 * PER_TOKEN),
        "max_tokens": 1000,
        "prompt_tokens_bound": 500,
        "worst_case_usd": Decimal(1),
        "elastic_usd": Decimal(1),
    }
    return Candidate(**parts | changes)


def test_models_own_answers_in_the_type_and_its_own_way_of_counting_prompts():
    record = token_record([(past(answer("a", 120, 300)), 100) for _ in range(3)])
    # prompt 200 * 360 / 300 = 240, answer 300: 240e-6 + 600e-6
    assert record.estimated_usd(candidate("a"), past(), 200) == Decimal("0.000840")


def test_few_answers_in_the_type_are_joined_by_those_in_all_types():
    record = token_record(
        [(past(answer("a", 100, 100)), 100)]
        + [(past(answer("a", 100, 400), task_type="plan"), 100)] * 2
    )
    # (100 + 400 + 400) / 3 = 300 tokens, prompt 100: 100e-6 + 600e-6
    assert record.estimated_usd(candidate("a"), past(), 100) == Decimal("0.000700")


def test_unknown_model_answers_as_long_as_the_recorded_one_did():
    record = token_record([])
    asked = past(answer("a", 100, 250))
    assert record.estimated_usd(candidate("b"), asked, 100) == Decimal("0.000600")


def test_answer_is_no_longer_than_the_plan_allows_and_costs_no_more_than_its_worst_case():
    record = token_record([(past(answer("a", 100, 300)), 100)] * 3)
    short = candidate("a", max_tokens=50)
    assert record.estimated_usd(short, past(), 100) == Decimal("0.000200")
    capped = candidate("a", worst_case_usd=Decimal("0.0001"))
    assert record.estimated_usd(capped, past(), 100) == Decimal("0.0001")
