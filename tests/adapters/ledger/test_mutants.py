from __future__ import annotations

import pytest

from benchmarks.ledger.mutants import survives
from benchmarks.ledger.mutations import MUTATIONS
from tasks.adapters.migrations import MIGRATIONS

QUICK = ("limit off by one hold", "double settle", "fence ignores the token")


@pytest.mark.parametrize("name", QUICK)
def test_model_notices_a_broken_ledger(database_url: str, name: str) -> None:
    (mutation,) = (mutation for mutation in MUTATIONS if mutation.name == name)
    assert survives(database_url, mutation, examples=60) is not None


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_still_applies_to_the_sql(mutation) -> None:
    source = (MIGRATIONS / "sql" / mutation.file).read_text(encoding="utf-8")
    assert mutation.applied(source) != source
