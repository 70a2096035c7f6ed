"""Attempts at one answer at once: the first good one is taken, the others are cancelled.

Injected as the sink is, never a task parameter. In a race every call is streamed, even when nobody
listens: only a stream can be cancelled before its end, and its generation id, with which a
cancelled call is priced, is known from the start (openrouter.ai/docs, streaming, 2026-08-22).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import TracebackType
from uuid import UUID

from models.completion import Completion, StreamDelta
from models.errors import LostRace, Refused, UpstreamFailed
from tasks.adapters.scoped import scoped
from tasks.adapters.sink import Sink, current_sink, streaming_into

LOST = "another model answered first"
Attempt = Callable[[], Awaitable[Completion]]
_current: ContextVar[Contestant | None] = ContextVar("switchyard_contestant", default=None)


def current_contestant() -> Contestant | None:
    """Return the contestant that this call is made for, None outside a race."""
    return _current.get()


def claims_victory() -> bool:
    """Say whether a good answer of this call may be taken; outside a race it always may."""
    contestant = _current.get()
    return contestant is None or contestant.claims()


def has_lost() -> bool:
    """Say whether another contestant has won already."""
    contestant = _current.get()
    return contestant is not None and contestant.race.winner not in (None, contestant)


def raise_as_lost(interruption: BaseException) -> None:
    """Raise LostRace for the cancellation of a call that has lost; it is no cancellation then."""
    task = asyncio.current_task()
    if isinstance(interruption, asyncio.CancelledError) and task is not None and has_lost():
        task.uncancel()
        raise LostRace(LOST) from interruption


class Race:
    """Leaving it cancels whoever still runs, and waits until their money is booked."""

    def __init__(self) -> None:
        self.winner: Contestant | None = None
        self.decided = asyncio.Event()
        self._contestants: list[Contestant] = []

    async def __aenter__(self) -> Race:
        """Open the race."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the race."""
        tasks = [contestant.task for contestant in self._contestants]
        for task in tasks:
            if not task.cancelling():  # a second time would cut off the booking
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def enter(self, attempt: Attempt) -> Contestant:
        """Start an attempt; the first one's model is announced at once, another's when it wins."""
        contestant = Contestant(self, attempt, announces_at_once=not self._contestants)
        self._contestants.append(contestant)
        return contestant

    async def end(self) -> Contestant | None:
        """Wait until somebody has won or nobody can any more; an error of ours ends it as well.

        Who has lost is cancelled now: a winner that streams may go on for long.
        """
        decided = asyncio.create_task(self.decided.wait())
        try:
            while self.winner is None:
                broken = next((one for one in self._contestants if one.is_broken), None)
                running = [one.task for one in self._contestants if not one.task.done()]
                if broken is not None or not running:
                    return broken
                await asyncio.wait([*running, decided], return_when=asyncio.FIRST_COMPLETED)
        finally:
            decided.cancel()
        for one in self._contestants:
            if one is not self.winner:
                one.task.cancel()
        return self.winner


class Contestant:
    """One attempt in a race."""

    def __init__(self, race: Race, attempt: Attempt, *, announces_at_once: bool) -> None:
        self.race = race
        self.sent = asyncio.Event()
        sink = current_sink()
        self._sink = None if sink is None else RacingSink(self, sink, announces_at_once)
        self.task: asyncio.Task[Completion] = asyncio.create_task(self._run(attempt))

    async def _run(self, attempt: Attempt) -> Completion:
        with scoped(_current, self), streaming_into(self._sink):
            completion = await attempt()
        if not self.claims():
            raise LostRace(LOST, completion=completion)
        return completion

    def claims(self) -> bool:
        """Win, unless another has won."""
        if self.race.winner is None:
            self.race.winner = self
            self.race.decided.set()
        return self.race.winner is self

    async def settles_within(self, seconds: float) -> bool:
        """Say whether it has ended or won so long after it was sent; waiting for it to be sent."""
        sent = asyncio.create_task(self.sent.wait())
        decided = asyncio.create_task(self.race.decided.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait([self.task, sent], return_when=first)
            await asyncio.wait([self.task, decided], timeout=seconds, return_when=first)
        finally:
            sent.cancel()
            decided.cancel()
        return self.task.done() or self.race.winner is self

    @property
    def failure(self) -> BaseException | None:
        """The error that it ended with; None while it runs, after an answer, and when cut off."""
        if not self.task.done() or self.task.cancelled():
            return None
        return self.task.exception()

    @property
    def is_broken(self) -> bool:
        """Whether it ended by anything but an answer, the upstream's failure or a refusal."""
        if self.task.done() and self.task.cancelled():
            return True
        return not isinstance(self.failure, UpstreamFailed | Refused | None)


class RacingSink:
    """Passes on what the winner brings; the first piece that says something wins the race."""

    def __init__(self, contestant: Contestant, sink: Sink, announces_at_once: bool) -> None:
        self._contestant, self._sink = contestant, sink
        self._announces_at_once = announces_at_once
        self._choice: tuple[UUID, str, str] | None = None
        self._kept: list[StreamDelta] = []
        self._started = False

    @property
    def started(self) -> bool:
        """True once a piece of this contestant was passed on."""
        return self._started and self._sink.started

    async def chosen(self, decision_id: UUID, policy: str, model_id: str) -> None:
        """Announce the model, at once or when it wins."""
        if self._announces_at_once:
            await self._sink.chosen(decision_id, policy, model_id)
        else:
            self._choice = (decision_id, policy, model_id)

    async def piece(self, delta: StreamDelta) -> None:
        """Pass a piece on; raises LostRace when another contestant has won."""
        self._kept.append(delta)
        if not self._started and not _says_something(delta):
            return
        if not self._contestant.claims():
            raise LostRace(LOST)
        self._started = True
        if self._choice is not None:
            choice, self._choice = self._choice, None
            await self._sink.chosen(*choice)
        kept, self._kept = self._kept, []
        for one in kept:
            await self._sink.piece(one)


class Nobody:
    """A sink of a call that is streamed only so that it can be cancelled."""

    started = False

    async def chosen(self, decision_id: UUID, policy: str, model_id: str) -> None:
        """Tell nobody."""

    async def piece(self, delta: StreamDelta) -> None:
        """Pass nothing on: the whole answer comes at the end."""


def _says_something(delta: StreamDelta) -> bool:
    return bool(delta.content) or any(
        delta.delta.get(name) for name in ("tool_calls", "reasoning", "refusal")
    )
