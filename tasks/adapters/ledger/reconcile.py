"""Finds out what unanswered calls cost: by their generation, by the key's spending, else assumed.

The key decides only where its spending can belong to nobody else: no other call of this ledger is
open, nothing was sent or settled for a minute, nothing was assumed since the last checkpoint, and
the difference lies between zero and the hold. A key that other programs use too makes the
difference larger, never smaller, and the hold bounds it. Everything else is booked at the hold and
marked `assumed_max`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from models.completion import GenerationRecord, KeySpend
from models.errors import UpstreamFailed
from models.ledger import KeyPosition, ReconcileReport, UnknownAttempt
from models.money import ZERO_USD
from tasks.adapters.ledger.ledger import Ledger
from tasks.adapters.ledger.recovery import PATIENCE_S

QUIET_S = Decimal(60)


class Billing(Protocol):
    """The upstream, as far as it can say what was spent."""

    async def generation(self, generation_id: str) -> GenerationRecord | None:
        """Return what a past generation cost, None while the upstream does not know it."""

    async def key_spend(self) -> KeySpend:
        """Return what the key has spent."""


async def reconcile_unknown(
    ledger: Ledger,
    upstream: Billing,
    *,
    limit: int = 100,
    patience_s: float = PATIENCE_S,
    quiet_s: Decimal = QUIET_S,
) -> ReconcileReport:
    """Ask about every unknown attempt whose turn it is, and settle those that can be."""
    found = waiting = 0
    lost: list[UnknownAttempt] = []
    for attempt in await ledger.unknown_due(limit, patience_s):
        if await _settled_by_generation(ledger, upstream, attempt):
            found += 1
        elif attempt.give_up:
            lost.append(attempt)
        else:
            waiting += 1
    by_key = await _settled_by_key(ledger, upstream, lost, quiet_s) if lost else 0
    assumed = 0 if by_key else await _assumed(ledger, lost)
    return ReconcileReport(by_generation=found, by_key=by_key, assumed=assumed, waiting=waiting)


async def checkpoint_key(ledger: Ledger, upstream: Billing, *, quiet_s: Decimal = QUIET_S) -> bool:
    """Keep what the key has spent if nothing is open and all was quiet; returns whether it did."""
    if not _is_quiet(await ledger.key_position(), open_rows=0, quiet_s=quiet_s):
        return False
    spend = await upstream.key_spend()
    if not _is_quiet(await ledger.key_position(), open_rows=0, quiet_s=quiet_s):
        return False
    await ledger.note_key_usage(spend.usage_usd)
    return True


async def _settled_by_generation(
    ledger: Ledger, upstream: Billing, attempt: UnknownAttempt
) -> bool:
    if attempt.generation_id is None:
        return False
    try:
        record = await upstream.generation(attempt.generation_id)
    except UpstreamFailed:  # the upstream cannot say now: the next turn, or the patience, decides
        return False
    if record is None:
        return False
    await ledger.resolve_unknown(
        attempt.selection_id,
        cost_usd=record.cost_usd,
        source="generation_api",
        provider=record.provider,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
    )
    return True


async def _settled_by_key(
    ledger: Ledger, upstream: Billing, lost: list[UnknownAttempt], quiet_s: Decimal
) -> int:
    before = await ledger.key_position()
    try:
        spend = await upstream.key_spend()
    except UpstreamFailed:  # as above: then the hold is the bound
        return 0
    after = await ledger.key_position()
    if not (_decides(before, lost, quiet_s) and _decides(after, lost, quiet_s)):
        return 0
    spent_usd = spend.usage_usd - (after.usage_usd or ZERO_USD) - after.settled_usd
    is_share = len(lost) == 1 and ZERO_USD <= spent_usd <= lost[0].worst_case_usd
    if not is_share and spent_usd != 0:
        return 0
    for attempt in lost:
        await ledger.resolve_unknown(attempt.selection_id, cost_usd=spent_usd, source="key_delta")
    return len(lost)


def _decides(position: KeyPosition, lost: list[UnknownAttempt], quiet_s: Decimal) -> bool:
    return (
        position.usage_usd is not None
        and position.assumed_rows == 0
        and _is_quiet(position, open_rows=len(lost), quiet_s=quiet_s)
    )


def _is_quiet(position: KeyPosition, *, open_rows: int, quiet_s: Decimal) -> bool:
    still = position.quiet_s is None or position.quiet_s >= quiet_s
    return position.open_rows == open_rows and still


async def _assumed(ledger: Ledger, lost: list[UnknownAttempt]) -> int:
    for attempt in lost:
        await ledger.resolve_unknown(
            attempt.selection_id, cost_usd=attempt.worst_case_usd, source="assumed_max"
        )
    return len(lost)
