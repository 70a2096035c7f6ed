"""What every test may ask for: PostgreSQL, a database of its own, a simulator, a runtime.

Every decision that a test makes is replayed when its database goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from pydantic import SecretStr

from deployments.postgres import PostgresServer, running_postgres
from deployments.preparation import prepared_runtime
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from models.replay import replay_difference
from tasks.adapters.database import Database, open_database
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import Settings
from tests.bench import Bench, Collected

TEMPLATE = "switchyard_template"
PREPARED = "switchyard_prepared"
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 << 30
REPLAYED = pytest.StashKey[list[int]]()


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C reach the commands of tests: a run in the background hands on to ignore it."""
    if hasattr(config, "workerinput"):
        signal.signal(signal.SIGINT, _interrupt_once)
    elif signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt_once(*_: object) -> None:
    """End the tests; execnet's second signal must not cut short the end of what they started.

    Commands of tests get the default back, as every handler goes with `exec`.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    raise KeyboardInterrupt


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.workermanage import NodeManager

    from tests.parallel import ByFile

    NodeManager.EXIT_TIMEOUT = 15  # s to end servers in after Ctrl-C, as long as execnet waits
    config.option.loadscopereorder = False  # which would begin the files with most tests first
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        from tests.parallel import longest_first

        longest_first(items)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for the whole session (of each worker), below a path with a space."""
    with _quick_folder(tmp_path_factory) as folder, running_postgres(folder) as server:
        server.ensure_database(TEMPLATE)
        upgrade_database(server.url(TEMPLATE))
        yield server


@contextlib.contextmanager
def _quick_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is room: a database for every test is many small files."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        with tempfile.TemporaryDirectory(prefix="switchyard tests ", dir=MEMORY) as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("switchyard home")


@pytest.fixture
def database_url(postgres_server: PostgresServer, pytestconfig: pytest.Config) -> Iterator[str]:
    """A migrated database of the test's own, cloned from the template."""
    with cloned_database(postgres_server, TEMPLATE, pytestconfig) as url:
        yield url


@contextlib.contextmanager
def cloned_database(
    server: PostgresServer, template: str, pytestconfig: pytest.Config
) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        yield server.url(name)
        replay_every_decision(server.url(name), pytestconfig)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def replay_every_decision(url: str, pytestconfig: pytest.Config) -> None:
    """Fail when a decision, recomputed from its stored snapshot, is not the stored one."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        rows = connection.execute(
            "SELECT id, snapshot, plan, earlier_plans FROM routing_decisions"
            " WHERE snapshot IS NOT NULL"
        ).fetchall()
    parts = [(row["id"], part) for row in rows for part in (*row["earlier_plans"], row)]
    for decision_id, part in parts:
        difference = replay_difference(part["snapshot"], part["plan"])
        assert difference is None, f"decision {decision_id} replays differently: {difference}"
    pytestconfig.stash.setdefault(REPLAYED, []).append(len(parts))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if replayed := sum(config.stash.get(REPLAYED, [])):
        terminalreporter.write_line(f"replayed {replayed} decisions of this run: all identical")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a parallel worker hand its count to the process that writes the summary."""
    if (handed_on := getattr(session.config, "workeroutput", None)) is not None:
        handed_on["replayed"] = session.config.stash.get(REPLAYED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    replayed = getattr(node, "workeroutput", {}).get("replayed", [])
    node.config.stash.setdefault(REPLAYED, []).extend(replayed)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, opened."""
    async with open_database(database_url) as opened:
        yield opened


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    """A simulator without latency, with a charge log of its own."""
    config = SimulatorConfig(latency_scale=0, charge_log=tmp_path / "charges.jsonl")
    with running_simulator(config) as running:
        yield running


@pytest.fixture(scope="session")
def prepared_template(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The template of a database that is ready to route: prices read, policies seeded."""
    postgres_server.ensure_database(PREPARED)
    upgrade_database(postgres_server.url(PREPARED))

    async def prepare(settings: Settings) -> None:
        async with prepared_runtime(settings):
            pass

    with running_simulator(SimulatorConfig(latency_scale=0)) as running:
        home = tmp_path_factory.mktemp("preparation")
        asyncio.run(prepare(settings_for(postgres_server.url(PREPARED), running.url, home)))
    return PREPARED


@pytest.fixture
def routing_url(
    postgres_server: PostgresServer, prepared_template: str, pytestconfig: pytest.Config
) -> Iterator[str]:
    """A database of the test's own that is ready to route."""
    with cloned_database(postgres_server, prepared_template, pytestconfig) as url:
        yield url


def settings_for(database_url: str, simulator_url: str, home: Path) -> Settings:
    return Settings(
        openrouter_api_key=None,
        openrouter_base_url=None,
        prefect_api_url=None,
        switchyard_api_key=None,
        database_url=SecretStr(database_url),
        switchyard_simulator_url=simulator_url,
        switchyard_home=home,
        switchyard_request_timeout_s=10,
    )


@pytest.fixture
def settings(routing_url: str, simulator: RunningSimulator, tmp_path: Path) -> Settings:
    """Settings that point at the test's own database and simulator."""
    return settings_for(routing_url, simulator.url, tmp_path)


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """The runtime that the steps use, over a prepared database; its books must balance after."""
    async with open_runtime(settings) as opened:
        yield opened
        report = await opened.ledger.audit()
        assert report.is_clean, report.differences


@pytest.fixture
def bench(runtime: Runtime, simulator: RunningSimulator) -> Bench:
    """Routes requests in the lane `ledger` and knows the books of both sides."""
    return Bench(runtime, simulator)


@pytest.fixture
def collected() -> Collected:
    """A sink for streamed answers."""
    return Collected()
