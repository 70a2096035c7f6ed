from __future__ import annotations

import pytest

from models.replay import replay_difference
from models.selection import select
from tests.models.builders import snapshot_of

SNAPSHOT = snapshot_of()
PLAN = select(SNAPSHOT).document()


def test_replay_finds_no_difference_in_a_plan_of_the_same_rules():
    assert replay_difference(SNAPSHOT.document(), PLAN) is None


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"needs_approval": True}, "plan.needs_approval: True -> False"),
        ({"candidates": []}, "plan.candidates: [] -> ["),
        (
            {"candidates": [PLAN["candidates"][0] | {"max_tokens": 7}, *PLAN["candidates"][1:]]},
            "plan.candidates[0].max_tokens: 7 -> 1000",
        ),
    ],
)
def test_replay_names_where_a_plan_differs(change, difference):
    found = replay_difference(SNAPSHOT.document(), PLAN | change)
    assert found is not None
    assert found.startswith(difference)
