from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Pending, Running, Scheduled

from deployments.worker.identity import this_process

if TYPE_CHECKING:
    from tests.deployments.worker.conftest import Pool

DEAD = f"claimed by worker switchyard {this_process().host}:999999:1:{this_process().space}"


def is_running(state: State) -> bool:
    return state.is_running()


def left_by_a_dead_worker(pool: Pool, flow: str, *, reclaims: int = 0) -> UUID:
    """Make a run that a worker of this machine claimed and began before it was killed."""
    run_id = pool.trigger(flow)
    force = {"force": True}
    for _ in range(reclaims):
        pool.client.set_flow_run_state(run_id, Scheduled(name="Reclaimed"), **force)
    pool.client.set_flow_run_state(run_id, Pending(message=DEAD), **force)
    pool.client.set_flow_run_state(run_id, Running(), **force)
    return run_id


def test_worker_takes_no_more_runs_than_its_limit(pool: Pool) -> None:
    pool.start_worker(limit=1)
    first, second = (pool.trigger("sleep_for", seconds=1) for _ in range(2))
    ends = sorted(pool.wait(run_id).end_time for run_id in (first, second))
    starts = sorted(pool.client.read_flow_run(run_id).start_time for run_id in (first, second))
    assert starts[1] >= ends[0]


def test_stopped_worker_finishes_what_it_can_and_hands_back_the_rest(pool: Pool) -> None:
    worker = pool.start_worker(drain_s=4)
    short = pool.trigger("sleep_for", seconds=3)
    long = pool.trigger("sleep_the_first_time", seconds=60)
    for run_id in (short, long):
        pool.wait(run_id, is_running)
    worker.send_signal(signal.SIGTERM)
    late = pool.trigger("add_one")
    assert worker.wait(30) == 0
    assert pool.client.read_flow_run(short).state.name == "Completed"
    assert pool.client.read_flow_run(long).state.name == "Reclaimed"
    assert pool.client.read_flow_run(late).state.name == "Scheduled"
    pool.start_worker()
    assert pool.wait(long).state.name == "Completed"
    assert pool.wait(late).state.name == "Completed"
    assert "Crashed" not in pool.history(long)


def test_runs_of_a_killed_worker_are_run_again_by_the_next(pool: Pool) -> None:
    worker = pool.start_worker()
    runs = [pool.trigger("sleep_the_first_time", seconds=60) for _ in range(4)]
    for run_id in runs:
        pool.wait(run_id, is_running)
    worker.kill()
    worker.wait()
    pool.start_worker()
    for run_id in runs:
        assert pool.wait(run_id).state.name == "Completed"
        assert pool.history(run_id).count("Reclaimed") == 1


def test_orphans_are_settled_each_after_its_kind(pool: Pool) -> None:
    again = left_by_a_dead_worker(pool, "add_one")
    too_often = left_by_a_dead_worker(pool, "add_one", reclaims=5)
    foreign = left_by_a_dead_worker(pool, "json.dumps")
    unwanted = left_by_a_dead_worker(pool, "add_one")
    pool.client.set_flow_run_state(unwanted, Cancelling(), force=True)
    pool.start_worker()
    assert pool.wait(again).state.name == "Completed"
    assert "5 times" in pool.wait(too_often).state.message
    assert "only Switchyard's own flows" in pool.wait(foreign).state.message
    assert pool.client.read_flow_run(foreign).state.type is StateType.CRASHED
    assert pool.wait(unwanted).state.name == "Cancelled"


def test_two_workers_share_the_runs_and_none_runs_twice(pool: Pool) -> None:
    pool.start_worker()
    pool.start_worker()
    runs = [pool.trigger("add_one", number=number) for number in range(6)]
    for run_id in runs:
        run = pool.wait(run_id)
        assert run.state.name == "Completed"
        assert run.run_count == 1


def test_no_run_is_lost_when_the_server_restarts_and_stopping_needs_no_server(pool: Pool) -> None:
    worker = pool.start_worker(drain_s=1)
    runs = [pool.trigger("sleep_for", seconds=1 + number) for number in range(4)]
    pool.wait(runs[0], is_running)
    pool.server.stop()
    time.sleep(1)
    pool.server.start()
    try:
        runs.append(pool.trigger("add_one"))
        for run_id in runs:
            assert pool.wait(run_id, within_s=120).state.name == "Completed"
    finally:
        pool.server.stop()
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(40)
    finally:
        pool.server.start()
