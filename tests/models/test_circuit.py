from __future__ import annotations

from datetime import timedelta

import pytest

from models.circuit import circuit_open_until
from tests.models.builders import NOW


@pytest.mark.parametrize(
    ("in_a_row", "fresh", "failed", "rest_s"),
    [
        (4, 0, 0, None),
        (5, 0, 0, 30),
        (6, 0, 0, 60),
        (40, 0, 0, 300),
        (1, 20, 10, 30),
        (1, 20, 9, None),
        (1, 19, 19, None),
    ],
)
def test_circuit_opens_after_failures_in_a_row_or_by_their_share(in_a_row, fresh, failed, rest_s):
    until = circuit_open_until(
        consecutive_failures=in_a_row,
        fresh_attempts=fresh,
        fresh_failures=failed,
        last_failed_at=NOW,
    )
    assert until == (None if rest_s is None else NOW + timedelta(seconds=rest_s))


def test_circuit_stays_closed_when_nothing_ever_failed():
    assert (
        circuit_open_until(
            consecutive_failures=9, fresh_attempts=9, fresh_failures=9, last_failed_at=None
        )
        is None
    )
