from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Worker
from prefect.logging import get_logger

from deployments.worker import reclaim
from deployments.worker.flow_cache import FlowCache
from deployments.worker.identity import this_process
from deployments.worker.reclaim import DEAD_AFTER_S, Reclaimer
from deployments.worker.run_table import RunTable
from deployments.worker.station import Station

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE = this_process()
OURS = f"switchyard {HERE}"
KILLED_HERE = f"switchyard {HERE.host}:{HERE.pid}:1:{HERE.space}"


def heard(name: str, seconds_ago: float) -> Worker:
    last = NOW - timedelta(seconds=seconds_ago)
    return Worker(name=name, work_pool_id=uuid4(), last_heartbeat_time=last)


@pytest.fixture
def reclaimer() -> Reclaimer:
    station = Station(
        client=PrefectClient("http://127.0.0.1:9/api"),
        pool="a-pool",
        pool_id=lambda: None,
        queues=(),
        worker_name=OURS,
        identity=HERE,
        logger=get_logger(),
        resumable_packages=("flows",),
    )
    runs = RunTable(limit=1, on_room=lambda: None)
    return Reclaimer(station, runs, FlowCache(station))


def test_silent_worker_of_another_machine_is_dead_once_the_server_has_answered_long_enough(
    reclaimer: Reclaimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [heard(OURS, 0), heard("far:1:1:x", DEAD_AFTER_S + 1), heard("near:1:1:x", 12)]
    reclaimer.answering_since = 0.0
    monkeypatch.setattr(reclaim.time, "monotonic", lambda: DEAD_AFTER_S - 1)
    assert reclaimer.living(workers) == {OURS, "far:1:1:x", "near:1:1:x"}
    monkeypatch.setattr(reclaim.time, "monotonic", lambda: DEAD_AFTER_S + 1)
    assert reclaimer.living(workers) == {OURS, "near:1:1:x"}


def test_killed_worker_of_this_machine_is_dead_at_once(reclaimer: Reclaimer) -> None:
    assert reclaimer.living([heard(OURS, 0), heard(KILLED_HERE, 1)]) == {OURS}


def test_worker_counts_itself_alive_when_its_record_is_missing(reclaimer: Reclaimer) -> None:
    assert reclaimer.living([]) == {OURS}
