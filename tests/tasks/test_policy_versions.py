"""Versions of policies that are written at the same time."""

from __future__ import annotations

import asyncio

import pytest

from tasks.adapters.store.policies import apply_policies, read_policy
from tests.bench import Bench

pytestmark = pytest.mark.anyio


async def test_policies_applied_at_once_each_get_a_version_of_their_own(bench: Bench):
    database = bench.runtime.database
    policy = await read_policy(database, "code")
    changed = [policy.model_copy(update={"max_tokens": 100 + number}) for number in range(6)]
    made = await asyncio.gather(
        *(apply_policies(database, [one], source="person", reason="race") for one in changed)
    )
    versions = sorted(applied.version for (applied,) in made)
    assert versions == [policy.version + step for step in range(1, 7)]
