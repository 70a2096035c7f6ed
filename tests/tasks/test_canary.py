"""A policy version on trial, with real decisions: who it serves, how it ends, what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import InvalidPolicy, NotFound
from models.policy import LearnedOrder, Policy
from tasks.adapters.canaries import canary_evidence, judge_canaries
from tasks.adapters.replays import replay_decisions
from tasks.adapters.store.alerts import recent_alerts
from tasks.adapters.store.canaries import end_canary, start_canary
from tasks.adapters.store.decisions import read_decision
from tasks.adapters.store.policies import apply_policies, read_policy, save_orders
from tests.bench import Bench
from tests.tasks.canary_rows import recorded

pytestmark = pytest.mark.anyio
ENOUGH = 60


async def changed(bench: Bench, **changes: Any) -> Policy:
    policy = await read_policy(bench.runtime.database, "code")
    return Policy.model_validate(policy.model_dump(mode="json") | changes)


async def begun(bench: Bench, share: float = 0.5, **changes: Any) -> Policy:
    policy = await changed(bench, **changes or {"max_tokens": 77})
    await start_canary(bench.runtime.database, policy, share, "test")
    return policy


async def test_share_of_requests_meets_the_canary_says_so_and_replays(bench: Bench):
    await begun(bench)
    results = [await bench.route(idempotency_key=f"k{n}") for n in range(12)]
    by_version = {
        version: [r for r in results if r.policy_version == version] for version in (1, 2)
    }
    assert all(by_version.values())
    on_trial = by_version[2][0]
    assert any("canary version 2 in place of 1, for 50.0%" in why for why in on_trial.reasons)
    row = await read_decision(bench.runtime.database, on_trial.decision_id)
    assert row is not None
    assert row["snapshot"]["policy"]["canary_share"] == 0.5
    assert row["plan"]["candidates"][0]["max_tokens"] == 77
    report = await replay_decisions(bench.runtime, None)
    assert report.identical == report.replayed == 12
    (evidence,) = await canary_evidence(bench.runtime.database)
    assert evidence.arm.requests == len(by_version[2])
    assert evidence.present.requests == len(by_version[1])


async def test_promoted_version_is_in_force_with_its_number_and_reason(bench: Bench):
    await begun(bench)
    await end_canary(bench.runtime.database, "code", "promoted", "looks good")
    policy = await read_policy(bench.runtime.database, "code")
    assert (policy.version, policy.max_tokens, policy.canary_share) == (2, 77, None)
    assert (await bench.route()).policy_version == 2
    (canary,) = [one.canary for one in await canary_evidence(bench.runtime.database)]
    assert (canary.status, canary.end_reason) == ("promoted", "looks good")


async def test_learned_version_in_between_keeps_its_number(bench: Bench):
    await begun(bench)
    learned = await changed(bench, description="learned meanwhile")
    (applied,) = await apply_policies(
        bench.runtime.database, [learned], source="learned", reason="test"
    )
    assert applied.version == 3
    await end_canary(bench.runtime.database, "code", "promoted", "test")
    policy = await read_policy(bench.runtime.database, "code")
    assert (policy.version, policy.max_tokens) == (4, 77)


@pytest.mark.parametrize("has_same_models", [True, False])
async def test_orders_learned_in_between_stay_where_the_models_are_the_same(
    bench: Bench, has_same_models: bool
):
    present = await read_policy(bench.runtime.database, "code")
    models = [one.model_dump(mode="json") for one in present.models]
    changes = {} if has_same_models else {"models": models[:-1]}
    await begun(bench, **{"max_tokens": 77} | changes)
    ids = tuple(one.model_id for one in present.ordered_models())
    learned = LearnedOrder(task_type="fix_bug", models=(*ids[1:], ids[0]))
    await save_orders(bench.runtime.database, present, [learned], reason="test")
    await end_canary(bench.runtime.database, "code", "promoted", "test")
    policy = await read_policy(bench.runtime.database, "code")
    assert (policy.version, policy.max_tokens) == (4, 77)
    assert policy.orders == ((learned,) if has_same_models else ())


async def test_aborted_version_serves_nobody_and_its_number_is_not_used_again(bench: Bench):
    policy = await begun(bench, share=0.9)
    await end_canary(bench.runtime.database, "code", "aborted", "not now")
    results = [await bench.route() for _ in range(3)]
    assert {result.policy_version for result in results} == {1}
    again = await start_canary(bench.runtime.database, policy, 0.1, "again")
    assert again.version == 3


async def test_persons_new_version_ends_the_trial(bench: Bench):
    await begun(bench)
    other = await changed(bench, max_tokens=99)
    await apply_policies(bench.runtime.database, [other], source="person", reason="test")
    (found,) = await canary_evidence(bench.runtime.database)
    assert (found.canary.status, found.canary.end_reason) == ("aborted", "version 3 was applied")


async def test_regression_is_rolled_back_with_an_alert(bench: Bench):
    await begun(bench)
    started = (await canary_evidence(bench.runtime.database))[0].canary.started_at
    await recorded(bench.runtime, version=1, right=ENOUGH, wrong=0)
    await recorded(bench.runtime, version=2, right=10, wrong=ENOUGH)
    (found,) = await judge_canaries(bench.runtime)
    assert found.canary.status == "rolled_back"
    assert (await read_policy(bench.runtime.database, "code")).version == 1
    (alert,) = [
        one
        for one in await recent_alerts(bench.runtime.database, started)
        if one.kind == "canary.rolled_back"
    ]
    assert (
        "canary version 2 of policy code was rolled back: success is surely lower" in alert.message
    )
    assert await judge_canaries(bench.runtime) == []


async def test_version_is_not_promoted_into_task_types_that_another_policy_has_claimed(
    bench: Bench,
):
    present = await read_policy(bench.runtime.database, "code")
    await begun(bench, task_types=[*present.task_types, "translate_verse"])
    ops = await read_policy(bench.runtime.database, "ops")
    claiming = ops.model_copy(update={"task_types": (*ops.task_types, "translate_verse")})
    await apply_policies(bench.runtime.database, [claiming], source="person", reason="test")
    await recorded(bench.runtime, version=1, right=2000, wrong=40)
    await recorded(bench.runtime, version=2, right=500, wrong=5)
    (found,) = await judge_canaries(bench.runtime)
    assert found.canary.status == "rolled_back"
    assert "claimed by 2 active policies: code, ops" in str(found.canary.end_reason)
    assert await read_policy(bench.runtime.database, "code") == present


async def test_dearer_version_is_rolled_back(bench: Bench):
    await begun(bench)
    await recorded(bench.runtime, version=1, right=ENOUGH, wrong=0)
    await recorded(bench.runtime, version=2, right=ENOUGH, wrong=0, usd="0.02")
    (found,) = await judge_canaries(bench.runtime)
    assert found.canary.status == "rolled_back"
    assert "costs more" in str(found.canary.end_reason)


async def test_enough_good_evidence_promotes(bench: Bench):
    await begun(bench)
    await recorded(bench.runtime, version=1, right=2000, wrong=40)
    await recorded(bench.runtime, version=2, right=500, wrong=5)
    (found,) = await judge_canaries(bench.runtime)
    assert found.canary.status == "promoted"
    assert (await read_policy(bench.runtime.database, "code")).max_tokens == 77


async def test_little_evidence_changes_nothing(bench: Bench):
    await begun(bench)
    await recorded(bench.runtime, version=2, right=5, wrong=0)
    (found,) = await judge_canaries(bench.runtime)
    assert found.canary.status == "running"
    assert "30 of each are needed" in found.verdict.reason


async def test_what_cannot_be_compared_is_refused(bench: Bench):
    database = bench.runtime.database
    policy = await changed(bench, max_tokens=77)
    for wanted, share, problem in [
        (policy, 1.0, "not between 0 and 1"),
        (await changed(bench), 0.1, "would not change"),
        (await changed(bench, name="new", task_types=[]), 0.1, "no active policy 'new'"),
        (await changed(bench, task_types=["health_check"]), 0.1, "claimed by 2 active policies"),
    ]:
        with pytest.raises(InvalidPolicy, match=problem):
            await start_canary(database, wanted, share, "test")
    await start_canary(database, policy, 0.1, "test")
    with pytest.raises(InvalidPolicy, match="has one already"):
        await start_canary(database, policy, 0.1, "test")
    with pytest.raises(NotFound, match="no running canary"):
        await end_canary(database, "ops", "aborted", "test")
