"""Stopping: signals arrive in the main thread, the worker's loop runs in another.

The loop has a thread of its own because Prefect's engine replaces the SIGTERM handler of a main
thread by one that raises inside whatever is running, which with several runs in flight is any of
them. In another thread it leaves signals alone, and the main thread can keep the deadline even
when a flow blocks the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """The order to stop, given from any thread; a second one is an order to hurry."""

    def __init__(self) -> None:
        self.ordered = asyncio.Event()
        self.hurried = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def order(self) -> None:
        """Stop, or hurry."""
        with contextlib.suppress(RuntimeError):  # the loop has already ended
            self._loop.call_soon_threadsafe(self._order)

    def _order(self) -> None:
        (self.hurried if self.ordered.is_set() else self.ordered).set()


class LoopThread:
    """Runs a coroutine on an event loop in a thread of its own."""

    def __init__(self, main: Callable[[Stop], Coroutine[None, None, None]]) -> None:
        self._main = main
        self._stop: Stop | None = None
        self._orders = 0
        self._lock = threading.Lock()

    async def run(self, *, deadline_s: float) -> None:
        """Run until the coroutine ends; a signal or a cancellation orders it to stop.

        After a signal this process ends within `deadline_s`, if need be by force.
        """
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._thread, ended), name="worker-loop", daemon=True
        )
        with self._signals(deadline_s):
            thread.start()
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError:
                self.order()
                await asyncio.wait([ended], timeout=deadline_s)
                raise

    def order(self) -> None:
        """Order the coroutine to stop; it may not have begun yet."""
        with self._lock:
            self._orders += 1
            if self._stop is not None:
                self._stop.order()

    def _thread(self, ended: asyncio.Future[None]) -> None:
        failure: BaseException | None = None
        try:
            asyncio.run(self._begin())
        # A thread's edge: whatever it was belongs to the thread that waits.
        except BaseException as raised:
            failure = raised
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            ended.get_loop().call_soon_threadsafe(_settle, ended, failure)

    async def _begin(self) -> None:
        with self._lock:
            self._stop = Stop()
            for _ in range(self._orders):
                self._stop.order()
        await self._main(self._stop)

    @contextlib.contextmanager
    def _signals(self, deadline_s: float) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, deadline_s)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _on_signal(self, deadline_s: float) -> None:
        if self._orders == 0:
            # Prefect's own clean-up at exit waits for a server that may be gone.
            timer = threading.Timer(deadline_s, os._exit, (1,))
            timer.daemon = True
            timer.start()
        self.order()


def _settle(ended: asyncio.Future[None], failure: BaseException | None) -> None:
    if ended.done():
        return
    if failure is None:
        ended.set_result(None)
    else:
        ended.set_exception(failure)
