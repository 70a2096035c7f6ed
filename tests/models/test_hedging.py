from __future__ import annotations

from typing import Any

import pytest

from models.errors import InvalidPolicy
from models.hedging import HedgeAfter, NoHedge, hedge_of
from models.replay import replay_difference
from models.selection import select
from tests.models.builders import CHEAP, DEAR, MIDDLE, policy_of, snapshot_of, statistics_of

NAMES = [card.model_id for card in (DEAR, MIDDLE, CHEAP)]


def found(hedge: Any, **statistics: Any) -> Any:
    snapshot = snapshot_of(
        policy=policy_of(*NAMES, hedge=hedge),
        statistics=(statistics_of(DEAR.model_id, **statistics),),
    )
    return hedge_of(snapshot, select(snapshot).candidates)


KNOWN = {"attempts": 20, "success_rate": 0.5, "latency_p95_ms": 800}  # ten answers
FEWER = {"attempts": 9, "success_rate": 1.0, "latency_p95_ms": 800}


@pytest.mark.parametrize(
    ("hedge", "statistics", "after"),
    [
        (None, KNOWN, None),
        ({}, KNOWN, HedgeAfter(800, "800 ms, its p95")),
        ({"after": "p95"}, KNOWN, HedgeAfter(800, "800 ms, its p95")),
        ({"after": 250}, KNOWN, HedgeAfter(250, "250 ms")),
        ({"unknown_ms": 3000}, FEWER, HedgeAfter(3000, "3000 ms, its p95 is not known")),
        ({}, FEWER, NoHedge("no hedge: fewer than 10 answers of c/dear are known")),
        ({}, {}, NoHedge("no hedge: fewer than 10 answers of c/dear are known")),
    ],
)
def test_second_model_joins_after_the_p95_of_the_first_or_the_time_given(hedge, statistics, after):
    assert found(hedge, **statistics) == after


def test_call_whose_worst_case_is_above_the_extra_cost_is_not_made():
    # 1,000 prompt tokens at $1/M and 1,000 tokens at $4/M: $0.005
    hedge = {"after": 250, "max_extra_cost_usd": "0.004"}
    assert found(hedge) == NoHedge("no hedge: the worst case $0.005 of b/middle is above $0.004")
    assert found(hedge | {"max_extra_cost_usd": "0.005"}) == HedgeAfter(250, "250 ms")


def test_last_model_of_a_plan_has_nobody_to_join_it():
    snapshot = snapshot_of(policy=policy_of(*NAMES, hedge={"after": 1}))
    assert hedge_of(snapshot, select(snapshot).candidates[-1:]) is None


@pytest.mark.parametrize(
    "hedge",
    [{"after": 0}, {"after": "p99"}, {"after": True}, {"after": 1.5}, {"unknown_ms": 0}, {"x": 1}],
)
def test_hedge_that_says_nothing_possible_is_refused(hedge):
    with pytest.raises(InvalidPolicy, match="hedge"):
        policy_of(*NAMES, hedge=hedge)


def test_hedging_changes_no_plan():
    plain = snapshot_of()
    hedged = snapshot_of(policy=policy_of(*NAMES, hedge={"after": 250}))
    assert select(hedged) == select(plain)
    assert replay_difference(hedged.document(), select(hedged).document()) is None
