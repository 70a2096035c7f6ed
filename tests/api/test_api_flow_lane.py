"""Lane flow inside the API process: every request a Prefect flow run, with warm clients."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.api.options import ServeOptions
from deployments.postgres import PostgresServer, running_postgres
from deployments.prefect_server import client_environment, running_prefect_server
from deployments.simulator import RunningSimulator
from tasks.adapters.settings import Settings
from tests.api.conftest import RunningApi, running_api
from tests.deployments.fleet.conftest import running_fleet

ASK = {"messages": [{"role": "user", "content": "Is the payment service up?"}]}


@pytest.fixture(scope="module")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server on a PostgreSQL of its own: no other test has put a deployment there."""
    home = tmp_path_factory.mktemp("prefect of the api")
    settings = Settings(switchyard_home=home)
    with (
        running_postgres(home) as postgres,
        running_prefect_server(settings, postgres) as url,
        pytest.MonkeyPatch.context() as m,
    ):
        for name, value in client_environment(
            settings.model_copy(update={"prefect_api_url": url})
        ).items():
            m.setenv(name, value)
        from prefect.context import refresh_global_settings_context  # reads the environment

        refresh_global_settings_context()
        yield url
        _forget_server()
    refresh_global_settings_context()


def _forget_server() -> None:
    """End Prefect's threads that send to this server: the next tests have another one."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=30)
    APILogWorker.drain_all(timeout=30)


@pytest.fixture
def api(prefect_url: str, settings: Settings, simulator: RunningSimulator) -> Iterator[RunningApi]:
    mine = settings.model_copy(update={"prefect_api_url": prefect_url})
    with running_api(mine, simulator, ServeOptions(port=0, lane="flow", drain_s=5)) as running:
        yield running


def _runs(url: str) -> dict[str, str]:
    body = {"sort": "START_TIME_DESC", "limit": 50}
    answer = httpx.post(f"{url}/flow_runs/filter", json=body, timeout=30, trust_env=False)
    return {run["id"]: run["state"]["type"] for run in answer.json()}


def test_requests_are_flow_runs_unless_they_ask_for_the_ledger(
    api: RunningApi, prefect_url: str
) -> None:
    with api.client() as client:
        task = client.post("/api/routing/tasks", json={"prompt": "Is it up?"}).json()
        chat = client.post("/v1/chat/completions", json=ASK).json()["switchyard"]
        plain = client.post(
            "/v1/chat/completions", json=ASK, headers={"X-Switchyard-Trace": "ledger"}
        ).json()["switchyard"]
        with client.stream("POST", "/v1/chat/completions", json=ASK | {"stream": True}) as answer:
            lines = [line for line in answer.iter_lines() if line]
        ready = client.get("/readyz").json()
        missing = client.post("/api/routing/tasks?wait=false", json={"prompt": "Is it up?"})
    runs = _runs(prefect_url)
    assert runs[task["flow_run_id"]] == runs[chat["flow_run_id"]] == "COMPLETED"
    assert plain["flow_run_id"] is None
    assert lines[-1] == "data: [DONE]" and '"flow_run_id":"' in lines[-2]
    assert ready == {
        "ready": True,
        "parts": {"database": "ok", "upstream": "ok", "prefect": "ok"},
    }
    assert missing.status_code in (404, 503)  # no deployment here: said so, not swallowed
    assert len(runs) == 3


def test_sampling_traces_a_share_and_none_of_the_rest(
    prefect_url: str, settings: Settings, simulator: RunningSimulator
) -> None:
    mine = settings.model_copy(update={"prefect_api_url": prefect_url})
    options = ServeOptions(port=0, lane="flow", trace_sample=0.0, drain_s=5)
    before = len(_runs(prefect_url))
    with running_api(mine, simulator, options) as api, api.client() as client:
        for _ in range(5):
            assert client.post("/v1/chat/completions", json=ASK).status_code == 200
    assert len(_runs(prefect_url)) == before


def test_every_process_of_several_runs_flows_and_ends_when_asked(
    prefect_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    prefect = {name: text for name, text in os.environ.items() if name.startswith("PREFECT_")}
    with running_fleet(postgres_server, tmp_path, "--trace", "flow", **prefect) as fleet:
        with httpx.Client(base_url=fleet.url, timeout=60, trust_env=False) as first:
            first.get("/healthz").raise_for_status()  # it has one process, so that
            with httpx.Client(base_url=fleet.url, timeout=60, trust_env=False) as second:
                answers = [one.post("/v1/chat/completions", json=ASK) for one in (first, second)]
                assert len(set(fleet.served_by().values())) == 2
        assert fleet.end(signal.SIGTERM) == 0
    runs = _runs(prefect_url)
    ids = [answer.json()["switchyard"]["flow_run_id"] for answer in answers]
    assert [runs[run_id] for run_id in ids] == ["COMPLETED"] * 2
