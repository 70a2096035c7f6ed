"""Verified escalation: cheap first, the answer checked, then dearer; and what all of it costs."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deployments.api.lanes import Lanes
from deployments.api.options import ServeOptions
from deployments.simulator import RunningSimulator
from models.learning.checks import Agreement, CheckAudits
from models.policy import parse_policy
from models.request import RoutingRequest
from models.result import Outcome, Status
from tasks.adapters.explained import explained_decision
from tasks.adapters.learning import learn_orders
from tasks.adapters.replays import replay_decisions
from tasks.adapters.store.check_audits import read_agreements, read_audits, read_check
from tasks.adapters.store.feedback import save_feedback
from tasks.adapters.store.outcomes import recompute
from tasks.adapters.store.policies import apply_policies
from tests.bench import Bench, Collected
from tests.sums import (
    AGREED,
    BY_CHECK,
    BY_THREE,
    CHEAP,
    DEAR,
    MIDDLE,
    erring_simulator,
    sums_policy,
)

pytestmark = pytest.mark.anyio

SUM = "What is 17 + 25? Answer with the number only."
IS_42 = {"regex": "^42$"}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "unit": {"type": "string"}},
    "required": ["answer", "unit"],
}
AS_JSON = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}},
    "accept": {"json_schema": SCHEMA},
}


@pytest.fixture
def right() -> dict[str, float]:
    """How likely each model answers well; a test may change it."""
    return {CHEAP: 0.0, MIDDLE: 0.0, DEAR: 1.0}


@pytest.fixture
def simulator(tmp_path: Path, right: dict[str, float]) -> Iterator[RunningSimulator]:
    with erring_simulator(tmp_path, right) as running:
        yield running


async def set_policy(bench: Bench, *orders: dict[str, Any], **changes: Any) -> None:
    policy = parse_policy(sums_policy(*orders, **changes))
    await apply_policies(bench.runtime.database, [policy], source="person", reason="test")


async def ask(bench: Bench, **fields: Any) -> Any:
    return await bench.route(SUM, task_type="sums", **fields)


async def test_cheap_answer_that_fails_its_schema_is_answered_by_the_dearer_model(bench):
    await set_policy(bench, BY_CHECK)
    result = await ask(bench, **AS_JSON)
    assert (result.status, result.model) == (Status.COMPLETED, DEAR)
    assert [(one.model, one.outcome) for one in result.attempts] == [
        (CHEAP, Outcome.REJECTED_ANSWER),
        (DEAR, Outcome.OK),
    ]
    rows = await bench.rows(result.decision_id)
    assert [row["state"] for row in rows] == ["SETTLED", "SETTLED"]
    assert all(row["actual_cost"] > 0 for row in rows)
    assert result.cost_usd == sum(row["actual_cost"] for row in rows) == bench.true_spend


async def test_cheap_answer_that_passes_is_the_only_call(bench, right):
    right[CHEAP] = 1.0
    await set_policy(bench, BY_CHECK)
    result = await ask(bench, accept=IS_42)
    assert (result.model, result.content, bench.asked) == (CHEAP, "42", 1)


async def test_ceiling_of_money_stops_the_chain_before_the_step_that_does_not_fit(bench):
    await set_policy(bench, BY_THREE)
    whole = await ask(bench, accept=IS_42)
    held = [one.estimated_cost_usd for one in whole.attempts]
    asked = bench.asked
    # room for the first two holds, and not for the shortest answer of the third
    result = await ask(bench, accept=IS_42, max_cost_usd=str(held[0] + held[1] + Decimal("1e-6")))
    assert [one.model for one in result.attempts] == [CHEAP, MIDDLE]
    assert (result.status, bench.asked - asked) == (Status.FAILED, 2)
    assert any(DEAR in reason and "chain's other holds" in reason for reason in result.reasons)


async def test_sum_of_the_holds_of_a_chain_stays_below_the_limit_per_task(bench):
    await set_policy(bench, BY_THREE, max_cost_per_task="0.0015")
    result = await ask(bench, accept=IS_42)
    assert len(result.attempts) == 3
    assert sum(one.estimated_cost_usd for one in result.attempts) <= Decimal("0.0015")


async def test_ceiling_of_time_stops_the_chain(bench):
    await set_policy(bench, BY_CHECK, escalation_max_s=0.4)
    bench.fail("slow_drip", {"model": CHEAP}, seconds=0.6)
    result = await ask(bench, accept=IS_42)
    assert (result.status, bench.asked) == (Status.FAILED, 1)
    assert result.reasons[-1] == "the 0.4 s of the whole chain have passed"


async def test_switched_off_escalation_never_goes_dearer(bench):
    await set_policy(
        bench,
        BY_CHECK,
        {"models": [CHEAP, MIDDLE, DEAR]},
        escalation="off",
    )
    result = await ask(bench, accept=IS_42)
    assert [one.model for one in result.attempts] == [CHEAP]
    assert result.status is Status.FAILED


async def test_suggested_chain_is_told_and_not_followed(bench):
    await set_policy(bench, BY_CHECK, escalation="suggested")
    result = await ask(bench, accept=IS_42)
    assert [one.model for one in result.attempts] == [DEAR]
    (note,) = [reason for reason in result.reasons if reason.startswith("chain not followed")]
    assert f"{CHEAP} > {DEAR}" in note and "only suggests" in note


async def test_request_without_a_check_is_not_served_by_a_chain_that_relies_on_one(bench):
    await set_policy(bench, BY_CHECK)
    result = await ask(bench)
    assert [one.model for one in result.attempts] == [DEAR]


async def test_fresh_installation_escalates_by_public_priors(bench):
    await set_policy(bench)
    result = await ask(bench, accept=IS_42)
    assert len(result.attempts) > 1
    assert any(reason.startswith("public priors for sums: ") for reason in result.reasons)


async def test_two_models_that_agree_answer_with_the_cheaper_ones_words(bench, right):
    right[CHEAP] = right[MIDDLE] = 1.0
    await set_policy(bench, AGREED, escalation_check="agreement")
    result = await ask(bench)
    assert (result.status, result.model, result.content) == (Status.COMPLETED, CHEAP, "42")
    assert [(one.model, one.outcome) for one in result.attempts] == [
        (CHEAP, Outcome.OK),
        (MIDDLE, Outcome.OK),
    ]
    assert result.cost_usd == bench.true_spend and bench.asked == 2


async def test_two_models_that_differ_are_overruled_by_the_third(bench, right):
    right[MIDDLE] = 1.0
    await set_policy(bench, AGREED, escalation_check="agreement")
    result = await ask(bench)
    assert (result.model, result.content) == (DEAR, "42")
    assert [one.outcome for one in result.attempts] == [
        Outcome.REJECTED_ANSWER,
        Outcome.OK,  # the third says the same
        Outcome.OK,
    ]
    assert result.cost_usd == bench.true_spend
    assert all(one.cost_usd > 0 for one in result.attempts)


async def test_third_model_is_asked_when_one_of_the_two_fails(bench, right):
    right[MIDDLE] = 1.0
    await set_policy(bench, AGREED, escalation_check="agreement")
    bench.fail("bad_gateway", {"model": CHEAP})
    result = await ask(bench)
    assert (result.model, result.content) == (DEAR, "42")
    assert "there are no two answers to compare" in " ".join(result.reasons)


async def test_answer_of_the_dearer_of_two_is_given_when_the_third_cannot_be_asked(bench, right):
    right[MIDDLE] = 1.0
    await set_policy(bench, AGREED, escalation_check="agreement")
    bench.fail("bad_gateway", {"model": DEAR})
    result = await ask(bench)
    assert (result.status, result.model, result.content) == (Status.COMPLETED, MIDDLE, "42")
    assert result.reasons[-1] == f"the answer of {MIDDLE} is given, unconfirmed"


async def test_unconfirmed_answer_is_not_kept_for_equal_requests(bench, right):
    right[MIDDLE] = 1.0
    await set_policy(bench, AGREED, escalation_check="agreement", cache={"ttl_s": 600})
    bench.fail("bad_gateway", {"model": DEAR}, times=None)
    assert [(await ask(bench)).cached for _ in range(2)] == [False, False]
    bench.simulator.clear_faults()
    assert [(await ask(bench)).cached for _ in range(2)] == [False, True]


async def test_request_with_a_check_is_not_asked_of_two_models(bench, right):
    right[CHEAP] = 1.0
    await set_policy(bench, BY_CHECK, AGREED, escalation_check="agreement")
    result = await ask(bench, accept=IS_42)
    assert [one.model for one in result.attempts] == [CHEAP]


async def test_stream_brings_only_the_accepted_answer(bench, collected: Collected):
    await set_policy(bench, BY_CHECK)
    result = await ask(bench, accept=IS_42, sink=collected)
    assert (result.content, result.model) == ("42", DEAR)
    assert collected.text in ("", "42")
    assert CHEAP not in collected.chosen_models


async def test_chain_is_explained_with_its_steps_and_replays_identically(bench):
    await set_policy(bench)
    result = await ask(bench, accept=IS_42)
    document = await explained_decision(bench.runtime, result.decision_id)
    chain = document["plan"]["chain"]
    assert chain["is_followed"] and chain["source"] == "public priors"
    assert chain["brings"]["false_accept"] == pytest.approx(0.05)
    assert (await replay_decisions(bench.runtime, result.decision_id)).identical == 1


@pytest.mark.parametrize("accept", [IS_42, None])
async def test_gathered_writes_escalate_as_the_plain_ones_do(bench, right, accept):
    right[MIDDLE] = 1.0
    await set_policy(bench, BY_CHECK, AGREED, escalation_check="agreement")
    lanes = Lanes(ServeOptions(lane="ledger"), prefect_known=False)
    request = RoutingRequest.model_validate({"prompt": SUM, "task_type": "sums", "accept": accept})
    result = await lanes.run(request, "ledger")
    assert (result.model, result.content) == (DEAR, "42")
    assert len(result.attempts) == len(await bench.rows()) == (2 if accept else 3)
    assert result.cost_usd == bench.true_spend


async def score(bench: Bench, decision_id: UUID, value: str, attempt: int | None = None) -> None:
    await save_feedback(
        bench.runtime.database, decision_id, attempt_no=attempt, score=Decimal(value), given_by=None
    )


async def test_rates_of_a_check_come_from_feedback_on_what_it_accepted_and_rejected(bench, right):
    await set_policy(bench, BY_CHECK)
    database = bench.runtime.database
    assert await read_check(database, "sums") == CheckAudits().check()  # nothing but the prior
    rejected = await ask(bench, accept=IS_42)
    right[CHEAP] = 1.0
    accepted = await ask(bench, accept=IS_42)
    unchecked = await ask(bench)
    await score(bench, rejected.decision_id, "1", attempt=1)  # it was right after all
    await score(bench, rejected.decision_id, "1")  # the dearer answer was as well
    await score(bench, accepted.decision_id, "0.25")
    await score(bench, unchecked.decision_id, "0")
    audits = await read_audits(database, "sums")
    assert audits == CheckAudits(right_accepted=1.25, right_rejected=1, wrong_accepted=0.75)
    # 5 % of 20 imagined audits each: (1 + 0.75) / 20.75 and (1 + 1) / 22.25
    check = await read_check(database, "sums")
    assert check.false_accept == pytest.approx(1.75 / 20.75)
    assert check.false_reject == pytest.approx(2 / 22.25)


async def test_agreements_of_a_pair_are_counted_and_scored(bench, right):
    await set_policy(bench, AGREED, escalation_check="agreement")
    right[MIDDLE] = 1.0
    await ask(bench)
    right[CHEAP] = 1.0
    agreed = [await ask(bench) for _ in range(3)]
    await score(bench, agreed[0].decision_id, "1")
    await score(bench, agreed[1].decision_id, "0", attempt=1)
    seen = await read_agreements(bench.runtime.database, "sums")
    assert seen == {(CHEAP, MIDDLE): Agreement(1, 1, disagreed=1, agreed_unknown=1)}


async def test_feedback_that_accepted_answers_were_wrong_changes_the_chain(bench, right):
    right[CHEAP] = 1.0  # what its check cannot see is that the answers are wrong all the same
    await set_policy(bench, success_value_usd="0.1")
    results = [await ask(bench, accept=IS_42) for _ in range(16)]
    first = results[0].attempts[0].model
    for result in results:
        await score(bench, result.decision_id, "0")
    await recompute(bench.runtime.database)
    (learning,) = [one for one in await learn_orders(bench.runtime) if one.name == "sums"]
    # (1 + 16) / (20 + 16)
    check = await read_check(bench.runtime.database, "sums")
    assert check.false_accept == pytest.approx(17 / 36)
    assert any(move.startswith("checked requests, learned for sums") for move in learning.moves)
    again = await ask(bench, accept=IS_42)
    assert again.attempts[0].model != first
