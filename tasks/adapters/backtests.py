"""Run changed policies over the record of this installation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from models.backtest.balances import Balances, Limit
from models.backtest.direct import direct_model
from models.backtest.prices import token_record
from models.backtest.quality import QualitySums, explored_by
from models.backtest.report import BacktestReport, PolicyChange, backtest_report
from models.backtest.run import BacktestRun, Recorded
from models.backtest.swap import Change, change_of
from models.errors import InvalidPolicy
from models.learning.priors import belief_in
from models.policy import Policy, claim_problems
from models.snapshot import from_json
from tasks.adapters.database import Database
from tasks.adapters.store.backtest import (
    DECISIONS_MAX,
    Entry,
    Record,
    read_limits,
    read_record,
    snapshot_pages,
)
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.policies import read_policies, with_known_orders


async def backtest(
    database: Database,
    wanted: Sequence[Policy],
    since: datetime,
    until: datetime,
    *,
    limit: int = DECISIONS_MAX,
) -> BacktestReport:
    """Return what the wanted policies would have done; nothing is written.

    Raises InvalidPolicy where applying them would be refused.
    """
    present = await read_policies(database)
    wanted = as_applied(present, wanted)
    change = change_of(present, wanted)
    if problems := claim_problems(change.policies):
        raise InvalidPolicy(problems)
    record = await read_record(database, since, until, limit=limit)
    run = await _run(database, change, record)
    async for page in snapshot_pages(database, record.entries):
        await asyncio.to_thread(_add_page, run, page)
    return await asyncio.to_thread(
        backtest_report,
        run,
        since=since,
        until=until,
        policies=policy_changes(present, wanted),
        left_out=record.left_out,
    )


def _add_page(run: BacktestRun, page: Sequence[tuple[Entry, str]]) -> None:
    """Run a page of decisions again: in a thread, so that an API goes on answering."""
    for entry, text in page:
        run.add(Recorded(entry.past, entry.at, entry.way, from_json(text)))


async def _run(database: Database, change: Change, record: Record) -> BacktestRun:
    prices = {card.model_id: card for card in await read_cards(database)}
    pasts = [entry.past for entry in record.entries]
    names = {entry.model_id for policy in change.policies for entry in policy.models}
    beliefs = {
        name: belief_in(name, prices[name].price if name in prices else None)
        for name in names | record.models
    }
    return BacktestRun(
        change=change,
        prices=prices,
        balances=Balances(await _limits(database, record)),
        direct=await asyncio.to_thread(direct_model, pasts, beliefs),
        tokens=token_record((entry.past, entry.prompt_estimate) for entry in record.entries),
        quality=QualitySums(explored_by(pasts)),
    )


async def _limits(database: Database, record: Record) -> list[Limit]:
    if not record.entries:
        return []
    return await read_limits(database, record.entries[0].at, record.entries[-1].at)


def as_applied(present: Sequence[Policy], wanted: Sequence[Policy]) -> list[Policy]:
    """Return the policies as applying would store them: learned orders are the server's."""
    before = {policy.name: policy for policy in present}
    return [
        with_known_orders(policy, before[policy.name]) if policy.name in before else policy
        for policy in wanted
    ]


def policy_changes(present: Sequence[Policy], wanted: Sequence[Policy]) -> list[PolicyChange]:
    """Return what applying each policy would do."""
    before = {policy.name: policy for policy in present}
    changed = change_of(present, wanted).changed
    return [
        PolicyChange(
            name=policy.name,
            version=before[policy.name].version if policy.name in before else None,
            change=_change(policy.name in before, policy.name in changed),
        )
        for policy in wanted
    ]


def _change(is_known: bool, is_changed: bool) -> str:
    if not is_changed:
        return "unchanged"
    return "updated" if is_known else "created"
