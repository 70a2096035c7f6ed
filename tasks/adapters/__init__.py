"""The outside world: database, ledger, upstream, settings; without Prefect."""
