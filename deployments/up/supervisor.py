"""Start the parts in order, keep them running, stop them in the reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from deployments.up.log import UpLog
from deployments.up.part import Part, Step
from deployments.up.process import PartProcess, spawn
from deployments.up.together import together
from models.errors import InvalidConfiguration, WorldFailed

READY_EVERY_S = 0.1
HEALTH_EVERY_S = 10.0
SICK_CHECKS = 3
QUICK_DEATH_S = 30.0
QUICK_DEATHS_MAX = 5
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
STEP_STOP_S = 5.0
BAD_INPUT = 2


class Supervisor:
    """The parts that run, in the order in which they were started."""

    def __init__(self, log: UpLog, held_fds: Sequence[int]) -> None:
        self._log = log
        self._held_fds = held_fds
        self._parts: dict[str, Part] = {}
        self._running: dict[str, PartProcess] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._killed = False

    async def start(self, programs: Sequence[Part | Step]) -> None:
        """Start everything as soon as what it needs is ready; return when all of it is.

        Raises WorldFailed with the part's own last words when one ends before it was ready.
        """
        await together(*(self._start(program) for program in programs))

    async def ready(self, name: str) -> None:
        """Wait until the part is ready, also when its start is not ordered yet."""
        await self._gate(name).wait()

    def pass_gate(self, name: str) -> None:
        """Let those start that need `name`, which is no part."""
        self._gate(name).set()

    async def keep(self) -> None:
        """Restart what dies or falls silent; raises WorldFailed when one part keeps on dying."""
        await together(*(self._keep(part) for part in self._parts.values()))

    async def stop(self) -> None:
        """Stop every part after those that use it, each with its deadline."""
        gone = {name: asyncio.Event() for name in self._running}
        await together(*(self._stop(name, gone) for name in self._running))

    def kill(self) -> None:
        """Kill everything at once."""
        self._killed = True
        for process in self._running.values():
            process.kill()

    async def _start(self, program: Part | Step) -> None:
        for name in program.needs:
            await self.ready(name)
        if isinstance(program, Part):
            self._parts[program.name] = program
            await self._until_ready(program)
        else:
            await self._run_step(program)
        self.pass_gate(program.name)

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    async def _until_ready(self, part: Part) -> None:
        process = await self._spawn(part, shown=not part.quiet_until_ready)
        deadline_s = time.monotonic() + part.start_timeout_s
        while not await part.probe(process.pid):
            if await process.wait(READY_EVERY_S):
                raise WorldFailed(f"{part.name} {process.end_text()} (log: {self._log.file})")
            if time.monotonic() > deadline_s:
                raise WorldFailed(
                    f"{part.name} was not ready after {part.start_timeout_s:.0f} s:"
                    f" {' | '.join(process.tail)} (log: {self._log.file})"
                )
        process.show()
        self._log.write(part.name, f"ready after {process.age_s:.1f} s")

    async def _run_step(self, step: Step) -> None:
        process = await self._spawn(step, shown=False)
        if not await process.wait(step.timeout_s):
            raise WorldFailed(f"{step.name} did not end within {step.timeout_s:.0f} s")
        del self._running[step.name]
        if process.returncode == BAD_INPUT:
            raise InvalidConfiguration(process.tail[-1] if process.tail else step.name)
        if process.returncode != 0:
            raise WorldFailed(f"{step.name} {process.end_text()}")
        self._log.write(step.name, f"done after {process.age_s:.1f} s")

    async def _spawn(self, program: Part | Step, *, shown: bool = True) -> PartProcess:
        process = await spawn(program, self._log.write, self._held_fds, shown=shown)
        self._running[program.name] = process
        if self._killed:
            process.kill()
        return process

    async def _keep(self, part: Part) -> None:
        quick_deaths = 0
        while True:
            process = self._running[part.name]
            complaint = await self._until_unwell(part, process)
            quick_deaths = quick_deaths + 1 if process.age_s < QUICK_DEATH_S else 1
            if quick_deaths >= QUICK_DEATHS_MAX:
                raise WorldFailed(
                    f"{part.name} {complaint}; {quick_deaths} times in a row, so all is stopped"
                    f" (log: {self._log.file})"
                )
            backoff_s = BACKOFF_S[quick_deaths - 1]
            self._log.write(part.name, f"WARNING {complaint}; restarted in {backoff_s} s")
            await process.stop(part.stop_timeout_s)
            await asyncio.sleep(backoff_s)
            await self._restart(part)

    async def _restart(self, part: Part) -> None:
        """Start it again; what goes wrong now is judged by the next look at it."""
        process = await self._spawn(part)
        deadline_s = time.monotonic() + part.start_timeout_s
        while not await part.probe(process.pid):
            if await process.wait(READY_EVERY_S) or time.monotonic() > deadline_s:
                return
        self._log.write(part.name, f"ready again after {process.age_s:.1f} s")

    async def _until_unwell(self, part: Part, process: PartProcess) -> str:
        """Return the complaint: how it ended, or that it does not answer any more."""
        sick_checks = 0
        while not await process.wait(HEALTH_EVERY_S):
            sick_checks = 0 if await part.probe(process.pid) else sick_checks + 1
            if sick_checks >= SICK_CHECKS:
                return f"failed {SICK_CHECKS} health checks"
        return process.end_text()

    async def _stop(self, name: str, gone: dict[str, asyncio.Event]) -> None:
        for user, part in self._parts.items():
            if name in (*part.needs, *part.uses) and user in gone:
                await gone[user].wait()
        part_or_none = self._parts.get(name)
        timeout_s = part_or_none.stop_timeout_s if part_or_none else STEP_STOP_S
        if not await self._running[name].stop(timeout_s):
            self._log.write(name, f"WARNING did not end within {timeout_s:.0f} s and was killed")
        gone[name].set()
