"""A changed policy run again in the order of time: spending, refusals, moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from models.backtest.balances import Balances
from models.backtest.direct import direct_model
from models.backtest.past import Past, Step
from models.backtest.prices import token_record
from models.backtest.quality import QualitySums, explored_by
from models.backtest.report import backtest_report
from models.backtest.run import NOTHING, BacktestRun, Recorded
from models.backtest.swap import change_of
from models.learning.kinds import Kind
from models.learning.priors import belief_in
from models.policy import Policy
from models.selection import select
from tests.models.builders import CHEAP, DEAR, NOW, TOMORROW, budget_of, policy_of, snapshot_of

KIND = Kind("fix_bug", "moderate")
PRESENT = policy_of("a/cheap")
BILL = Decimal("0.0005")  # 1,000 prompt tokens at 0.1 and 1,000 answered at 0.4 USD per million


def recorded(number: int, policy: Policy = PRESENT, limit: str = "0.06") -> Recorded:
    """The decision of so many minutes past noon, after as many cheap answers."""
    room = budget_of(limit, spent_usd=BILL * number)
    snapshot = replace(snapshot_of(CHEAP, policy=policy, budgets=(room,)), draw=0.5)
    answer = Step("a/cheap", True, 1.0, BILL, 286, 1000)
    past = Past(UUID(int=number), KIND, "rule", 1.0, 1, (answer,))
    way = tuple(one.model_id for one in select(snapshot).candidates)
    return Recorded(past, NOW + timedelta(minutes=number), way, snapshot)


def run_of(decisions: list[Recorded], *wanted: Policy, present: Policy = PRESENT) -> BacktestRun:
    pasts = [one.past for one in decisions]
    cards = {card.model_id: card for card in (CHEAP, DEAR)}
    run = BacktestRun(
        change=change_of([present], wanted),
        prices=cards,
        balances=Balances(()),
        direct=direct_model(pasts, {n: belief_in(n, card.price) for n, card in cards.items()}),
        tokens=token_record((past, 286) for past in pasts),
        quality=QualitySums(explored_by(pasts)),
    )
    for one in decisions:
        run.add(one)
    return run


def test_dearer_policy_empties_the_budget_and_is_refused():
    # Answers of 1,000 tokens at 20 and prompts of 286 at 5 USD per million: 0.02143 each.
    # Left before the four: 0.06, 0.03857, 0.01714 (cut to 607 tokens: 0.01357), 0.00357: too
    # little for 1,000 prompt tokens at 5 USD per million.
    run = run_of([recorded(n) for n in range(4)], policy_of("c/dear"))
    assert (run.refused_then, run.refused_now) == (0, 1)
    assert run.recorded_usd == 4 * BILL
    assert run.known_usd == 0
    assert run.estimated_usd == Decimal("0.05643")  # 0.02143 + 0.02143 + 0.01357
    assert dict(run.moves) == {("a/cheap", "c/dear"): 3, ("a/cheap", NOTHING): 1}
    course = run.balances.courses["global daily", TOMORROW]
    assert (course.recorded_usd, course.simulated_usd) == (4 * BILL, Decimal("0.05643"))
    assert course.refused == 1


def test_report_adds_up_by_day_and_counts_todays_prices():
    run = run_of([recorded(n) for n in range(4)], policy_of("c/dear"))
    until = NOW + timedelta(days=1)
    report = backtest_report(run, since=NOW, until=until, policies=[], left_out={"not ended": 2})
    (day,) = report.days
    assert (day.decisions, day.recorded_usd, day.simulated_usd) == (
        4, 4 * BILL, report.cost.simulated_usd,
    )  # fmt: skip
    assert report.cost.priced_today_share == 1.0  # c/dear was not looked at then
    assert report.left_out == {"not ended": 2}
    assert report.success is not None
    assert report.success.model_based_share == 0.75  # the refusal is certain


def test_policy_that_is_not_touched_keeps_its_old_version_and_its_bills():
    old = policy_of("a/cheap", max_tokens=900)
    run = run_of([recorded(n, old) for n in range(3)], policy_of("c/dear", name="other"))
    assert (run.affected, run.changed) == (0, 0)
    assert (run.known_usd, run.estimated_usd) == (3 * BILL, 0)


def test_policy_that_is_taken_out_of_use_leaves_its_requests_to_nobody():
    gone = policy_of("a/cheap", is_active=False)
    run = run_of([recorded(0)], gone)
    assert (run.refused_now, run.estimated_usd, run.known_usd) == (1, 0, 0)


def test_empty_record_is_reported_as_such():
    report = backtest_report(
        run_of([], policy_of("c/dear")), since=NOW, until=NOW, policies=[], left_out={}
    )
    assert (report.decisions, report.success, report.cost.known_share) == (0, None, 1.0)
