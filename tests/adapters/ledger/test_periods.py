from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.adapters.database import Database

pytestmark = pytest.mark.anyio
ZONES = (
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "Europe/Berlin",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)
# Every hour of six years, so that also the hour of a repeated midnight is asked for.
GAPS = """
WITH instant AS (
    SELECT hour AS at FROM generate_series(
        timestamptz '2025-01-01 00:00Z', '2031-01-01 00:00Z', interval '1 hour') AS hour
), bound AS (
    SELECT i.at, b.starts, b.ends, lag(b.starts) OVER (ORDER BY i.at) AS last_start,
           lag(b.ends) OVER (ORDER BY i.at) AS last_end
      FROM instant i CROSS JOIN LATERAL ledger.period_bounds(%(period)s, %(zone)s, i.at) b
)
SELECT count(*) FILTER (WHERE NOT (starts <= at AND at < ends)) AS outside,
       count(*) FILTER (WHERE NOT (starts = last_end
                                   OR (starts = last_start AND ends = last_end))) AS gaps,
       count(DISTINCT starts) AS periods
  FROM bound
"""


@pytest.mark.parametrize("zone", ZONES)
async def test_periods_of_six_years_are_contiguous_and_hold_every_hour(
    database: Database, zone: str
) -> None:
    counts = {}
    for period in ("daily", "weekly", "monthly"):
        row = await database.fetch_one(GAPS, {"period": period, "zone": zone})
        assert row is not None
        assert (row["outside"], row["gaps"]) == (0, 0), period
        counts[period] = row["periods"]
    assert counts["daily"] in (2191, 2192)
    assert counts["weekly"] in (313, 314, 315)
    assert counts["monthly"] in (72, 73)


@pytest.mark.parametrize(
    ("period", "zone", "at", "starts", "hours"),
    [
        ("daily", "UTC", "2026-03-29T12:00Z", "2026-03-29T00:00Z", 24),
        ("daily", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", 23),
        ("daily", "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", 25),
        ("daily", "Africa/Cairo", "2026-04-24T12:00Z", "2026-04-23T22:00Z", 23),
        ("daily", "Asia/Kolkata", "2026-01-01T00:00Z", "2025-12-31T18:30Z", 24),
        ("weekly", "UTC", "2026-11-22T23:59Z", "2026-11-16T00:00Z", 7 * 24),
        ("monthly", "UTC", "2028-02-29T00:00Z", "2028-02-01T00:00Z", 29 * 24),
    ],
)
async def test_period_bounds_are_local_midnights(
    database: Database, period: str, zone: str, at: str, starts: str, hours: int
) -> None:
    row = await database.fetch_one(
        "SELECT * FROM ledger.period_bounds(%s, %s, %s)",
        (period, zone, datetime.fromisoformat(at)),
    )
    first = datetime.fromisoformat(starts)
    assert row == {"starts": first, "ends": first + timedelta(hours=hours)}


async def test_period_once_begins_with_the_epoch_and_never_ends(database: Database) -> None:
    row = await database.fetch_one("SELECT * FROM ledger.period_bounds('once', 'UTC', now())")
    assert row == {"starts": datetime(1970, 1, 1, tzinfo=UTC), "ends": None}
