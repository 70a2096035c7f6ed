"""Calls that are made at the same time share one statement and one commit.

A call waits for a few milliseconds while others are under way that may come along; alone it waits
for nobody. What a call means, and what it answers, is the same as by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from models.errors import SwitchyardError

TOGETHER_MAX = 64
PATIENCE_S = 0.004
In = TypeVar("In")
Out = TypeVar("Out")


class Gathered(Generic[In, Out]):
    """One kind of call; `run` answers many, in their order.

    `crowd` says how many callers there are: when all of them wait here, nobody else can come. When
    a statement for many fails, each of its calls is made by itself, so that one bad call fails
    alone: `run` must be safe to repeat.
    """

    def __init__(
        self,
        run: Callable[[Sequence[In]], Awaitable[Sequence[Out]]],
        crowd: Callable[[], int] = lambda: 1,
    ) -> None:
        self._run, self._crowd = run, crowd
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._complete = asyncio.Event()

    async def __call__(self, item: In) -> Out:
        """Return the answer to one call; a cancelled caller does not undo what is under way."""
        answer: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if len(self._waiting) >= min(self._crowd(), TOGETHER_MAX):
            self._complete.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._complete.wait()
            self._complete.clear()
            count = min(len(self._waiting), TOGETHER_MAX)
            await self._answer([self._waiting.popleft() for _ in range(count)])

    async def _answer(self, calls: Sequence[tuple[In, asyncio.Future[Out]]]) -> None:
        statement = self._run([item for item, _ in calls])
        (ended,) = await asyncio.gather(statement, return_exceptions=True)
        if not isinstance(ended, BaseException):
            for (_, waiter), answer in zip(calls, ended, strict=True):
                if not waiter.done():
                    waiter.set_result(answer)
        elif isinstance(ended, SwitchyardError | ValueError) and len(calls) > 1:
            for call in calls:
                await self._answer([call])
        else:  # also a mistake in the program: nobody waits on
            _fail(calls, ended)


def _fail(calls: Sequence[tuple[In, asyncio.Future[Out]]], error: BaseException) -> None:
    for _, waiter in calls:
        if not waiter.done():
            waiter.set_exception(error)
