"""How lines end: stored many at a time, their duplicates with them, then given to the sink."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from models.batch import INVALID, Batch, BatchCounts
from tasks.adapters.batches.gathering import Gathered
from tasks.adapters.batches.sink import current_batch_sink, line_document
from tasks.adapters.database import Database
from tasks.adapters.store import batch_results as store
from tasks.adapters.store.batch_results import Ended


@dataclass(slots=True)
class Tally:
    """The counts of a running batch."""

    lines: int
    duplicates: int
    by_status: Counter[str]
    cost_usd: Decimal

    def end(self, status: str) -> None:
        """Count one line that has ended."""
        self.by_status["pending"] -= 1
        self.by_status[status] += 1

    def counts(self) -> BatchCounts:
        """Return the counts as they are now."""
        by_status = {status: count for status, count in self.by_status.items() if count}
        return BatchCounts(self.lines, by_status, self.duplicates, self.cost_usd)


class Endings:
    """Ends the lines of one batch; concurrent endings share a commit."""

    def __init__(
        self,
        database: Database,
        batch: Batch,
        counts: BatchCounts,
        crowd: Callable[[], int],
        *,
        keep_requests: bool,
    ) -> None:
        self._database, self._batch, self._keep_requests = database, batch, keep_requests
        self.tally = Tally(
            counts.lines, counts.duplicates, Counter(counts.by_status), counts.cost_usd
        )
        self.end = Gathered(self._end_many, crowd)

    async def refuse(self, number: int, problem: str) -> None:
        """End a line whose request cannot be routed as it is."""
        await store.refuse_line(self._database, self._batch.batch_id, number, problem)
        self.tally.end(INVALID)
        await self._deliver([line_document(number, INVALID, None, None, problem)])
        await self.copy_to_duplicates([number])

    async def _end_many(self, ended: Sequence[Ended]) -> list[None]:
        labels = await store.finish_lines(
            self._database, self._batch.batch_id, ended, keep_requests=self._keep_requests
        )
        for one in ended:
            self.tally.end(one.status)
            if not one.is_known:
                self.tally.cost_usd += one.cost_usd
        documents = [
            line_document(one.line_no, one.status, labels.get(one.line_no), one.document)
            for one in ended
        ]
        await self._deliver(documents)
        await self.copy_to_duplicates([one.line_no for one in ended])
        return [None] * len(ended)

    async def copy_to_duplicates(self, lines: Sequence[int] | None = None) -> None:
        """End the duplicates of these lines, or those that a crash left behind, as their firsts."""
        while self.tally.duplicates and (rows := await self._copies(lines)):
            for row in rows:
                self.tally.end(row["status"])
            await self._deliver(
                [
                    line_document(
                        row["line_no"], row["status"], row["labels"], row["result"], row["problem"]
                    )
                    for row in rows
                ]
            )

    async def _copies(self, lines: Sequence[int] | None) -> list[dict[str, Any]]:
        return await store.copy_results(
            self._database, self._batch.batch_id, lines, keep_requests=self._keep_requests
        )

    async def _deliver(self, documents: Sequence[dict[str, Any]]) -> None:
        sink = current_batch_sink()
        if sink is not None:
            await sink.take(documents, self.tally.counts())
