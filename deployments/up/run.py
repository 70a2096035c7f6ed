"""The life of `switchyard up`: take the home, start the parts, keep them, stop them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from deployments.ports import LOOPBACK, demand_free
from deployments.postgres import PostgresServer, running_postgres
from deployments.prefect_server import client_environment, is_migrated, migration, stamp_migrated
from deployments.system import check_addresses, embedded_database, make_home
from deployments.up import parts
from deployments.up.deployed import is_deployed
from deployments.up.embedded import keep_postgres
from deployments.up.family import family_lock, only_one, postgres_guard
from deployments.up.log import UpLog
from deployments.up.part import Part, Step
from deployments.up.parts import Choice
from deployments.up.summary import summary
from deployments.up.supervisor import Supervisor
from deployments.up.together import together
from deployments.up_file import UpFile, process_started_at, remove_up_file, write_up_file
from tasks.adapters.settings import Settings, export_settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
Announce = Callable[[UpFile], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before the first part starts."""

    settings: Settings
    choice: Choice
    postgres: PostgresServer | None
    simulator_port: int | None
    prefect_port: int | None

    @property
    def up_file(self) -> UpFile:
        """Where the system is, for other commands."""
        api_url = f"http://{LOOPBACK}:{self.choice.port}" if self.choice.api else None
        return UpFile(
            pid=os.getpid(),
            started_at=process_started_at(os.getpid()) or "",
            database_url=self.settings.database_dsn,
            prefect_api_url=self.settings.prefect_api_url or "",
            simulator_url=self.settings.switchyard_simulator_url,
            api_url=api_url,
        )


def run_up(settings: Settings, choice: Choice, announce: Announce) -> int:
    """Run the system until Ctrl-C or SIGTERM; return the exit code.

    Raises WorldFailed when it runs already, a port is taken, or a part cannot be kept running.
    """
    check_addresses(settings)
    make_home(settings.home)
    with ExitStack() as stack:
        stack.enter_context(only_one(settings.home))
        log = UpLog(settings.home / "log", settings.secrets())
        stack.callback(log.close)
        lock_fd = stack.enter_context(family_lock(settings.home, log.say))
        pipe_fd = stack.enter_context(postgres_guard(settings.home))
        plan = stack.enter_context(_planned(settings, choice, log))
        supervisor = Supervisor(log, (lock_fd, pipe_fd))
        return asyncio.run(_run(plan, supervisor, log, announce))


@contextlib.contextmanager
def _planned(settings: Settings, choice: Choice, log: UpLog) -> Iterator[Plan]:
    """Choose the ports, start PostgreSQL, and put every address into the environment."""
    own_prefect = settings.prefect_api_url is None
    own_simulator = settings.simulated and settings.switchyard_simulator_url is None
    if choice.api:
        demand_free(choice.port)
    prefect_port = demand_free(choice.prefect_port) if own_prefect else None
    simulator_port = demand_free(0) if own_simulator else None
    found: dict[str, object] = {}
    with ExitStack() as stack:
        postgres = None
        if settings.database_url is None or own_prefect:
            began_s = time.monotonic()
            postgres = stack.enter_context(running_postgres(settings.home))
            log.write("postgres", f"ready after {time.monotonic() - began_s:.1f} s")
        if settings.database_url is None and postgres is not None:
            found["database_url"] = embedded_database(settings, postgres)
        if prefect_port is not None:
            found["prefect_api_url"] = f"http://{LOOPBACK}:{prefect_port}/api"
        if simulator_port is not None:
            found["switchyard_simulator_url"] = f"http://{LOOPBACK}:{simulator_port}/api/v1"
        complete = settings.model_copy(update=found)
        export_settings(complete)
        os.environ.update(client_environment(complete))
        yield Plan(complete, choice, postgres, simulator_port, prefect_port)


async def _run(plan: Plan, supervisor: Supervisor, log: UpLog, announce: Announce) -> int:
    signals = _Signals(supervisor, log)
    work = asyncio.create_task(_start_and_keep(plan, supervisor, log, announce))
    ordered = asyncio.create_task(signals.ordered.wait())
    await asyncio.wait([work, ordered], return_when=asyncio.FIRST_COMPLETED)
    failure = work.exception() if work.done() else None
    if failure is not None:
        log.say(f"ERROR {failure}")
    for task in (work, ordered):
        task.cancel()
    await asyncio.gather(work, ordered, return_exceptions=True)
    remove_up_file(plan.settings.home)
    log.say("stopping; Ctrl-C again kills what is left")
    signals.asked = True
    began_s = time.monotonic()
    await supervisor.stop()
    log.say(f"stopped after {time.monotonic() - began_s:.1f} s")
    if failure is not None:
        raise failure
    return INTERRUPTED if signals.number == signal.SIGINT else 0


class _Signals:
    """The first signal orders the stop, the next one kills."""

    def __init__(self, supervisor: Supervisor, log: UpLog) -> None:
        self.ordered = asyncio.Event()
        self.asked = False
        self.number: int | None = None
        self._supervisor = supervisor
        self._log = log
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._receive, number)

    def _receive(self, number: int) -> None:
        if self.asked:
            self._log.say("WARNING killing what is left")
            self._supervisor.kill()
        else:
            self.asked, self.number = True, number
            self.ordered.set()


async def _start_and_keep(
    plan: Plan, supervisor: Supervisor, log: UpLog, announce: Announce
) -> None:
    began_s = time.monotonic()
    await together(_start(plan, supervisor), _deploy(plan, supervisor))
    write_up_file(plan.settings.home, plan.up_file)
    log.block(summary(plan.settings, plan.up_file, log.file, time.monotonic() - began_s))
    announce(plan.up_file)
    keepers = [supervisor.keep()]
    if plan.postgres is not None:
        keepers.append(keep_postgres(plan.settings.home, plan.postgres, log))
    await together(*keepers)


async def _start(plan: Plan, supervisor: Supervisor) -> None:
    programs: list[Part | Step] = [parts.prepare_step()]
    if plan.simulator_port is not None:
        programs.append(parts.simulator_part(plan.settings, plan.simulator_port))
    if plan.prefect_port is not None and plan.postgres is not None:
        programs.append(parts.prefect_part(plan.settings, plan.postgres, plan.prefect_port))
    if plan.choice.worker:
        api_url = plan.settings.prefect_api_url or ""
        programs.append(parts.worker_part(api_url, own_server=plan.prefect_port is not None))
    if plan.choice.api:
        programs.append(parts.api_part(plan.choice.port, plan.choice.api_processes))
    await together(supervisor.start(programs), _migrate(plan, supervisor))


async def _migrate(plan: Plan, supervisor: Supervisor) -> None:
    """Bring Prefect's own database up to date, one process at a time."""
    if plan.postgres is None or plan.prefect_port is None:
        return
    home = plan.settings.prefect_home
    with await asyncio.to_thread(migration, home):
        if not is_migrated(home):
            await supervisor.start([parts.migrate_step(plan.settings, plan.postgres)])
            stamp_migrated(home)
    supervisor.pass_gate("migrate")


async def _deploy(plan: Plan, supervisor: Supervisor) -> None:
    """Apply prefect.yaml unless the server has it; a new server certainly has not."""
    api_url = plan.settings.prefect_api_url or ""
    known = plan.prefect_port is None or is_migrated(plan.settings.prefect_home)
    if known and plan.prefect_port is not None:
        await supervisor.ready("prefect")
    block = plan.settings.switchyard_notify_block
    if not known or not await asyncio.to_thread(is_deployed, api_url, block):
        await supervisor.start([parts.deploy_step()])
