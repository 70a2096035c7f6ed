"""Make the ledger's database ready, then end: a child, so that its imports go with it."""

from __future__ import annotations

import asyncio
import sys

from deployments.preparation import prepared_runtime
from models.errors import SwitchyardError
from tasks.adapters.settings import read_settings


async def prepare() -> None:
    """Bring schema, prices and default policies up to date."""
    async with prepared_runtime(read_settings()):
        pass


def main() -> None:
    """Run it."""
    asyncio.run(prepare())


if __name__ == "__main__":
    try:
        main()
    except SwitchyardError as error:  # the last line of output says what went wrong
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
