"""A ledger whose calls are gathered: for one process with many attempts in flight.

An attempt costs two statements, shared with others: one that holds its money and marks it sent,
one that books its bill. Nothing is sent before the first is committed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, LiteralString
from uuid import UUID

from models.attempt import AttemptRow, Bill, Hold, ReserveAnswer, Reserved, Settlement
from tasks.adapters.batches.booked import booked_row
from tasks.adapters.batches.gathering import Gathered
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger
from tasks.adapters.ledger.entries import bill_parameters, hold_parameters
from tasks.adapters.ledger.rows import json_rows

RESERVE: LiteralString = """
SELECT * FROM ledger.reserve_many(%(rows)s, make_interval(secs => %(lease_s)s)) ORDER BY place
"""
SETTLE: LiteralString = """
SELECT array_agg(answer ORDER BY place) AS answers, array_agg(overrun_usd ORDER BY place) AS overs,
       array_agg(to_json(alerts)::text ORDER BY place) AS alerts
  FROM ledger.settle_many(%(rows)s)
"""
STILL_SENT_S = 5.0  # so fresh a mark needs no second look
NOTE_AFTER_S = 0.05  # an answer that is booked sooner brings its generation id with the bill
Sent = tuple[Hold, UUID, float]


class GatheringLedger(Ledger):
    """The same ledger; concurrent calls of one kind go in one statement.

    `sent_lease_s` is how long a sent attempt may take before it counts as lost, `crowd` how many
    attempts are under way.
    """

    def __init__(
        self, database: Database, *, sent_lease_s: float, crowd: Callable[[], int]
    ) -> None:
        super().__init__(database)
        self._sent_lease_s = sent_lease_s
        self._reserve = Gathered(self._reserve_many, crowd)
        self._settle = Gathered(self._settle_many, crowd)
        self._sent: dict[UUID, Sent] = {}
        self._notes: dict[UUID, asyncio.TimerHandle] = {}
        self._noting: set[asyncio.Task[bool]] = set()
        self._booked: dict[UUID, AttemptRow] = {}
        self._several: set[UUID] = set()  # decisions with more than one attempt

    async def reserve(self, hold: Hold) -> ReserveAnswer:
        """Hold money for one attempt and mark it sent, as `Ledger.reserve` and `mark_sent`.

        A caller that is cancelled meanwhile sends nothing: its hold is released.
        """
        if hold.attempt_no > 1:
            self._several.add(hold.decision_id)
        asked = self._reserve.asked(hold)
        try:
            row = await asyncio.shield(asked)
        except asyncio.CancelledError:
            row = await asked
            if row["answer"] == "reserved":
                await self.release(row["selection_id"], hold.token, outcome="cancelled")
            raise
        answer = await self._reserve_answer(hold, row)
        if isinstance(answer, Reserved):
            self._sent[answer.selection_id] = (hold, hold.token, time.monotonic())
        return answer

    async def mark_sent(self, selection_id: UUID, token: UUID, lease_s: float) -> bool:
        """Say whether this token may send now; `reserve` has marked it a moment ago."""
        _, owner, marked_s = self._sent.get(selection_id, (None, None, 0.0))
        in_time = lease_s <= self._sent_lease_s and time.monotonic() - marked_s < STILL_SENT_S
        if owner == token and in_time:
            return True
        return await super().mark_sent(selection_id, token, lease_s)

    async def note_generation(self, selection_id: UUID, generation_id: str) -> bool:
        """Keep the upstream's id of an answer that does not follow its headers at once."""
        loop = asyncio.get_running_loop()
        self._notes[selection_id] = loop.call_later(
            NOTE_AFTER_S, self._note_soon, selection_id, generation_id
        )
        return True

    def _note_soon(self, selection_id: UUID, generation_id: str) -> None:
        self._notes.pop(selection_id, None)
        noting = asyncio.ensure_future(super().note_generation(selection_id, generation_id))
        self._noting.add(noting)
        noting.add_done_callback(self._noted)

    def _noted(self, noting: asyncio.Task[bool]) -> None:
        self._noting.discard(noting)
        if not noting.cancelled():
            noting.exception()  # the bill brings the id as well: a lost note costs nothing

    async def settle(self, selection_id: UUID, bill: Bill) -> Settlement:
        """Book one bill, as `Ledger.settle`."""
        if (note := self._notes.pop(selection_id, None)) is not None:
            note.cancel()
        settlement = await self._settle((selection_id, bill))
        hold, _, _ = self._sent.pop(selection_id, (None, None, None))
        if hold is not None and hold.attempt_no == 1 and settlement.state == "settled":
            self._booked[hold.decision_id] = booked_row(selection_id, hold, bill)
        return settlement

    async def attempts(self, decision_id: UUID) -> list[AttemptRow]:
        """Return the attempts of one decision; a first one booked here needs no second look."""
        booked = self._booked.pop(decision_id, None)
        has_several = decision_id in self._several
        self._several.discard(decision_id)
        if booked is not None and not has_several:
            return [booked]
        return await super().attempts(decision_id)

    def forget(self, decision_id: UUID) -> None:
        """Keep nothing in memory of a decision whose attempts nobody will look at again."""
        self._several.discard(decision_id)
        self._booked.pop(decision_id, None)

    async def reserve_all(self, holds: Sequence[Hold], sent_lease_s: float) -> list[ReserveAnswer]:
        """Hold money for many attempts and mark each sent, in one statement, in this order."""
        rows = await self._reserve_many(holds, sent_lease_s)
        pairs = zip(holds, rows, strict=True)
        return [await self._reserve_answer(hold, row) for hold, row in pairs]

    async def _reserve_many(
        self, holds: Sequence[Hold], sent_lease_s: float | None = None
    ) -> list[Any]:  # Any: rows
        rows = [{"place": place, **hold_parameters(hold)} for place, hold in enumerate(holds)]
        values = {"rows": json_rows(rows), "lease_s": sent_lease_s or self._sent_lease_s}
        return await self._calls.all(RESERVE, values)

    async def _settle_many(self, bills: Sequence[tuple[UUID, Bill]]) -> list[Settlement]:
        rows = [
            {"place": place, "selection_id": selection_id}
            | bill_parameters(bill)
            | {"response": bill.response}
            for place, (selection_id, bill) in enumerate(bills)
        ]
        row = await self._calls.stubborn(SETTLE, {"rows": json_rows(rows)})
        told = zip(row["answers"], row["overs"], row["alerts"], strict=True)
        return [
            Settlement(answer, over_usd, tuple(json.loads(alerts)))
            for answer, over_usd, alerts in told
        ]
