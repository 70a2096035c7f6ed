"""A model of the ledger for Hypothesis: every operation, against the real PostgreSQL.

After each step the balances must be the model's to the last digit and the ledger's own audit must
be clean. Used by the test suite and, with broken SQL underneath, by `benchmarks.ledger.mutants`.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from benchmarks.ledger.model import (
    PERIODS,
    Balance,
    Connection,
    Entry,
    Expected,
    new_hold,
    new_limit,
)
from models.attempt import (
    AttemptState,
    Bill,
    Hold,
    Rejected,
    Replay,
    ReserveAnswer,
    Reserved,
    Uncovered,
)
from models.errors import IdempotencyConflict
from tasks.adapters.ledger import Ledger

WORKERS = ("w1", "w2")
WORKER = st.sampled_from(WORKERS)
PICKS = st.none() | st.integers(0, 99)
AMOUNTS = st.sampled_from([Decimal(n) / 1000 for n in (0, 1, 2, 3, 5, 10, 20)])
LIMITS = st.sampled_from([Decimal(n) / 1000 for n in (5, 10, 20, 30, 40, 0)])
FIVE = (Decimal("0.005"), Decimal("0.005"))
OTHERS = st.sampled_from([[], ["policy"], ["worker"], ["policy", "worker"]])
CAPS = st.none() | st.sampled_from([Decimal("0.005"), Decimal("0.020")])


class LedgerMachine(RuleBasedStateMachine):
    """Set `connection` on a subclass before running it."""

    connection: Connection
    entries = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.connection.forget_everything()
        self.expected = Expected()

    @property
    def ledger(self) -> Ledger:
        """The real ledger."""
        return self.connection.ledger

    @initialize(
        target=entries, sends=st.lists(st.booleans(), min_size=4, max_size=4), others=OTHERS
    )
    def begin(self, sends: list[bool], others: list[str]) -> Any:
        """Begin with limits and some attempts, so that every rule has something to do."""
        for budget_type in ("global", *others):
            self.change_limit(budget_type, Decimal("0.030"))
        begun = [
            self.hold_money(worker, Decimal(number) / 1000, Decimal("0.001"), None, uuid.uuid4())
            for number, worker in enumerate(("w1", "w1", "w2", "w2"), start=1)
        ]
        for entry, send in zip(begun, sends, strict=True):
            if send:
                self.reserve_again(entry, True, True, True)
            self.reserve_again(entry, False, True, False)  # by a stranger
            self.reserve_again(entry, True, False, True)  # by its owner, for something else
        return multiple(*begun)

    @rule(
        budget_type=st.sampled_from(sorted(PERIODS)),
        amount=LIMITS,
        is_active=st.sampled_from([True, True, True, False]),
    )
    def change_limit(self, budget_type: str, amount: Decimal, is_active: bool = True) -> None:
        """A limit holds at once, in the open period too."""
        self.connection.run(self.ledger.set_budget, new_limit(budget_type, amount, is_active))
        self.expected.change_limit(budget_type, amount if is_active else None)

    @rule()
    def drop_every_limit(self) -> None:
        """Without any limit only free calls are admitted."""
        for budget_type in PERIODS:
            self.change_limit(budget_type, Decimal("0.010"), is_active=False)
        self.hold_money("w1", Decimal("0.001"), Decimal("0.001"), None, uuid.uuid4())
        self.change_limit("global", Decimal("0.030"))

    @rule()
    def fill_a_lone_limit(self) -> None:
        """The last digit fits; a free call fits even where more is spent than allowed."""
        for budget_type in PERIODS:
            self.change_limit(budget_type, Decimal("0.010"), is_active=budget_type == "global")
        ((balance, _),) = self.expected.parts(new_hold(uuid.uuid4(), 1, "w1", *FIVE, None))
        self.change_limit("global", balance.spent + balance.held + FIVE[0])
        assert self.hold_money("w1", *FIVE, None, uuid.uuid4()) is not None
        self.change_limit("global", Decimal(0))
        assert self.hold_money("w1", Decimal(0), Decimal(0), None, uuid.uuid4()) is not None
        self.change_limit("global", Decimal("0.030"))

    @rule(
        target=entries,
        worker=WORKER,
        worst=AMOUNTS,
        cheap=AMOUNTS,
        cap=CAPS,
        pick=PICKS,
        sends=st.booleans(),
    )
    def reserve(
        self,
        worker: str,
        worst: Decimal,
        cheap: Decimal,
        cap: Decimal | None,
        pick: int | None,
        sends: bool,
    ) -> Any:
        """A new decision, or the next attempt of an earlier one; sent at once, or later."""
        decision_id = uuid.uuid4()
        if pick is not None and self.expected.entries:
            decision_id = self.expected.entries[pick % len(self.expected.entries)].hold.decision_id
        entry = self.hold_money(worker, worst, min(cheap, worst), cap, decision_id, sends)
        return multiple() if entry is None else entry

    def hold_money(
        self,
        worker: str,
        worst: Decimal,
        elastic: Decimal,
        cap: Decimal | None,
        decision_id: uuid.UUID,
        sends: bool = False,
    ) -> Any:
        """Admission is decided by the sums, for all budgets or none."""
        expected = self.expected
        attempt_no = expected.attempts.get(decision_id, 0) + 1
        hold = new_hold(decision_id, attempt_no, worker, worst, elastic, cap)
        answer = self.ask(hold, sends)
        if not expected.limits and worst > 0:
            assert isinstance(answer, Uncovered), answer
            return None
        parts = expected.parts(hold)
        full = [part > 0 and b.spent + b.held + part > b.limit for b, part in parts]
        if any(full):
            assert isinstance(answer, Rejected), answer
            assert len(answer.blocking) == sum(full)
            return None
        assert isinstance(answer, Reserved), answer
        return expected.admit(hold, answer.selection_id, parts, sends)

    def ask(self, hold: Hold, sends: bool) -> ReserveAnswer:
        """Ask for the hold alone, or with the mark of what is sent at once."""
        if not sends:
            return self.connection.run(self.ledger.reserve, hold)
        (answer,) = self.connection.run(self.connection.sender.reserve_all, [hold], 60)
        return answer

    @rule(entry=entries, same_token=st.booleans(), same_request=st.booleans(), sends=st.booleans())
    def reserve_again(
        self, entry: Entry, same_token: bool, same_request: bool, sends: bool
    ) -> None:
        """A known key gives its row, or its hold to the same token."""
        hold = entry.hold
        changed: dict[str, Any] = {} if same_token else {"token": uuid.uuid4()}
        changed |= {} if same_request else {"request_hash": "another"}
        again = replace(hold, **changed)
        if not same_request:
            try:
                self.ask(again, sends)
            except IdempotencyConflict:
                row = self.connection.run(self.ledger.attempt, hold.key)
                assert row is not None and row.state is entry.state, row
                return
            raise AssertionError("another request was taken under a known key")
        answer = self.ask(again, sends)
        is_live = entry.state is AttemptState.RESERVED and not entry.is_expired
        if same_token and is_live:
            assert isinstance(answer, Reserved), answer
            assert answer.selection_id == entry.selection_id
            entry.state = AttemptState.SENT if sends else entry.state
        else:
            assert isinstance(answer, Replay), answer
            assert (answer.attempt.state, answer.attempt.actual_cost_usd) == (
                entry.state,
                entry.cost,
            )

    @rule(entry=entries, right_token=st.booleans())
    def mark_sent(self, entry: Entry, right_token: bool) -> None:
        """Only the holder of the token may send, while its lease lives."""
        token = entry.hold.token if right_token else uuid.uuid4()
        may_send = self.connection.run(self.ledger.mark_sent, entry.selection_id, token, 60)
        open_states = (AttemptState.RESERVED, AttemptState.SENT)
        assert may_send == (right_token and entry.state in open_states and not entry.is_expired)
        if may_send:
            entry.state = AttemptState.SENT

    @rule(entry=entries, cost=AMOUNTS)
    def settle(self, entry: Entry, cost: Decimal) -> None:
        """A bill is booked once, also late."""
        bill = Bill(cost_usd=cost, source="usage", outcome="ok")
        settlement = self.connection.run(self.ledger.settle, entry.selection_id, bill)
        if entry.state is AttemptState.RESERVED:
            assert settlement.state == "not_sent"
        elif entry.state is AttemptState.SETTLED:
            assert settlement.state == "already_settled"
        else:
            is_late = entry.state is AttemptState.RELEASED
            assert settlement.state == ("late" if is_late else "settled")
            assert len(settlement.alerts) == self.expected.book(entry, cost)
            assert settlement.overrun_usd == max(cost - entry.hold.worst_case_usd, Decimal(0))

    @rule(entry=entries, cost=AMOUNTS)
    def pay(self, entry: Entry, cost: Decimal) -> None:
        """The way most attempts go: sent, answered, billed."""
        self.mark_sent(entry, True)
        self.settle(entry, cost)

    @rule(target=entries, worker=WORKER, cost=AMOUNTS)
    def route(self, worker: str, cost: Decimal) -> Any:
        """The way most requests go: held under a cap of its own and sent at once, then billed."""
        entry = self.hold_money(worker, *FIVE, FIVE[0], uuid.uuid4(), sends=True)
        if entry is None:
            return multiple()
        self.settle(entry, cost)
        return entry

    @rule(worker=st.sampled_from(WORKERS))
    def hold_nothing(self, worker: str) -> None:
        """A free call is admitted whatever is spent."""
        self.hold_money(worker, Decimal(0), Decimal(0), None, uuid.uuid4())

    @rule(entry=entries, right_token=st.booleans())
    def release(self, entry: Entry, right_token: bool) -> None:
        """A hold is given back once, by its holder, however often asked."""
        token = entry.hold.token if right_token else uuid.uuid4()
        was_open = entry.state in (AttemptState.RESERVED, AttemptState.SENT)
        free = (self.ledger.release, entry.selection_id, token)
        for _ in range(2):
            is_released = self.connection.run(*free, outcome="failed")
        if right_token and was_open:
            self.expected.free(entry)
        assert is_released == (right_token and entry.state is AttemptState.RELEASED)

    @rule(entry=entries, right_token=st.booleans())
    def mark_unknown(self, entry: Entry, right_token: bool) -> None:
        """A lost answer keeps its hold."""
        token = entry.hold.token if right_token else uuid.uuid4()
        is_unknown = self.connection.run(
            self.ledger.mark_unknown, entry.selection_id, token, "cut", "cut", None
        )
        if right_token and entry.state is AttemptState.SENT:
            entry.state = AttemptState.UNKNOWN
        assert is_unknown == (right_token and entry.state is AttemptState.UNKNOWN)

    @rule(entry=entries, cost=AMOUNTS)
    def resolve(self, entry: Entry, cost: Decimal) -> None:
        """An unknown bill is booked once it is stated."""
        answer = self.connection.run(
            self.ledger.resolve_unknown, entry.selection_id, cost_usd=cost, source="generation_api"
        )
        if entry.state is AttemptState.UNKNOWN:
            assert answer.state == "settled"
            assert len(answer.alerts) == self.expected.book(entry, cost)
        else:
            assert answer.state in ("not_sent", "already_settled")

    @rule(entry=entries)
    def let_the_lease_run_out(self, entry: Entry) -> None:
        """Time passes for one attempt; its owner asks again."""
        self.connection.expire_lease(entry.selection_id)
        entry.is_expired = True
        self.reserve_again(entry, True, True, False)

    @rule(entry=entries)
    def extend(self, entry: Entry) -> None:
        """A lease is extended while it lives, a sent one until it is swept."""
        is_extended = self.connection.run(
            self.ledger.extend_lease, entry.selection_id, entry.hold.token, 60
        )
        is_live = entry.state is AttemptState.RESERVED and not entry.is_expired
        assert is_extended == (is_live or entry.state is AttemptState.SENT)
        if is_extended:
            entry.is_expired = False

    @rule()
    def sweep(self) -> None:
        """What was never sent is released; what was becomes unknown."""
        report = self.connection.run(self.ledger.sweep)
        released = unknown = 0
        for entry in self.expected.entries:
            if not entry.is_expired:
                continue
            if entry.state is AttemptState.RESERVED:
                self.expected.free(entry)
                released += 1
            elif entry.state is AttemptState.SENT:
                entry.state = AttemptState.UNKNOWN
                unknown += 1
        assert (report.released, report.unknown) == (released, unknown)

    @rule()
    def turn_the_day(self) -> None:
        """Daily budgets start anew; monthly ones and caps do not."""
        self.connection.age_daily_budgets()
        self.expected.turn_the_day()

    @rule(amount=AMOUNTS)
    def adjust(self, amount: Decimal) -> None:
        """A correction is a row that the audit counts."""
        for state in self.connection.run(self.ledger.budgets):
            if state.budget_id is not None:
                self.connection.run(self.ledger.adjust, state.budget_id, amount, "model")
                scope = (state.budget_type, state.scope_key)  # a replay may have opened it
                self.expected.live.setdefault(scope, Balance(state.budget_amount)).spent += amount
                return

    @invariant()
    def balances_are_the_models(self) -> None:
        """Every balance is the model's, to the last digit."""
        for state in self.connection.run(self.ledger.budgets):
            expected = self.expected.live.get((state.budget_type, state.scope_key))
            if expected is None:
                assert (state.spent_amount, state.reserved_amount) == (0, 0)
                continue
            assert (state.budget_amount, state.spent_amount, state.reserved_amount) == (
                expected.limit,
                expected.spent,
                expected.held,
            )
            assert (state.alerted_at is not None) == expected.is_alerted

    @invariant()
    def audit_is_clean(self) -> None:
        """The ledger's own audit agrees."""
        report = self.connection.run(self.ledger.audit)
        assert report.is_clean, report.differences
        assert report.entries == len(self.expected.entries)
