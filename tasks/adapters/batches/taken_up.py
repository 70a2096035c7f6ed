"""Goes on with the batches that an earlier run of the same file left with a provider."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from models.attempt import Candidate
from models.batch import Batch, BatchItem
from models.completion import Completion
from models.decision import AttemptOrder, Caller
from models.pricing import TokenPrice
from tasks.adapters.batches.upstream import LEASE_S, Member, UpstreamBatches
from tasks.adapters.booking import Holding
from tasks.adapters.decisions import new_arrival
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import upstream_batches as store
from tasks.adapters.store.batches import next_items
from tasks.adapters.store.canaries import read_serving
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.upstream_batches import StoredBatch

ALL_LINES = 2**31 - 1
EQUAL_PRICE = TokenPrice(Decimal(1), Decimal(1))  # shares a bill by tokens, where no price is known
logger = logging.getLogger("switchyard.batches")


async def take_up(opened: Runtime, provider: UpstreamBatches, batch: Batch) -> set[UUID]:
    """Wait for every batch left with a provider and book its lines; nothing is sent again.

    Returns the decisions whose bills came only now.

    One whose POST was cut before its id was known cannot be asked for: its lines are UNKNOWN and
    reconciled as any other lost call.
    """
    left = await store.batches_under_way(opened.database, batch.batch_id)
    if not left:
        return set()
    items = {
        item.key: item for item in await next_items(opened.database, batch, after=0, last=ALL_LINES)
    }
    booked = await asyncio.gather(*(_gone_on(opened, provider, one, items) for one in left))
    return set().union(*booked)


async def _gone_on(
    opened: Runtime, provider: UpstreamBatches, left: StoredBatch, items: dict[str, BatchItem]
) -> set[UUID]:
    owner = store.owner_of(left.id)
    if left.upstream_id is None:
        await opened.ledger.end_leases_of(owner)
        await opened.ledger.sweep()
        await reconcile_unknown(opened.ledger, opened.upstream)
        await store.end_batch(opened.database, left.id, "cut while it was sent")
        return set()
    await opened.ledger.extend_leases_of(owner, LEASE_S)
    members = await _members(opened, left, items)
    if not members:
        await store.end_batch(opened.database, left.id)
        return set()
    await provider.follow(left.id, left.upstream_id, members)
    return {member.order.arrival.decision_id for member in members}


async def _members(opened: Runtime, left: StoredBatch, items: dict[str, BatchItem]) -> list[Member]:
    cards = await read_cards(opened.database, [left.model_id])
    price = next((card.price for card in cards if card.price is not None), EQUAL_PRICE)
    rows = await store.open_holds(opened.database, left.id)
    policies, members = await read_serving(opened.database), list[Member]()
    for row in rows:
        item = items.get(row["line_key"])
        if item is None:
            logger.warning("a line of batch %s is gone: its bill is looked for", left.upstream_id)
            continue
        caller = Caller(key=item.key, trace="ledger", flow_run_id=None, owner=opened.owner)
        arrival = new_arrival(item.request, caller, item.request.fingerprint(), policies)
        order = AttemptOrder(
            arrival=replace(arrival, decision_id=row["decision_id"]),
            attempt_no=row["attempt_no"],
            candidate=_candidate(row, price),
            policy=row["policy"],
            temperature=item.request.temperature,
            task_cap_usd=None,
            timeout_s=0,
        )
        answer: asyncio.Future[Completion | None] = asyncio.get_running_loop().create_future()
        members.append(Member(order, Holding(row["selection_id"], row["token"]), answer))
    return members


def _candidate(row: dict[str, Any], price: TokenPrice) -> Candidate:
    """Return the candidate of a call that is already sent: its bounds bound nothing any more."""
    return Candidate(
        model_id=row["model_id"],
        provider=row["provider"] or "",
        price=price,
        max_tokens=1,
        prompt_tokens_bound=0,
        worst_case_usd=row["worst_case_usd"],
        elastic_usd=row["worst_case_usd"],
    )
