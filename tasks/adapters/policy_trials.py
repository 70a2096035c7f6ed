"""A dry run of policies: what would change, and what that would have done to the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.backtest.report import BacktestReport
from models.policy import Policy
from models.policy.changes import FieldChange, field_changes
from tasks.adapters.backtests import as_applied, backtest
from tasks.adapters.database import Database
from tasks.adapters.store.policies import Applied, apply_policies, read_policies


@dataclass(frozen=True, slots=True)
class Trial:
    """What applying would do; the backtest is None where nothing would change."""

    applied: list[Applied]
    changes: list[FieldChange]
    backtest: BacktestReport | None


async def try_policies(
    database: Database, policies: Sequence[Policy], since: datetime, until: datetime
) -> Trial:
    """Return what applying the policies would do, and change nothing.

    Raises InvalidPolicy as applying them would.
    """
    known = await read_policies(database)
    present = {policy.name: policy for policy in known}
    applied = await apply_policies(
        database, policies, source="person", reason="dry run", dry_run=True
    )
    changes = [
        one
        for policy in as_applied(known, policies)
        for one in field_changes(present.get(policy.name), policy)
    ]
    if not changes:
        return Trial(applied, changes, None)
    return Trial(applied, changes, await backtest(database, policies, since, until))
