"""Two models asked at once, and a crash after they answered: nothing is lost or paid for twice."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from deployments.simulator import RunningSimulator
from models.budget import BudgetDefinition
from models.policy import parse_policy
from models.result import Outcome, RoutingResult, Status
from tasks.adapters.store.policies import apply_policies
from tests.bench import Bench
from tests.sums import AGREED, CHEAP, DEAR, MIDDLE, erring_simulator, sums_policy

pytestmark = pytest.mark.anyio


@pytest.fixture
def right() -> dict[str, float]:
    """How likely each model answers well; a test may change it."""
    return {CHEAP: 0.0, MIDDLE: 1.0, DEAR: 1.0}


@pytest.fixture
def simulator(tmp_path: Path, right: dict[str, float]) -> Iterator[RunningSimulator]:
    with erring_simulator(tmp_path, right) as running:
        yield running


async def ask(bench: Bench) -> RoutingResult:
    prompt = "What is 17 + 25? Answer with the number only."
    return await bench.route(prompt, task_type="sums", idempotency_key="cut")


async def interrupted(bench: Bench, *, third_fails: bool = True) -> None:
    """Leave the decision as a crash does after its attempts and before its result."""
    policy = parse_policy(sums_policy(AGREED, escalation_check="agreement"))
    await apply_policies(bench.runtime.database, [policy], source="person", reason="test")
    if third_fails:
        bench.fail("bad_gateway", {"model": DEAR})
    await ask(bench)
    await bench.runtime.database.execute(
        "UPDATE routing_decisions SET result = NULL, finished_at = NULL, status = 'running'"
    )
    await bench.runtime.database.execute(
        "UPDATE model_selections SET outcome = 'ok', success = true, error = NULL"
        " WHERE response IS NOT NULL"
    )


async def asked(bench: Bench) -> list[str]:
    return [row["selected_model"] for row in await bench.rows()]


async def test_two_that_agreed_answer_with_no_further_call(bench, right):
    right[CHEAP] = 1.0
    await interrupted(bench)
    again = await ask(bench)
    assert (again.status, again.model, again.content) == (Status.COMPLETED, CHEAP, "42")
    assert sorted(await asked(bench)) == sorted([CHEAP, MIDDLE])


async def test_two_that_differed_are_overruled_by_the_third(bench):
    await interrupted(bench)
    again = await ask(bench)
    assert (again.status, again.model, again.content) == (Status.COMPLETED, DEAR, "42")
    assert [(one.model, one.outcome) for one in again.attempts] == [
        (CHEAP, Outcome.REJECTED_ANSWER),
        (MIDDLE, Outcome.OK),  # the third says the same
        (DEAR, Outcome.UNKNOWN),
        (DEAR, Outcome.OK),
    ]
    assert again.cost_usd == bench.true_spend


async def test_third_answer_that_is_stored_sets_aside_only_what_it_contradicts(bench):
    await interrupted(bench, third_fails=False)
    again = await ask(bench)
    assert (again.status, again.model, again.content) == (Status.COMPLETED, DEAR, "42")
    assert [one.outcome for one in again.attempts] == [
        Outcome.REJECTED_ANSWER,
        Outcome.OK,
        Outcome.OK,
    ]
    assert bench.asked == 3


async def test_answer_of_the_dearer_of_two_is_given_when_the_third_fails(bench):
    await interrupted(bench)
    bench.fail("bad_gateway", {"model": DEAR})
    again = await ask(bench)
    assert_unconfirmed(again)
    assert (await asked(bench)).count(DEAR) == 2


async def test_answer_of_the_dearer_of_two_is_given_when_no_money_is_left(bench):
    await interrupted(bench)
    await bench.runtime.ledger.set_budget(
        BudgetDefinition(
            budget_type="global", budget_period="daily", budget_amount=Decimal("0.000001")
        )
    )
    assert_unconfirmed(await ask(bench))
    assert (await asked(bench)).count(DEAR) == 1


def assert_unconfirmed(result: RoutingResult) -> None:
    assert (result.status, result.model, result.content) == (Status.COMPLETED, MIDDLE, "42")
    assert result.reasons[-1] == f"the answer of {MIDDLE} is given, unconfirmed"
    assert [one.outcome for one in result.attempts[:2]] == [Outcome.REJECTED_ANSWER, Outcome.OK]
    assert {one.outcome for one in result.attempts[2:]} == {Outcome.UNKNOWN}
