from __future__ import annotations

import pytest

from models.errors import (
    AccountLimited,
    Busy,
    InFlightLimited,
    InvalidRequest,
    NoTurn,
    NoTurnForAny,
    UpstreamFailed,
)
from models.failover import Move, next_move
from models.rate_limit import Lesson, StatedLimit, lesson_of, parse_limit

PAID, FREE = "openai/gpt-4o", "meta/llama:free"


def failure(
    leaf: type[UpstreamFailed],
    wait_s: float | None,
    stated: StatedLimit | None = None,
    status: int = 429,
) -> UpstreamFailed:
    made = leaf("limited", status=status, retry_after_s=wait_s)
    made.stated_limit = stated
    return made


@pytest.mark.parametrize(
    ("found", "model_id", "lesson"),
    [
        # 60 calls until a reset in 12 s: blocked 12 s, then 60 a minute, kept 12 + 3600 s
        (
            failure(AccountLimited, 12.0, StatedLimit(60, 12.0)),
            PAID,
            Lesson("*", 12.0, 60, 60.0, 3612.0),
        ),
        (
            failure(AccountLimited, 12.0, StatedLimit(20, 12.0)),
            FREE,
            Lesson("*:free", 12.0, 20, 60.0, 3612.0),
        ),
        # a day's limit is no pace, and is looked at again after a quarter of an hour
        (
            failure(AccountLimited, 30_000.0, StatedLimit(50, 30_000.0)),
            FREE,
            Lesson("*:free", 900.0, None, 60.0, 900.0),
        ),
        (failure(Busy, 5.0), PAID, Lesson(PAID, 5.0, None, 60.0, 5.0)),
        (failure(Busy, 0.0), PAID, None),
        (failure(Busy, None), PAID, None),
        (failure(Busy, 5.0, status=503), PAID, None),
        (failure(InFlightLimited, 5.0, status=402), PAID, None),
    ],
)
def test_lesson_is_what_a_429_states_of_its_scope(found, model_id, lesson):
    assert lesson_of(found, model_id) == lesson


@pytest.mark.parametrize(
    ("failure", "move"),
    [
        (NoTurn("full", retry_after_s=5), Move.NEXT_OR_PARK),
        (NoTurnForAny("full", retry_after_s=5), Move.PARK),
        (AccountLimited("full", 429, retry_after_s=5), Move.WAIT),
        (AccountLimited("full", 429, retry_after_s=61), Move.PARK),
        (AccountLimited("full", 429), Move.PARK),
    ],
)
def test_limit_leads_to_the_next_model_or_to_parking(failure, move):
    assert next_move(failure, waited=False, left_s=100).move is move


@pytest.mark.parametrize("model", ["", "gpt-4o", "a b/c", "a/b/c", "**", 5])
def test_limit_of_no_model_is_refused(model):
    with pytest.raises(InvalidRequest, match="model"):
        parse_limit({"model": model, "requests": 5})


@pytest.mark.parametrize(
    "numbers", [{"requests": 0}, {"concurrency": -1}, {"requests": 5, "period_s": 0}, {"rpm": 5}]
)
def test_limit_with_impossible_numbers_is_refused(numbers):
    with pytest.raises(InvalidRequest):
        parse_limit({"model": "*"} | numbers)
