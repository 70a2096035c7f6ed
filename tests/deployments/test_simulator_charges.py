"""The charge log is the truth, and /generation, /key and /credits tell it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.simulator import (
    Fault,
    FaultRule,
    RunningSimulator,
    SimulatorConfig,
    read_charges,
    running_simulator,
)
from models.errors import DiskFull, InvalidConfiguration, PortTaken

BODY: dict[str, Any] = {
    "model": "openai/gpt-4o",
    "messages": [{"role": "user", "content": "Compare two queues in depth"}],
    "user": "worker-7",
    "metadata": {"attempt_id": "a-1"},
}


def client_of(running: RunningSimulator, key: str = "k") -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=running.url, headers=headers, timeout=10)


def decimals(answer: httpx.Response) -> Any:
    return json.loads(answer.text, parse_float=Decimal)["data"]


def test_every_answer_is_in_the_log_to_the_last_digit(tmp_path: Path) -> None:
    log = tmp_path / "a folder" / "charges.jsonl"
    config = SimulatorConfig(latency_scale=0, charge_log=log)
    with running_simulator(config) as running, client_of(running) as client:
        answer = client.post("/chat/completions", json=BODY)
        usage = json.loads(answer.text, parse_float=Decimal)["usage"]
        charge = read_charges(log)[0]
        assert running.charges == [charge]
    assert charge.generation_id == answer.headers["X-Generation-Id"]
    assert charge.cost == usage["cost"]
    assert charge.cost == usage["prompt_tokens"] * Decimal("0.0000025") + usage[
        "completion_tokens"
    ] * Decimal("0.00001")
    assert (charge.user, charge.metadata) == ("worker-7", {"attempt_id": "a-1"})
    assert charge.key != "k" and b"Bearer" not in log.read_bytes()


def test_charge_is_written_before_the_first_byte(tmp_path: Path) -> None:
    log = tmp_path / "charges.jsonl"
    rule = FaultRule(fault=Fault.HANG)
    config = SimulatorConfig(latency_scale=0, charge_log=log, faults=(rule,))
    with running_simulator(config) as running, client_of(running) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/chat/completions", json=BODY, timeout=0.2)
        assert len(read_charges(log)) == 1


def test_log_is_continued_and_shared_between_simulators(tmp_path: Path) -> None:
    config = SimulatorConfig(latency_scale=0, charge_log=tmp_path / "charges.jsonl")
    with running_simulator(config) as first, client_of(first) as client:
        client.post("/chat/completions", json=BODY)
    with (
        running_simulator(config) as second,
        running_simulator(config) as third,
        client_of(second) as client,
        client_of(third) as other,
    ):
        other.post("/chat/completions", json=BODY)
        client.post("/chat/completions", json=BODY)
        assert len(second.charges) == len(third.charges) == 3
        total = sum(charge.cost for charge in third.charges)
        assert decimals(client.get("/key"))["usage"] == total
        assert decimals(other.get("/credits"))["total_usage"] == total


def test_parallel_requests_are_all_charged_once(tmp_path: Path) -> None:
    config = SimulatorConfig(latency_scale=0, charge_log=tmp_path / "charges.jsonl")
    with running_simulator(config) as running:

        def ask() -> None:
            with client_of(running) as client:
                for _ in range(10):
                    client.post("/chat/completions", json=BODY).raise_for_status()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(running.charges) == 40


def test_key_tells_its_own_spend_by_day_week_and_month() -> None:
    moment = [datetime(2026, 11, 29, 23, 59, tzinfo=UTC)]  # a Sunday
    config = SimulatorConfig(latency_scale=0, clock=lambda: moment[0])
    with running_simulator(config) as running, client_of(running) as client:
        client.post("/chat/completions", json=BODY)
        cost = running.charges[0].cost
        seen = []
        for days in (0, 1, 2):
            moment[0] = datetime(2026, 11, 29, 23, 59, tzinfo=UTC) + timedelta(days=days)
            key = decimals(client.get("/key"))
            seen.append([key[f"usage{name}"] for name in ("", "_daily", "_weekly", "_monthly")])
        with client_of(running, "another") as other:
            assert decimals(other.get("/key"))["usage"] == 0
    assert seen == [[cost] * 4, [cost, 0, 0, cost], [cost, 0, 0, 0]]


def test_generation_is_found_after_the_configured_polls() -> None:
    config = SimulatorConfig(latency_scale=0, generation_lag_polls=2)
    with running_simulator(config) as running, client_of(running) as client:
        answer = client.post("/chat/completions", json=BODY)
        params = {"id": answer.headers["X-Generation-Id"]}
        answers = [client.get("/generation", params=params) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [404, 404, 200]
        assert decimals(answers[2])["total_cost"] == running.charges[0].cost
        assert client.get("/generation", params={"id": "gen-0-x"}).status_code == 404


def cancel_after_first_event(client: httpx.Client, model: str) -> None:
    with client.stream(
        "POST", "/chat/completions", json=BODY | {"model": model, "stream": True}
    ) as s:
        for line in s.iter_lines():
            if line.startswith("data: "):
                return


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came true")


@pytest.mark.parametrize(
    ("model", "stops"), [("openai/gpt-4o", True), ("google/gemini-2.5-flash", False)]
)
def test_cancelled_stream_is_charged_as_its_provider_does(
    tmp_path: Path, model: str, stops: bool
) -> None:
    log = tmp_path / "charges.jsonl"
    rule = FaultRule(fault=Fault.SLOW_DRIP, seconds=8)
    config = SimulatorConfig(latency_scale=0, charge_log=log, faults=(rule,))
    with running_simulator(config) as running, client_of(running) as client:
        cancel_after_first_event(client, model)
        wait_for(lambda: running.charges[0].cancelled)
        charge = running.charges[0]
        params = {"id": charge.generation_id}
        generation = decimals(client.get("/generation", params=params))
    full = Decimal(json.loads(log.read_bytes().splitlines()[0])["cost"])
    assert (charge.cost < full) is stops
    assert charge.cost > 0
    assert generation["cancelled"] is True and generation["total_cost"] == charge.cost
    assert len(log.read_bytes().splitlines()) == 2 and read_charges(log) == [charge]


def test_credits_bound_what_a_request_may_ask_for() -> None:
    limit = Decimal("0.002")  # 200 tokens of gpt-4o, less the prompt
    config = SimulatorConfig(latency_scale=0, credit_limit_usd=limit)
    with running_simulator(config) as running, client_of(running) as client:
        without = client.post("/chat/completions", json=BODY)
        assert without.status_code == 402
        assert "can only afford 19" in without.json()["error"]["message"]
        served = [
            client.post("/chat/completions", json=BODY | {"max_tokens": 100}).status_code
            for _ in range(3)
        ]
        assert served == [200, 402, 402]
        key = decimals(client.get("/key"))
        assert key["limit"] == limit
        assert key["limit_remaining"] == limit - running.charges[0].cost


def test_answer_without_a_written_charge_is_not_given() -> None:
    config = SimulatorConfig(latency_scale=0, charge_log=Path("/dev/full"))
    with running_simulator(config) as running, client_of(running) as client:
        answer = client.post("/chat/completions", json=BODY)
    assert answer.status_code == 500
    assert "No space left" in answer.json()["error"]["message"]


def test_charges_door_filters_by_generation_and_time() -> None:
    with (
        running_simulator(SimulatorConfig(latency_scale=0)) as running,
        client_of(running) as client,
    ):
        ids = [
            client.post("/chat/completions", json=BODY).headers["X-Generation-Id"] for _ in range(2)
        ]
        door = f"{running.root_url}/simulator/charges"
        assert client.get(door).json()["count"] == 2
        one = client.get(door, params={"generation_id": ids[1]}).json()
        assert [row["generation_id"] for row in one["data"]] == [ids[1]]
        assert one["true_cost"] == one["data"][0]["cost"]
        assert client.get(door, params={"since": "2999-01-01T00:00:00+00:00"}).json()["count"] == 0
        assert client.get(door, params={"since": "tomorrow"}).status_code == 400
        state = client.get(f"{running.root_url}/simulator/state").json()
        assert state["charges"] == 2 and state["simulated"] is True


def start_and_stop(config: SimulatorConfig, port: int = 0) -> None:
    with running_simulator(config, port=port):
        pass


def test_start_fails_with_one_clear_error_when_the_world_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a log\n")
    with pytest.raises(InvalidConfiguration, match="not a line of a charge log"):
        start_and_stop(SimulatorConfig(charge_log=tmp_path / "file"))
    with pytest.raises(DiskFull):
        start_and_stop(SimulatorConfig(charge_log=tmp_path / "file" / "below"))
    with running_simulator(SimulatorConfig()) as running:
        port = int(running.root_url.rpartition(":")[2])
        with pytest.raises(PortTaken, match=str(port)):
            start_and_stop(SimulatorConfig(), port=port)
