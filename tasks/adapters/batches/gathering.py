"""Calls that are made at the same time share one statement and one commit.

A call waits for a few milliseconds while others are under way that may come along; alone it waits
for nobody. What a call means, and what it answers, is the same as by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from models.errors import SwitchyardError

TOGETHER_MAX = 64
PATIENCE_S = 0.004
In = TypeVar("In")
Out = TypeVar("Out")
Call = tuple[In, "asyncio.Future[Out]"]


class Gathered(Generic[In, Out]):
    """One kind of call; `run` answers many, in their order.

    `crowd` says how many callers there are: when all of them wait here, nobody else can come.
    When a statement for many fails, each of its calls is made by itself, so that one bad call fails
    alone: `run` must be safe to repeat.
    """

    def __init__(
        self,
        run: Callable[[Sequence[In]], Awaitable[Sequence[Out]]],
        crowd: Callable[[], int] = lambda: 1,
    ) -> None:
        self._run, self._crowd = run, crowd
        self._waiting: deque[Call[In, Out]] = deque()
        self._under_way: dict[asyncio.Future[Sequence[Out]], Sequence[Call[In, Out]]] = {}
        self._patience: asyncio.TimerHandle | None = None
        self._starts_soon = False

    async def __call__(self, item: In) -> Out:
        """Return the answer to one call; a cancelled caller does not undo what is under way."""
        return await self.asked(item)

    def asked(self, item: In) -> asyncio.Future[Out]:
        """Return where the answer to one call will be."""
        answer: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        self._go_on()
        return answer

    def _go_on(self) -> None:
        """Start the next statement soon, or when nobody has come along for a while."""
        if not self._waiting or self._under_way or self._starts_soon:
            return
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= min(self._crowd(), TOGETHER_MAX):
            self._starts_soon = True
            loop.call_soon(self._start)  # who comes in this round of the loop comes along
        elif self._patience is None:
            self._patience = loop.call_later(PATIENCE_S, self._start)

    def _start(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._starts_soon = False
        if self._under_way:
            return
        count = min(len(self._waiting), TOGETHER_MAX)
        self._send([self._waiting.popleft() for _ in range(count)])

    def _send(self, calls: Sequence[Call[In, Out]]) -> None:
        items = [item for item, _ in calls]
        statement = asyncio.ensure_future(self._run(items))
        self._under_way[statement] = calls
        statement.add_done_callback(self._ended)

    def _ended(self, statement: asyncio.Future[Sequence[Out]]) -> None:
        calls = self._under_way.pop(statement)
        error = asyncio.CancelledError() if statement.cancelled() else statement.exception()
        if error is None:
            for (_, waiter), answer in zip(calls, statement.result(), strict=True):
                if not waiter.done():
                    waiter.set_result(answer)
        elif isinstance(error, SwitchyardError | ValueError) and len(calls) > 1:
            for call in calls:
                self._send([call])
        else:  # also a mistake in the program: nobody waits on
            _fail(calls, error)
        self._go_on()


def _fail(calls: Sequence[Call[In, Out]], error: BaseException) -> None:
    for _, waiter in calls:
        if not waiter.done():
            waiter.set_exception(error)
