"""The supervisor over tiny parts: start order, restart, giving up, stop, kill."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployments.up import supervisor as module
from deployments.up.log import UpLog
from deployments.up.part import Part, Step
from deployments.up.supervisor import Supervisor
from models.errors import InvalidConfiguration, WorldFailed

pytestmark = pytest.mark.anyio

# argv: the file to note events in, the name, then what it does.
TINY = """
import os, signal, sys, time
events, name, *does = sys.argv[1:]
def note(what):
    with open(events, "a") as file:
        file.write(f"{name} {what}\\n")
def end(*_):
    note("stops")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in does else end)
note(f"starts {os.getpid()}")
if "dies" in does:
    sys.exit("out of luck")
if "refuses" in does:
    print("no such option")
    sys.exit(2)
if "step" in does:
    sys.exit(0)
open(f"{events}.{name}.ready", "w").close()
while True:
    time.sleep(0.05)
"""


@dataclass
class Stage:
    """A folder with the tiny module, what its parts noted down, and their supervisor."""

    folder: Path
    log: UpLog
    terminal: io.StringIO
    supervisor: Supervisor
    well: dict[str, bool] = field(default_factory=dict)

    @property
    def events(self) -> list[str]:
        file = self.folder / "events"
        return file.read_text().splitlines() if file.exists() else []

    def starts_of(self, name: str) -> list[int]:
        return [int(e.split()[2]) for e in self.events if e.startswith(f"{name} starts")]

    def part(self, name: str, *does: str, needs: tuple[str, ...] = (), stop_s: float = 10) -> Part:
        ready = self.folder / f"events.{name}.ready"

        async def probe(pid: int) -> bool:
            return ready.exists() and self.well.get(name, True)

        return Part(
            name, "tiny", self._arguments(name, does), self._environment(), probe, needs,
            stop_timeout_s=stop_s,
        )  # fmt: skip

    def step(self, name: str, *does: str, needs: tuple[str, ...] = ()) -> Step:
        return Step(name, "tiny", self._arguments(name, does), self._environment(), needs)

    def _arguments(self, name: str, does: tuple[str, ...]) -> tuple[str, ...]:
        return (str(self.folder / "events"), name, *does)

    def _environment(self) -> dict[str, str]:
        return dict(os.environ) | {"PYTHONPATH": str(self.folder)}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  (of other processes)
                await asyncio.sleep(0.02)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(module, "BACKOFF_S", (0.0,) * 5)
    monkeypatch.setattr(module, "HEALTH_EVERY_S", 0.05)
    (tmp_path / "tiny.py").write_text(TINY)
    terminal = io.StringIO()
    log = UpLog(tmp_path / "log", [], terminal)
    supervisor = Supervisor(log, ())
    yield Stage(tmp_path, log, terminal, supervisor)
    supervisor.kill()
    await supervisor.stop()
    log.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_supervisor_starts_what_is_needed_first_and_stops_it_last(stage: Stage) -> None:
    await stage.supervisor.start(
        [
            stage.part("worker", needs=("prepare",)),
            stage.step("prepare", "step", needs=("server",)),
            stage.part("server"),
        ]
    )
    await stage.supervisor.stop()
    assert [event.split()[0] for event in stage.events if "starts" in event] == [
        "server",
        "prepare",
        "worker",
    ]
    # The step is no part any more, so only parts that name each other wait for each other.
    assert {event for event in stage.events if "stops" in event} == {
        "server stops",
        "worker stops",
    }


async def test_supervisor_stops_a_part_after_those_that_use_it(stage: Stage) -> None:
    parts = [stage.part("worker", needs=("server",)), stage.part("server")]
    await stage.supervisor.start(parts)
    await stage.supervisor.stop()
    assert stage.events[-2:] == ["worker stops", "server stops"]


async def test_supervisor_says_the_last_words_of_a_part_that_ends_at_its_start(
    stage: Stage,
) -> None:
    with pytest.raises(WorldFailed, match="api ended with exit code 1: out of luck"):
        await stage.supervisor.start([stage.part("api", "dies"), stage.part("server")])


async def test_supervisor_reports_bad_input_as_such_when_a_step_refuses(stage: Stage) -> None:
    with pytest.raises(InvalidConfiguration, match="no such option"):
        await stage.supervisor.start([stage.step("prepare", "refuses")])


async def test_supervisor_restarts_a_part_that_was_killed(stage: Stage) -> None:
    await stage.supervisor.start([stage.part("worker"), stage.part("api")])
    keeping = asyncio.create_task(stage.supervisor.keep())
    [first] = stage.starts_of("worker")
    os.kill(first, signal.SIGKILL)
    await stage.until(lambda: len(stage.starts_of("worker")) == 2)
    await stage.until(lambda: "ready again" in stage.terminal.getvalue())
    keeping.cancel()
    assert "worker    WARNING was killed by SIGKILL; restarted" in stage.terminal.getvalue()
    assert len(stage.starts_of("api")) == 1


async def test_supervisor_restarts_a_part_that_fails_its_health_checks(stage: Stage) -> None:
    await stage.supervisor.start([stage.part("worker")])
    keeping = asyncio.create_task(stage.supervisor.keep())
    stage.well["worker"] = False
    await stage.until(lambda: len(stage.starts_of("worker")) == 2)
    stage.well["worker"] = True
    await stage.until(lambda: "ready again" in stage.terminal.getvalue())
    keeping.cancel()
    assert "failed 3 health checks; restarted" in stage.terminal.getvalue()
    assert not alive(stage.starts_of("worker")[0])


async def test_supervisor_gives_up_in_one_line_when_a_part_keeps_dying(stage: Stage) -> None:
    await stage.supervisor.start([stage.part("worker")])
    stage.supervisor._parts["worker"] = stage.part("worker", "dies")
    keeping = asyncio.create_task(stage.supervisor.keep())
    os.kill(stage.starts_of("worker")[0], signal.SIGKILL)
    with pytest.raises(WorldFailed, match=r"worker ended .*: out of luck; 5 times in a row") as end:
        await asyncio.wait_for(keeping, 60)
    assert "\n" not in str(end.value)
    assert len(stage.starts_of("worker")) == 5


async def test_supervisor_kills_a_part_that_does_not_end_in_time(stage: Stage) -> None:
    await stage.supervisor.start([stage.part("worker", "deaf", stop_s=0.2)])
    [pid] = stage.starts_of("worker")
    await stage.supervisor.stop()
    assert not alive(pid)
    assert "did not end within 0 s and was killed" in stage.terminal.getvalue()


async def test_supervisor_kills_everything_at_once_when_told_to(stage: Stage) -> None:
    await stage.supervisor.start([stage.part("worker", "deaf", stop_s=60), stage.part("api")])
    stopping = asyncio.create_task(stage.supervisor.stop())
    await asyncio.sleep(0)
    stage.supervisor.kill()
    await asyncio.wait_for(stopping, 10)
    assert not any(alive(pid) for name in ("worker", "api") for pid in stage.starts_of(name))


PARENT = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from deployments.up.family import family_lock
from deployments.up.log import UpLog
from deployments.up.part import Part
from deployments.up.supervisor import Supervisor

async def probe(pid):
    return os.path.exists(sys.argv[1] + ".worker.ready")

async def main():
    with family_lock(Path(sys.argv[2]), print) as lock_fd:
        log = UpLog(Path(sys.argv[2]) / "log", [])
        environment = dict(os.environ) | {"PYTHONPATH": sys.argv[2]}
        part = Part("worker", "tiny", (sys.argv[1], "worker"), environment, probe)
        await Supervisor(log, (lock_fd,)).start([part])
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_part_ends_when_its_supervisor_is_killed(stage: Stage) -> None:
    from deployments.up.family import family_lock

    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(stage.folder / "events"), str(stage.folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"
    [child] = stage.starts_of("worker")
    parent.kill()
    await parent.wait()
    with family_lock(stage.folder, print):  # waits until the child is gone
        assert "worker stops" in stage.events
    await stage.until(lambda: not alive(child))
