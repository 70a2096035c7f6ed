"""Queries on our own tables, a file a subject; the ledger's money moves are not here."""
