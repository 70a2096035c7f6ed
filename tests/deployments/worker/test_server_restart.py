"""Prefect's server restarts while paid requests run: none is lost, none is paid twice."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import psycopg

from deployments.simulator import SimulatorConfig, running_simulator
from tests.deployments.worker.conftest import Pool

REQUESTS = 8
FLOW = "flows.route_request.route_request"


def test_no_paid_request_is_lost_or_repeated_when_prefects_server_restarts(
    pool: Pool, routing_url: str, tmp_path: Path
) -> None:
    config = SimulatorConfig(latency_scale=8, charge_log=tmp_path / "charges.jsonl")
    with running_simulator(config) as simulator:
        pool.start_worker(
            environment={
                "DATABASE_URL": routing_url,
                "SWITCHYARD_SIMULATOR_URL": simulator.url,
                "SWITCHYARD_HOME": str(tmp_path),
                "SWITCHYARD_REQUEST_TIMEOUT_S": "60",
            }
        )
        requests = [
            {"prompt": f"Name {number} rivers.", "task_type": "simple_query", "max_tokens": 50}
            for number in range(REQUESTS)
        ]
        runs = [pool.trigger(FLOW, request=request) for request in requests]
        deadline = time.monotonic() + 90
        while _sent(routing_url) < REQUESTS // 2:
            assert time.monotonic() < deadline, "the worker sends nothing"
            time.sleep(0.1)
        pool.server.stop()
        time.sleep(1)
        pool.server.start()
        states = [pool.wait(run, within_s=180).state.name for run in runs]
        charges = list(simulator.charges)
    assert states == ["Completed"] * REQUESTS
    attempts = Counter(charge.metadata["switchyard_attempt"] for charge in charges)
    assert sorted(attempts.values()) == [1] * REQUESTS
    assert _spent(routing_url) == sum((charge.true_cost for charge in charges), Decimal(0))


def _sent(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM model_selections WHERE sent_at IS NOT NULL"
        ).fetchone()
    return 0 if row is None else int(row[0])


def _spent(url: str) -> Decimal:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT spent_amount FROM cost_budgets WHERE budget_type = 'global'"
        ).fetchone()
    assert row is not None
    return Decimal(row[0])
