"""The life of an attempt's money: reserve, send, settle or release (docs/ledger.md, "States")."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.numeric import Int4

from models.attempt import (
    AttemptRow,
    Bill,
    Hold,
    Rejected,
    Replay,
    ReserveAnswer,
    Reserved,
    Settlement,
    Uncovered,
)
from models.errors import DatabaseFailed, IdempotencyConflict
from models.money import parse_usd
from tasks.adapters.ledger.calls import Calls
from tasks.adapters.ledger.rows import attempt_row, blocking_budgets, count, json_document, short

HOLD: LiteralString = """
SELECT * FROM ledger.reserve(
    %(key)s, %(request_hash)s, %(decision_id)s, %(attempt_no)s, %(token)s, %(owner)s, %(model)s,
    %(provider)s, %(policy)s, %(worst_case)s, %(elastic)s, %(task_cap)s, %(task_id)s,
    %(worker)s, %(task_type)s, %(complexity)s, %(simulated)s, make_interval(secs => %(lease_s)s)"""
RESERVE: LiteralString = HOLD + ")"
SETTLE: LiteralString = """
SELECT * FROM ledger.settle(
    %(selection_id)s, %(cost)s, %(source)s, %(outcome)s, %(error)s, %(error_kind)s, %(provider)s,
    %(served_model)s, %(prompt_tokens)s, %(completion_tokens)s, %(cached_tokens)s,
    %(reasoning_tokens)s, %(latency_ms)s, %(first_token_ms)s, %(generation)s, %(response)s)
"""
ATTEMPT: LiteralString = """
SELECT id AS selection_id, decision_id, attempt_no, idempotency_key AS key, state,
       selected_model AS model_id, selected_provider AS provider,
       estimated_cost AS estimated_cost_usd, actual_cost AS actual_cost_usd, prompt_tokens,
       completion_tokens, response_time_ms AS latency_ms, outcome, error, error_kind,
       generation_id, settle_source, response, created_at, lease_expires_at,
       state IN ('RESERVED', 'SENT') AND lease_expires_at > clock_timestamp() AS lease_live
  FROM model_selections
"""


class Entries:
    """Every state change is one statement, and only the ledger's functions make one."""

    _calls: Calls

    async def reserve(self, hold: Hold) -> ReserveAnswer:
        """Hold money in every budget that covers the attempt, or in none.

        A known key answers Replay, with the row to continue from; the same token asking again while
        its lease lives gets its hold again. Raises IdempotencyConflict for a known key with another
        request, DatabaseFailed, ValueError for amounts that are no money.
        """
        row = await self._calls.one(RESERVE, hold_parameters(hold))
        return await self._reserve_answer(hold, row)

    async def _reserve_answer(self, hold: Hold, row: DictRow) -> ReserveAnswer:
        match row["answer"]:
            case "reserved":
                return Reserved(row["selection_id"], row["lease_expires_at"])
            case "rejected":
                return Rejected(blocking_budgets(row["blocking"]))
            case "uncovered":
                return Uncovered()
            case "conflict":
                raise IdempotencyConflict(hold.key)
            case "replay":
                attempt = await self.attempt(hold.key)
                if attempt is not None:
                    return Replay(attempt)
        raise DatabaseFailed(f"the ledger answered {row['answer']!r} to a reserve")

    async def mark_sent(self, selection_id: UUID, token: UUID, lease_s: float) -> bool:
        """Return whether this token may send now: only the lease's owner, only while it lives."""
        return await self._moved(
            "SELECT ledger.mark_sent(%s, %s, make_interval(secs => %s)) AS moved",
            (selection_id, token, lease_s),
        )

    async def extend_lease(self, selection_id: UUID, token: UUID, lease_s: float) -> bool:
        """Return whether the lease now ends `lease_s` seconds from now."""
        return await self._moved(
            "SELECT ledger.extend_lease(%s, %s, make_interval(secs => %s)) AS moved",
            (selection_id, token, lease_s),
        )

    async def take_over(
        self,
        selection_id: UUID,
        old_token: UUID,
        token: UUID,
        *,
        owner: str,
        lease_s: float = 60.0,
    ) -> bool:
        """Return whether the hold is now this token's; the old token is void from then on."""
        return await self._moved(
            "SELECT ledger.take_over(%s, %s, %s, %s, make_interval(secs => %s)) AS moved",
            (selection_id, old_token, token, short(owner, 200), lease_s),
        )

    async def note_generation(self, selection_id: UUID, generation_id: str) -> bool:
        """Keep the upstream's id of the answer, as soon as its headers arrive."""
        return await self._moved(
            "SELECT ledger.note_generation(%s, %s) AS moved",
            (selection_id, short(generation_id, 200)),
        )

    async def settle(self, selection_id: UUID, bill: Bill) -> Settlement:
        """Book a bill once: cost, answer and balances in one commit.

        Asked again while the database is away, for as long as the ledger's patience. Raises
        DatabaseFailed after that, ValueError for a negative or absurd cost.
        """
        parameters = {"selection_id": selection_id, **bill_parameters(bill)}
        row = await self._calls.stubborn(SETTLE, parameters)
        return Settlement(row["answer"], row["overrun_usd"], tuple(row["alerts"]))

    async def release(
        self,
        selection_id: UUID,
        token: UUID,
        *,
        outcome: str,
        error: str | None = None,
        error_kind: str | None = None,
        latency_ms: int | None = None,
    ) -> bool:
        """Give the hold back: certainly nothing was billed. Returns whether it is given back."""
        return await self._moved(
            "SELECT ledger.release(%s, %s, %s, %s, %s, %s) AS moved",
            (selection_id, token, outcome, short(error), short(error_kind, 50), count(latency_ms)),
        )

    async def mark_unknown(
        self,
        selection_id: UUID,
        token: UUID,
        error: str | None,
        error_kind: str | None,
        generation_id: str | None = None,
        *,
        latency_ms: int | None = None,
    ) -> bool:
        """Keep the hold of a sent attempt whose answer is lost, until its bill is known."""
        return await self._moved(
            "SELECT ledger.mark_unknown(%s, %s, %s, %s, %s, %s) AS moved",
            (
                selection_id,
                token,
                short(error),
                short(error_kind, 50),
                short(generation_id, 200),
                count(latency_ms),
            ),
        )

    async def attempts(self, decision_id: UUID) -> list[AttemptRow]:
        """Return the attempts of one decision, first to last."""
        rows = await self._calls.all(
            ATTEMPT + " WHERE decision_id = %s ORDER BY attempt_no, created_at", (decision_id,)
        )
        return [attempt_row(row) for row in rows]

    async def attempt(self, key: str) -> AttemptRow | None:
        """Return the attempt with this idempotency key, None where there is none."""
        rows = await self._calls.all(ATTEMPT + " WHERE idempotency_key = %s", (key,))
        return attempt_row(rows[0]) if rows else None

    async def _moved(self, query: LiteralString, parameters: tuple[Any, ...]) -> bool:
        return bool((await self._calls.one(query, parameters))["moved"])


def hold_parameters(hold: Hold) -> dict[str, Any]:  # Any: whatever psycopg adapts
    """Return the arguments of ledger.reserve by name."""
    return {
        "key": hold.key,
        "request_hash": hold.request_hash,
        "decision_id": hold.decision_id,
        "attempt_no": Int4(hold.attempt_no),
        "token": hold.token,
        "owner": short(hold.owner, 200),
        "model": hold.model_id,
        "provider": hold.provider,
        "policy": hold.policy,
        "worst_case": parse_usd(hold.worst_case_usd),
        "elastic": parse_usd(hold.elastic_usd),
        "task_cap": None if hold.task_cap_usd is None else parse_usd(hold.task_cap_usd),
        "task_id": hold.task_id,
        "worker": hold.worker_id,
        "task_type": hold.task_type,
        "complexity": hold.complexity,
        "simulated": hold.simulated,
        "lease_s": hold.lease_s,
    }


def bill_parameters(bill: Bill) -> dict[str, Any]:  # Any: whatever psycopg adapts
    """Return the arguments of ledger.settle by name, but the selection's id."""
    return {
        "cost": parse_usd(bill.cost_usd),
        "source": bill.source,
        "outcome": bill.outcome,
        "error": short(bill.error),
        "error_kind": short(bill.error_kind, 50),
        "provider": short(bill.provider, 200),
        "served_model": short(bill.served_model_id, 200),
        "prompt_tokens": count(bill.prompt_tokens),
        "completion_tokens": count(bill.completion_tokens),
        "cached_tokens": count(bill.cached_tokens),
        "reasoning_tokens": count(bill.reasoning_tokens),
        "latency_ms": count(bill.latency_ms),
        "first_token_ms": count(bill.first_token_ms),
        "generation": short(bill.generation_id, 200),
        "response": json_document(bill.response),
    }
