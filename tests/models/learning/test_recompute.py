"""New policy versions from outcomes, and what the selection makes of them."""

from __future__ import annotations

from models.learning.checks import TRUE_CHECK, Check
from models.learning.kinds import Kind
from models.learning.posteriors import Outcomes, Posteriors
from models.learning.recompute import reordered
from models.policy import Complexity, parse_policy
from models.selection import select
from tests.models.builders import CHEAP, DEAR, MIDDLE, class_of, policy_of, snapshot_of

CARDS = {card.model_id: card for card in (DEAR, MIDDLE, CHEAP)}
FIX = Kind("fix_bug")


def policy(**changes):
    parts = {"success_value_usd": "0.1"}
    return policy_of("c/dear", "b/middle", "a/cheap", **parts | changes)


def learned() -> Posteriors:
    """The cheap model does as well as the dear one."""
    posteriors = Posteriors()
    for name, right, cost in (("c/dear", 88, 1.0), ("b/middle", 60, 0.2), ("a/cheap", 88, 0.02)):
        posteriors.record(name, FIX, Outcomes(right, cost, None, 100))
    return posteriors


def test_reordered_puts_the_model_that_earns_its_price_first_and_says_why():
    made = reordered(policy(), learned(), CARDS, [FIX])
    assert made.policy.orders[0].models[0] == "a/cheap"
    assert made.moves[0].startswith("learned for fix_bug: a/cheap first: a/cheap before c/dear")


def test_reordered_changes_nothing_when_it_is_run_again():
    once = reordered(policy(), learned(), CARDS, [FIX])
    again = reordered(once.policy, learned(), CARDS, [FIX])
    assert again.moves == () and again.policy == once.policy


def test_reordered_changes_nothing_when_nothing_was_learned():
    made = reordered(policy(), Posteriors(), CARDS, [FIX])
    assert made.moves == () and made.policy == policy()


def test_reordered_changes_nothing_when_the_policy_does_not_learn():
    made = reordered(policy(learning="off"), learned(), CARDS, [FIX])
    assert made.moves == () and made.policy.orders == ()


def learned_with_failures() -> Posteriors:
    """The dear model still solves 60 % of what the cheap one failed."""
    posteriors = learned()
    posteriors.record("c/dear", Kind("fix_bug", failed_before=1), Outcomes(60, 1.0, None, 100))
    return posteriors


def chain_in(made):
    return made.policy.chain_order_for("fix_bug", Complexity.MODERATE, "accept")


def test_reordered_plans_a_chain_beside_the_order_when_the_policy_escalates():
    made = reordered(
        policy(escalation="on"), learned_with_failures(), CARDS, [FIX], check=TRUE_CHECK
    )
    assert chain_in(made).escalates and chain_in(made).models[0] == "a/cheap"
    assert made.policy.order_for("fix_bug", Complexity.MODERATE).check is None
    assert any(move.startswith("checked requests, learned for fix_bug: a/") for move in made.moves)


def test_reordered_plans_no_chain_when_the_policy_does_not_escalate():
    made = reordered(policy(), learned_with_failures(), CARDS, [FIX], check=TRUE_CHECK)
    assert chain_in(made) is None


def test_reordered_says_of_a_suggested_chain_that_it_is_not_followed():
    suggested = policy(escalation="suggested")
    made = reordered(suggested, learned_with_failures(), CARDS, [FIX], check=TRUE_CHECK)
    assert any(move.startswith("suggested only: checked requests") for move in made.moves)


def test_reordered_gives_up_a_chain_whose_check_accepts_most_wrong_answers():
    on = policy(escalation="on")
    once = reordered(on, learned_with_failures(), CARDS, [FIX], check=TRUE_CHECK)
    # 80 % of what the cheap model gets wrong would be delivered: the dear one is hardly reached
    lax = Check(false_accept=0.8, false_reject=0.05)
    again = reordered(once.policy, learned_with_failures(), CARDS, [FIX], check=lax)
    assert not chain_in(again).escalates
    assert any("no chain beats" in move for move in again.moves)


def test_reordered_keeps_its_chains_when_it_is_run_again():
    on = policy(escalation="on")
    once = reordered(on, learned_with_failures(), CARDS, [FIX], check=TRUE_CHECK)
    again = reordered(once.policy, learned_with_failures(), CARDS, [FIX], check=TRUE_CHECK)
    assert again.moves == () and again.policy == once.policy


def test_reordered_policy_survives_its_document():
    made = reordered(policy(), learned(), CARDS, [FIX]).policy
    assert parse_policy(made.stored()).orders == made.orders


def test_select_asks_in_the_learned_order_and_says_so():
    made = reordered(policy(), learned(), CARDS, [FIX]).policy
    plan = select(snapshot_of(policy=made))
    assert plan.candidates[0].model_id == "a/cheap"
    assert any(reason.startswith("learned for fix_bug") for reason in plan.reasons)


def test_select_uses_the_order_of_the_complexity_when_there_is_one():
    cell = Kind("fix_bug", "complex")
    posteriors = Posteriors()
    for name, right in (("c/dear", 20), ("b/middle", 95), ("a/cheap", 20)):
        posteriors.record(name, cell, Outcomes(right, 0.2, None, 100))
    made = reordered(policy(), posteriors, CARDS, [cell]).policy
    for complexity, first in ((Complexity.COMPLEX, "b/middle"), (Complexity.MODERATE, "c/dear")):
        plan = select(snapshot_of(policy=made, classification=class_of(complexity)))
        assert plan.candidates[0].model_id == first
