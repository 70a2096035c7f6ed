"""The ledger: money is held before a byte is sent, and every bill is booked once."""

from __future__ import annotations

from models.errors import InvalidConfiguration
from tasks.adapters.database import Database
from tasks.adapters.ledger.budgets import Budgets
from tasks.adapters.ledger.calls import Calls
from tasks.adapters.ledger.gathered import Gathered
from tasks.adapters.ledger.recovery import Recovery

BILL_PATIENCE_S = 300.0


class Ledger(Gathered, Budgets, Recovery):
    """Entries, budgets and recovery over one database; holds no state of its own.

    `patience_s` is how long a bill is offered to a database that is away; after that its row is
    found by the sweep and reconciled.
    """

    def __init__(self, database: Database, *, patience_s: float = BILL_PATIENCE_S) -> None:
        self._calls = Calls(database, patience_s=patience_s)

    async def claim_installation(self, *, simulated: bool) -> None:
        """Claim the database for simulated or for real money, for good: they never mix.

        Raises InvalidConfiguration where it was claimed for the other.
        """
        row = await self._calls.one(
            "SELECT ledger.claim_installation(%s) AS simulated", (simulated,)
        )
        if row["simulated"] != simulated:
            ours, theirs = ("simulated", "real") if simulated else ("real", "simulated")
            raise InvalidConfiguration(
                f"this database holds {theirs} money and cannot take {ours} calls;"
                " use another DATABASE_URL or SWITCHYARD_HOME"
            )
