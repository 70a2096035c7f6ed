"""The circuit breaker: how long a model that keeps failing must rest."""

from __future__ import annotations

from datetime import datetime, timedelta

CONSECUTIVE_MAX = 5  # Envoy's outlier detection: 5 consecutive failures eject
FRESH_MIN, FRESH_FAILED_SHARE = 20, 0.5
REST_S, REST_S_MAX = 30, 300  # Envoy: 30 s times ejections in a row, at most 300 s


def circuit_open_until(
    *,
    consecutive_failures: int,
    fresh_attempts: int,
    fresh_failures: int,
    last_failed_at: datetime | None,
) -> datetime | None:
    """Return until when a model rests, or None while its circuit is closed.

    It opens after 5 failures in a row, or when at least half of 20 or more attempts of the last
    5 minutes failed; each further failure in a row rests it 30 s longer, up to 5 minutes. After
    the rest the next request probes it: one success closes a circuit of consecutive failures.
    """
    if last_failed_at is None:
        return None
    in_a_row = consecutive_failures - CONSECUTIVE_MAX + 1
    mostly_failing = fresh_attempts >= FRESH_MIN and (
        fresh_failures >= fresh_attempts * FRESH_FAILED_SHARE
    )
    if in_a_row < 1 and not mostly_failing:
        return None
    rest_s = min(REST_S * max(in_a_row, 1), REST_S_MAX)
    return last_failed_at + timedelta(seconds=rest_s)
