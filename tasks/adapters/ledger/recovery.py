"""What makes the ledger whole again: sweeping leases, pricing lost answers, the audit."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from models.attempt import Settlement
from models.completion import CostSource
from models.ledger import AuditReport, KeyPosition, SweepReport, UnknownAttempt
from models.money import parse_usd
from tasks.adapters.ledger.calls import Calls
from tasks.adapters.ledger.rows import audit_report, count

SWEEP_MAX = 500
PATIENCE_S = 15 * 60.0


class Recovery:
    """Correctness never waits for any of this; it only frees what a crash has left."""

    _calls: Calls

    async def sweep(self, limit: int = SWEEP_MAX) -> SweepReport:
        """Release expired holds that were never sent; make expired sent ones UNKNOWN.

        Cheap where nothing has expired; any number of sweepers share the work.
        """
        row = await self._calls.one("SELECT * FROM ledger.sweep(%s)", (limit,))
        return SweepReport(released=row["released"], unknown=row["unknown"])

    async def end_leases_of(self, owner: str) -> int:
        """End the leases of an owner that is dead for certain; the sweep does the rest."""
        row = await self._calls.one("SELECT ledger.end_leases_of(%s) AS ended", (owner,))
        return int(row["ended"])

    async def extend_leases_of(self, owner: str, lease_s: float) -> int:
        """Let the leases of sent attempts of an owner end `lease_s` from now; return how many."""
        row = await self._calls.one(
            "SELECT ledger.extend_leases_of(%s, make_interval(secs => %s)) AS extended",
            (owner, lease_s),
        )
        return int(row["extended"])

    async def unknown_due(
        self, limit: int = 100, patience_s: float = PATIENCE_S
    ) -> list[UnknownAttempt]:
        """Claim the UNKNOWN attempts to ask about now; their next turn is 2, 4 ... 120 s later."""
        rows = await self._calls.all(
            "SELECT * FROM ledger.claim_unknown(%s, make_interval(secs => %s))",
            (limit, patience_s),
        )
        return [
            UnknownAttempt(
                row["selection_id"], row["generation_id"], row["estimated_cost"], row["give_up"]
            )
            for row in rows
        ]

    async def resolve_unknown(
        self,
        selection_id: UUID,
        *,
        cost_usd: Decimal,
        source: CostSource,
        provider: str | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
    ) -> Settlement:
        """Settle an UNKNOWN attempt at the cost that `source` states; its error stays."""
        row = await self._calls.stubborn(
            "SELECT * FROM ledger.resolve_unknown(%s, %s, %s, %s, %s, %s)",
            (
                selection_id,
                parse_usd(cost_usd),
                source,
                provider,
                count(prompt_tokens),
                count(completion_tokens),
            ),
        )
        return Settlement(row["answer"], row["overrun_usd"], tuple(row["alerts"]))

    async def key_position(self) -> KeyPosition:
        """Return what the ledger booked since the last checkpoint of the upstream key."""
        row = await self._calls.one("SELECT * FROM ledger.key_position()")
        return KeyPosition(**row)

    async def note_key_usage(self, usage_usd: Decimal) -> None:
        """Keep what the upstream key has spent, at a moment when no call is open."""
        await self._calls.one(
            "INSERT INTO key_checkpoints (usage_usd) VALUES (%s) RETURNING id",
            (parse_usd(usage_usd),),
        )

    async def audit(self) -> AuditReport:
        """Recompute every balance from the entries and adjustments, in one snapshot."""
        async with self._calls.database.patient_transaction() as connection:
            cursor = await connection.execute("SELECT * FROM ledger.audit()")
            return audit_report((await cursor.fetchall())[0])
