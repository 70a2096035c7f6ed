"""Policies in the database: the newest version for routing, every version for the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from models.errors import InvalidPolicy, NotFound
from models.policy import LearnedOrder, Policy, claim_problems
from tasks.adapters.database import Database

LOCK = "SELECT pg_advisory_xact_lock(7355608243)"  # any number that nobody else uses

READ = """
SELECT name, policy_config, version, is_active FROM routing_policies
WHERE %(name)s::text IS NULL OR name = %(name)s ORDER BY name
"""

SEED = """
-- Seed a policy once; a person's later edits, a deactivation included, are never overwritten.
INSERT INTO routing_policies (name, description, policy_config, source)
VALUES (%(name)s, %(description)s, %(config)s, 'seed')
ON CONFLICT (name) DO NOTHING
RETURNING version
"""

SAVE = """
INSERT INTO routing_policies AS known
    (name, description, policy_config, source, is_active, version, updated_at)
VALUES (%(name)s, %(description)s, %(config)s, %(source)s, %(is_active)s, 1, now())
ON CONFLICT (name) DO UPDATE SET
    description = excluded.description, policy_config = excluded.policy_config,
    source = excluded.source, is_active = excluded.is_active,
    version = (SELECT max(v.version) FROM routing_policy_versions v WHERE v.name = known.name) + 1,
    updated_at = now()
RETURNING version
"""

SAVE_ORDERS = """
-- Learned orders, only into the version that they were learned for: what a person edited meanwhile
-- stays as it is, and is looked at the next time.
UPDATE routing_policies AS known SET policy_config = %(config)s, source = 'learned',
    version = (SELECT max(v.version) FROM routing_policy_versions v WHERE v.name = known.name) + 1,
    updated_at = now()
WHERE name = %(name)s AND version = %(version)s
RETURNING version
"""

KEEP_VERSION = """
INSERT INTO routing_policy_versions (name, version, policy_config, reason, source)
VALUES (%(name)s, %(version)s, %(config)s, %(reason)s, %(source)s)
"""

REPLACED = """
-- A person's new version takes the place of one on trial: nothing is left to compare it with.
UPDATE policy_canaries SET status = 'aborted', ended_at = now(),
    end_reason = 'version ' || %(version)s || ' was applied'
WHERE name = %(name)s AND ended_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying one policy did."""

    name: str
    version: int
    change: str  # created | updated | unchanged


async def read_policies(database: Database, name: str | None = None) -> list[Policy]:
    """Return the newest version of every policy, inactive ones included, by name."""
    rows = await database.fetch_all(READ, {"name": name})
    return [_policy(row) for row in rows]


def _policy(row: dict[str, Any]) -> Policy:
    return Policy.model_validate(
        row["policy_config"] | {"version": row["version"], "is_active": row["is_active"]}
    )


async def read_policy(database: Database, name: str) -> Policy:
    """Return one policy; raises NotFound."""
    found = await read_policies(database, name)
    if not found:
        raise NotFound(f"there is no policy {name!r}")
    return found[0]


async def seed_policies(database: Database, policies: Sequence[Policy]) -> list[str]:
    """Add the default policies that were never there; return the names added."""
    added = []
    async with database.connection() as connection, connection.transaction():
        for policy in policies:
            cursor = await connection.execute(SEED, _columns(policy, "seed"))
            if await cursor.fetchone() is not None:
                await keep_version(connection, policy, 1, "seed", "default policy")
                added.append(policy.name)
    return added


async def apply_policies(
    database: Database,
    policies: Sequence[Policy],
    *,
    source: str,
    reason: str,
    dry_run: bool = False,
) -> list[Applied]:
    """Save all of them or none; a policy that changes nothing makes no new version.

    Raises InvalidPolicy when two active policies would claim one task type. A dry run does the
    same and takes it back.
    """
    applied = []
    async with (
        database.connection() as connection,
        connection.transaction(force_rollback=dry_run),
    ):
        await lock_versions(connection)
        for policy in policies:
            applied.append(await _apply(connection, policy, source, reason))
        await refuse_shared_claims(connection)
    return applied


async def _apply(
    connection: AsyncConnection[DictRow], policy: Policy, source: str, reason: str
) -> Applied:
    cursor = await connection.execute(READ, {"name": policy.name})
    before = await cursor.fetchone()
    if before is not None:
        known = _policy(before)
        policy = with_known_orders(policy, known)
        if (known.stored(), known.is_active) == (policy.stored(), policy.is_active):
            return Applied(policy.name, before["version"], "unchanged")
    cursor = await connection.execute(SAVE, _columns(policy, source))
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("INSERT ... RETURNING returned no row")
    await keep_version(connection, policy, row["version"], source, reason)
    if source == "person":
        await connection.execute(REPLACED, {"name": policy.name, "version": str(row["version"])})
    return Applied(policy.name, row["version"], "created" if before is None else "updated")


def with_known_orders(policy: Policy, known: Policy) -> Policy:
    """Return the policy with the orders that the server learned.

    Content is by person, orders by server: those of a document are passed over. When the models or
    their priorities are others, a person has decided anew, and nothing learned overrules it.
    """
    same = policy.ordered_models() == known.ordered_models()
    return policy.model_copy(update={"orders": known.orders if same else ()})


async def save_orders(
    database: Database, policy: Policy, orders: Sequence[LearnedOrder], *, reason: str
) -> int | None:
    """Store learned orders as the policy's next version and return it.

    None when the policy is no longer at the version given: then nothing is stored.
    """
    made = policy.model_copy(update={"orders": tuple(orders)})
    columns = _columns(made, "learned") | {"version": policy.version}
    async with database.connection() as connection, connection.transaction():
        await lock_versions(connection)
        row = await (await connection.execute(SAVE_ORDERS, columns)).fetchone()
        if row is None:
            return None
        version: int = row["version"]
        await keep_version(connection, made, version, "learned", reason)
    return version


async def deactivate_policy(database: Database, name: str) -> Applied:
    """Take a policy out of use, as a new version; raises NotFound."""
    policy = await read_policy(database, name)
    inactive = policy.model_copy(update={"is_active": False})
    (applied,) = await apply_policies(database, [inactive], source="person", reason="deactivated")
    return applied


async def lock_versions(connection: AsyncConnection[DictRow]) -> None:
    """Let one writer number versions and look at claims at a time, until its transaction ends.

    A row's lock is not enough: who waited for it still sees the version numbers of before.
    """
    await connection.execute(LOCK)


async def refuse_shared_claims(connection: AsyncConnection[DictRow]) -> None:
    """Raise InvalidPolicy where two active policies now claim one task type."""
    cursor = await connection.execute(READ, {"name": None})
    if problems := claim_problems([_policy(row) for row in await cursor.fetchall()]):
        raise InvalidPolicy(problems)


async def keep_version(
    connection: AsyncConnection[DictRow], policy: Policy, version: int, source: str, reason: str
) -> None:
    """Store a version for the record."""
    columns = _columns(policy, source) | {"version": version, "reason": reason}
    await connection.execute(KEEP_VERSION, columns)


def _columns(policy: Policy, source: str) -> dict[str, object]:
    return {
        "name": policy.name,
        "description": policy.description,
        "config": Jsonb(policy.stored()),
        "is_active": policy.is_active,
        "source": source,
    }
