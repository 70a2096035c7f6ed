"""Sending an answer: at its pace, and with the faults that lie in the sending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from starlette.types import Receive, Scope, Send

from deployments.simulator.faults import Fault, FaultRule
from deployments.simulator.streaming import Step

DRIPS = 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """An ASGI response; `cancelled` is told the produced share when the client leaves early."""

    headers: Sequence[tuple[bytes, bytes]]
    steps: Sequence[Step]
    before_headers_s: float = 0.0
    complete: bool = True
    cancelled: Callable[[float], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, or stop when the client is gone."""
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            produced = await self.send_steps(gone, send)
        finally:
            gone.cancel()
        if produced is not None and self.cancelled is not None:
            self.cancelled(produced)

    async def send_steps(self, gone: asyncio.Future[None], send: Send) -> float | None:
        """Return None when all was sent, else the share that was produced before."""
        if await left_within(gone, self.before_headers_s):
            return 0.0
        await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
        produced = 0.0
        for step in self.steps:
            if await left_within(gone, step.wait_s):
                return produced
            await send({"type": "http.response.body", "body": step.data, "more_body": True})
            produced = step.share
        if self.complete:  # otherwise the server closes the connection in the middle of the body
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        return None


async def disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def left_within(gone: asyncio.Future[None], seconds: float) -> bool:
    """Wait, and say whether the client left meanwhile."""
    if seconds > 0:
        await asyncio.wait({gone}, timeout=seconds)
    else:
        await asyncio.sleep(0)  # or a closed connection would be noticed only at the end
    return gone.done()


def with_fault(delivery: Delivery, rule: FaultRule | None) -> Delivery:
    """Apply the faults that lie in the sending."""
    if rule is None:
        return delivery
    if rule.fault is Fault.HANG:
        return replace(delivery, before_headers_s=rule.seconds, cancelled=None)
    if rule.fault is Fault.SLOW_DRIP:
        return replace(delivery, steps=dripping(delivery.steps, rule.seconds))
    if rule.fault in (Fault.CUT, Fault.HANG_MID_BODY):
        wait_s = rule.seconds if rule.fault is Fault.HANG_MID_BODY else 0
        steps = [*first_part(delivery.steps, rule.at), Step(wait_s, b"")]
        return replace(delivery, steps=steps, complete=False, cancelled=None)
    return delivery


def first_part(steps: Sequence[Step], at: float) -> list[Step]:
    """Return what is sent before a share `at` of the bytes is reached."""
    left = int(sum(len(step.data) for step in steps) * at)
    kept: list[Step] = []
    for step in steps:
        data = step.data[:left]
        if data:
            kept.append(replace(step, data=data))
        left -= len(data)
    return kept


def dripping(steps: Sequence[Step], seconds: float) -> list[Step]:
    """Spread the sending over the seconds, in pieces."""
    pieces: list[Step] = []
    for step in steps:
        size = max(1, -(-len(step.data) // DRIPS)) if len(steps) == 1 else len(step.data)
        parts = [step.data[i : i + size] for i in range(0, len(step.data), size)]
        pieces += [replace(step, data=part) for part in parts]
    return [replace(piece, wait_s=seconds / len(pieces)) for piece in pieces]
