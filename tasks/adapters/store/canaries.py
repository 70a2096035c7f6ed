"""Policy versions on trial, in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from models.canary import Arm, refuse_share
from models.errors import InvalidPolicy, NotFound
from models.policy import Policy, claim_problems
from tasks.adapters.database import Database
from tasks.adapters.store.policies import (
    keep_version,
    lock_versions,
    read_policies,
    refuse_shared_claims,
    with_known_orders,
)

Ending = Literal["promoted", "aborted", "rolled_back"]

PRESENT = """
SELECT version, is_active, policy_config FROM routing_policies WHERE name = %(name)s FOR UPDATE
"""

NEXT_VERSION = """
SELECT coalesce(max(version), 0) + 1 AS version FROM routing_policy_versions WHERE name = %(name)s
"""

START = """
INSERT INTO policy_canaries (name, version, base_version, policy_config, share, reason)
VALUES (%(name)s, %(version)s, %(base_version)s, %(config)s, %(share)s, %(reason)s)
ON CONFLICT (name) WHERE ended_at IS NULL DO NOTHING
RETURNING *
"""

RUNNING = "SELECT * FROM policy_canaries WHERE ended_at IS NULL ORDER BY name"

NEWEST = """
SELECT DISTINCT ON (name) * FROM policy_canaries
WHERE %(name)s::text IS NULL OR name = %(name)s ORDER BY name, started_at DESC
"""

END = """
UPDATE policy_canaries SET status = %(status)s, ended_at = now(), end_reason = %(reason)s
WHERE name = %(name)s AND ended_at IS NULL RETURNING *
"""

IN_FORCE = """
UPDATE routing_policies SET
    description = %(config)s ->> 'description', policy_config = %(config)s, source = 'person',
    version = %(version)s, is_active = true, updated_at = now()
WHERE name = %(name)s
"""

ARMS = """
-- What both versions did since the canary began: each ended decision that asked or was refused, not
-- what was answered without a call. Right: the last score of the answer, else that one came.
SELECT judged.is_canary, count(*)::int AS requests, sum(judged.is_right::int)::int AS successes,
       avg(judged.cost)::float8 AS cost_usd_avg,
       coalesce(var_samp(judged.cost), 0)::float8 AS cost_usd_variance
FROM (
    SELECT d.policy_version = %(version)s AS is_canary, coalesce(made.cost, 0) AS cost,
           coalesce(score.given >= 0.5, d.status = 'completed' AND made.success, false) AS is_right
    FROM routing_decisions d
    CROSS JOIN LATERAL (
        SELECT sum(s.actual_cost) AS cost, count(*) AS attempts, bool_or(s.success) AS success,
               max(s.attempt_no) FILTER (WHERE s.success) AS answered_by
        FROM model_selections s WHERE s.decision_id = d.id AND s.outcome IS NOT NULL
    ) AS made
    CROSS JOIN LATERAL (
        SELECT coalesce(min(f.score) FILTER (WHERE f.attempt_no IS NOT NULL), min(f.score)) AS given
        FROM decision_feedback f WHERE f.decision_id = d.id
          AND (f.attempt_no IS NULL OR f.attempt_no = made.answered_by)
    ) AS score
    WHERE d.policy_name = %(name)s AND d.created_at >= %(started_at)s
      AND d.status IN ('completed', 'failed', 'rejected')
      AND (made.attempts > 0 OR d.status <> 'completed')
) AS judged GROUP BY judged.is_canary
"""


@dataclass(frozen=True, slots=True)
class Canary:
    """A version on trial, or one that was."""

    name: str
    version: int
    base_version: int
    share: float
    status: str
    reason: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None


async def read_serving(database: Database) -> list[Policy]:
    """Return the policies in force, and after them the versions on trial with their share."""
    policies = await read_policies(database)
    trials = await database.fetch_all(RUNNING)
    return policies + [
        Policy.model_validate(
            row["policy_config"]
            | {"version": row["version"], "canary_share": float(row["share"]), "is_active": True}
        )
        for row in trials
    ]


async def newest_canaries(database: Database, name: str | None = None) -> list[Canary]:
    """Return the newest trial of each policy, or of one; running or ended."""
    return [_canary(row) for row in await database.fetch_all(NEWEST, {"name": name})]


async def start_canary(database: Database, policy: Policy, share: float, reason: str) -> Canary:
    """Let a new version serve a share of its policy's requests.

    Raises InvalidPolicy where there is nothing to compare it with, or where a trial runs already.
    """
    refuse_share(share)
    others = [one for one in await read_policies(database) if one.name != policy.name]
    if problems := claim_problems([*others, policy]):
        raise InvalidPolicy(problems)
    async with database.connection() as connection, connection.transaction():
        await lock_versions(connection)
        present = await _row(connection, PRESENT, {"name": policy.name})
        if present is None or not present["is_active"] or not policy.is_active:
            problem = f"canary: there is no active policy {policy.name!r} to compare it with"
            raise InvalidPolicy((problem,))
        known = Policy.model_validate(present["policy_config"])
        policy = with_known_orders(policy, known)
        if known.stored() == policy.stored():
            raise InvalidPolicy((f"canary: policy {policy.name!r} would not change",))
        version = await _next_version(connection, policy.name)
        values = {
            "name": policy.name,
            "version": version,
            "base_version": present["version"],
            "config": Jsonb(policy.stored()),
            "share": round(share, 4),
            "reason": reason,
        }
        started = await _row(connection, START, values)
        if started is None:
            raise InvalidPolicy((f"canary: policy {policy.name!r} has one already",))
        await keep_version(connection, policy, version, "person", reason)
    return _canary(started)


async def end_canary(database: Database, name: str, status: Ending, reason: str) -> Canary:
    """End a trial; a promoted version is in force with the same commit.

    Raises NotFound, and InvalidPolicy where another policy has claimed its task types meanwhile.
    """
    async with database.connection() as connection, connection.transaction():
        await lock_versions(connection)
        present = await _row(connection, PRESENT, {"name": name})
        ended = await _row(connection, END, {"name": name, "status": status, "reason": reason})
        if ended is None or present is None:
            raise NotFound(f"policy {name!r} has no running canary")
        if status == "promoted":
            await _put_in_force(connection, ended, present, reason)
            await refuse_shared_claims(connection)
    return _canary(ended)


async def _put_in_force(
    connection: AsyncConnection[DictRow],
    ended: dict[str, Any],
    present: dict[str, Any],
    reason: str,
) -> None:
    """Make the trial's version the policy's; versions only rise, so a later one gets a new number.

    The policy may have moved on meanwhile: orders that were learned since are new versions too,
    and stay in force where the models are the same.
    """
    version, known = ended["version"], Policy.model_validate(present["policy_config"])
    policy = with_known_orders(Policy.model_validate(ended["policy_config"]), known)
    if version <= present["version"]:
        version = await _next_version(connection, ended["name"])
        await keep_version(connection, policy, version, "person", f"promoted: {reason}")
    values = {"name": ended["name"], "version": version, "config": Jsonb(policy.stored())}
    await connection.execute(IN_FORCE, values)


async def arms_of(database: Database, canary: Canary) -> tuple[Arm, Arm]:
    """Return what the present version and the canary did since it began."""
    values = {"name": canary.name, "version": canary.version, "started_at": canary.started_at}
    async with database.patient_transaction() as connection:
        rows = await (await connection.execute(ARMS, values)).fetchall()
    found = {row.pop("is_canary"): Arm(**row) for row in rows}
    return found.get(False, Arm()), found.get(True, Arm())


async def _next_version(connection: AsyncConnection[DictRow], name: str) -> int:
    row = await _row(connection, NEXT_VERSION, {"name": name})
    return int(row["version"]) if row is not None else 1


async def _row(
    connection: AsyncConnection[DictRow], query: Any, values: dict[str, Any]
) -> dict[str, Any] | None:
    return await (await connection.execute(query, values)).fetchone()


def _canary(row: dict[str, Any]) -> Canary:
    return Canary(
        name=row["name"],
        version=row["version"],
        base_version=row["base_version"],
        share=float(row["share"]),
        status=row["status"],
        reason=row["reason"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
    )
