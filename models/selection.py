"""The selection: a pure function from a snapshot to a plan of up to three attempts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from models.attempt import Candidate
from models.eligibility import examine, field_of
from models.escalation import Escalation, escalation_of
from models.exploration import exploring
from models.fit import Demand, Room, fitted, money_returns_at, room_in
from models.money import ZERO_USD, plain
from models.plan import Considered, OutKind, Plan, Refusal, out
from models.plan_costs import approval_limit, expected_usd, overshoot_usd
from models.policy import LearnedOrder
from models.ranking import ranked, rested
from models.request import OnExhausted
from models.snapshot import Snapshot, from_json

__all__ = ["Considered", "OutKind", "Plan", "Refusal", "replay", "select"]

ATTEMPTS_MAX = 3
# What a refusal is named after when models are out for different reasons: what can be mended first.
_BLAME = (
    OutKind.MONEY,
    OutKind.PAUSED,
    OutKind.NO_BUDGET,
    OutKind.PRICE,
    OutKind.CONTEXT,
    OutKind.ABILITY,
    OutKind.NONE_ACTIVE,
)


@dataclass(slots=True)
class _Step:
    """One attempt of the plan, with the worst case of the whole answer asked for."""

    demand: Demand
    candidate: Candidate
    full_usd: Decimal


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    snapshot: Snapshot
    notes: list[str]
    learned: LearnedOrder | None
    chain: Escalation | None = None
    chosen: list[_Step] = field(default_factory=list)
    outs: list[Considered] = field(default_factory=list)
    propensity: float = 1.0
    explores: bool = False

    def may_be_dearer(self, model_id: str) -> bool:
        """Whether a model may cost more than the one before: a step of a chain does."""
        if self.snapshot.policy.fallbacks == "any":
            return True
        return self.chain is not None and model_id in self.chain.order.models

    @property
    def held_usd(self) -> Decimal:
        """What a chain's steps so far may hold: the ceilings bound their sum."""
        if self.chain is None:
            return ZERO_USD
        return sum((step.candidate.worst_case_usd for step in self.chosen), ZERO_USD)


def select(snapshot: Snapshot) -> Plan:
    """Return the plan for a snapshot; ordinary refusals are part of it, nothing is raised.

    Steps 5 to 7 of the seed's decision flow: the policy's models, their recent performance, the
    first ones by priority whose worst case fits what is left. A chain is followed where it is
    wanted and its steps fit together; else the plan says what it would have been.
    """
    chain = escalation_of(snapshot)
    notes = [snapshot.classification.reason(), snapshot.policy_reason]
    if chain is None:
        return _selected(_Draft(snapshot, notes, snapshot.learned_order))
    if chain.is_wanted:
        plan = _selected(_Draft(snapshot, notes.copy(), chain.order, chain))
        if chain.stands(plan.candidates):
            return replace(plan, chain=chain.planned(snapshot, is_followed=True))
    plan = _selected(_Draft(snapshot, [*notes, chain.note()], snapshot.learned_order))
    return replace(plan, chain=chain.planned(snapshot, is_followed=False))


def _selected(draft: _Draft) -> Plan:
    snapshot = draft.snapshot
    if snapshot.features.unbounded:
        parts = ", ".join(snapshot.features.unbounded)
        message = f"the request holds {parts}: its cost has no bound, so nothing can hold it"
        return _refused(draft, OutKind.UNBOUNDED, message)
    if not snapshot.policy.is_active:
        message = f"policy {snapshot.policy.name} is inactive"
        return _refused(draft, OutKind.NONE_ACTIVE, message)
    order = _eligible_in_order(draft)
    patient = snapshot.on_exhausted is not OnExhausted.DOWNGRADE
    for number, one in enumerate(order):
        if patient and not draft.chosen and _waits(draft, one):
            draft.outs += [_spared(other, one) for other in order[number + 1 :]]
            break
        if len(draft.chosen) == ATTEMPTS_MAX:
            draft.outs += [_not_needed(other) for other in order[number:]]
            break
        _consider(draft, one)
    return _planned(draft) if draft.chosen else _refused(draft)


def replay(snapshot_json: str | bytes) -> Plan:
    """Return the plan of a stored snapshot, identical to the one made then."""
    return select(from_json(snapshot_json))


def _eligible_in_order(draft: _Draft) -> list[Demand]:
    snapshot = draft.snapshot
    common, eligible = field_of(snapshot), []
    for model_id in _model_ids(draft):
        found = examine(common, model_id)
        if isinstance(found, Considered):
            draft.outs.append(found)
        else:
            eligible.append(found)
    closed, resting, note = rested(eligible, snapshot.now)
    draft.outs += resting
    source = "learned" if draft.chain is None else draft.chain.source
    order, moves = ranked(closed, snapshot, draft.learned, source)
    draft.notes += [note, *moves] if note else moves
    if draft.chain is not None or snapshot.policy.exploration <= 0.0:
        return order
    fits = [one for one in order if fitted(one, _room(draft, one, None).available_usd) is not None]
    made = exploring(order, fits, snapshot)
    draft.propensity, draft.explores = made.propensity, bool(made.note)
    draft.notes += [made.note] if made.note else []
    return made.order


def _model_ids(draft: _Draft) -> list[str]:
    asked = draft.snapshot.features.model
    if asked is not None:
        draft.notes.append(f"the request names {asked}: the policy's list is passed over")
        return [asked]
    listed = [entry.model for entry in draft.snapshot.policy.ordered_models()]
    if draft.learned is None:
        return listed
    first = [name for name in draft.learned.models if name in listed]
    return [*first, *(name for name in listed if name not in first)]


def _waits(draft: _Draft, one: Demand) -> bool:
    """Say whether a caller who would rather wait or stop than get less must do so now.

    Only budgets are waited for: what the limit per task cuts stays cut, and the next model may
    suit it.
    """
    whole = fitted(one, draft.snapshot.task_cap_usd)
    room = room_in(one.budgets, one.ratio)
    if whole is None or whole.worst_case_usd <= room.available_usd:
        return False
    draft.outs.append(_too_dear(draft, one, whole.worst_case_usd, room))
    return True


def _consider(draft: _Draft, one: Demand) -> None:
    """Add the model to the plan, or say why not."""
    returns = draft.explores and len(draft.chosen) == 1  # to the models that are usually asked
    bounded = draft.chosen and not returns and not draft.may_be_dearer(one.model_id)
    before = draft.chosen[-1] if bounded else None
    full_usd = one.full_usd
    if before is not None and full_usd > before.full_usd:
        draft.outs.append(_dearer(one, full_usd, before))
        return
    room = _room(draft, one, before)
    whole_usd = full_usd if one.max_tokens == one.asked.max_tokens else None
    candidate = fitted(one, room.available_usd, whole_usd)
    if candidate is None:
        least = one.worst_usd(one.asked.tokens_floor)
        draft.outs.append(_too_dear(draft, one, least, room))
        return
    if candidate.max_tokens < one.max_tokens:
        draft.notes.append(
            f"{one.model_id}: answer cut to {candidate.max_tokens} of {one.max_tokens}"
            f" tokens, so that its worst case fits the ${plain(room.available_usd)} of"
            f" {room.tightest}"
        )
    draft.chosen.append(_Step(one, candidate, full_usd))


def _room(draft: _Draft, one: Demand, before: _Step | None) -> Room:
    """Return what the attempt may cost: budgets, the limit per task, and a dearer hold before."""
    held_usd = draft.held_usd
    room, cap = room_in(one.budgets, one.ratio, held_usd), draft.snapshot.task_cap_usd - held_usd
    if cap < room.available_usd:
        room = Room(cap, "the limit per task")
    if held_usd:
        room.tightest += " behind the chain's other holds"
    if before is not None and before.candidate.worst_case_usd < room.available_usd:
        room = Room(before.candidate.worst_case_usd, f"the hold of {before.demand.model_id}")
    return room


def _too_dear(draft: _Draft, one: Demand, needed_usd: Decimal, room: Room) -> Considered:
    snapshot = draft.snapshot
    returns_at = None
    if needed_usd <= snapshot.task_cap_usd:
        returns_at = money_returns_at(one.budgets, needed_usd, one.ratio, snapshot.now)
    reason = (
        f"worst case of at least ${plain(needed_usd)} is above the"
        f" ${plain(max(ZERO_USD, room.available_usd))} left in {room.tightest}"
    )
    return out(one.model_id, OutKind.MONEY, reason, returns_at)


def _not_needed(one: Demand) -> Considered:
    return out(one.model_id, OutKind.NOT_NEEDED, "three attempts are planned")


def _dearer(one: Demand, full_usd: Decimal, before: _Step) -> Considered:
    reason = (
        f"no fallback: worst case ${plain(full_usd)} is dearer than the"
        f" ${plain(before.full_usd)} of {before.demand.model_id}, and the policy's fallbacks are"
        " no_dearer"
    )
    return out(one.model_id, OutKind.DEARER, reason)


def _spared(one: Demand, first: Demand) -> Considered:
    reason = f"not asked: {first.model_id} does not fit, and no downgrade is wanted"
    return out(one.model_id, OutKind.NOT_NEEDED, reason)


def _planned(draft: _Draft) -> Plan:
    candidates = tuple([step.candidate for step in draft.chosen])
    limit, first = approval_limit(draft.snapshot), draft.chosen[0]
    # the steps of a chain are billed together, of other plans one attempt is
    dearest = max([candidate.worst_case_usd for candidate in candidates])
    if draft.chain is not None:
        dearest = draft.held_usd
    needs_approval = limit is not None and dearest > limit
    if needs_approval and limit is not None:
        draft.notes.append(f"needs approval: worst case ${plain(dearest)} is above ${plain(limit)}")
    overshoot = max([overshoot_usd(step.demand, step.candidate) for step in draft.chosen])
    if overshoot:
        draft.notes.append(
            f"elastic budgets hold less than the worst case: up to ${plain(overshoot)} over"
        )
    return Plan(
        candidates=candidates,
        considered=(considered := _considered(draft)),
        reasons=_reasons(draft, considered),
        estimated_cost_usd=expected_usd(draft.snapshot, first.demand, first.candidate),
        needs_approval=needs_approval,
        possible_overshoot_usd=overshoot,
        propensity=draft.propensity,
    )


def _considered(draft: _Draft) -> tuple[Considered, ...]:
    """Return every model once, chosen ones first, in the order of their attempts."""
    chosen = [
        Considered(
            step.candidate.model_id,
            number,
            None,
            f"attempt {number}: up to {step.candidate.max_tokens} tokens,"
            f" worst case ${plain(step.candidate.worst_case_usd)}",
        )
        for number, step in enumerate(draft.chosen, start=1)
    ]
    return (*chosen, *draft.outs)


def _reasons(draft: _Draft, considered: tuple[Considered, ...]) -> tuple[str, ...]:
    return (*draft.notes, *[f"{one.model_id}: {one.reason}" for one in considered])


def _refused(draft: _Draft, kind: OutKind | None = None, message: str = "") -> Plan:
    if kind is None:
        kinds = {one.kind for one in draft.outs}
        kind = next(blame for blame in _BLAME if blame in kinds)
        message = "no model can take this request: " + "; ".join(
            f"{one.model_id}: {one.reason}" for one in draft.outs
        )
    returns = [one.returns_at for one in draft.outs if one.returns_at is not None]
    parks = draft.snapshot.on_exhausted is OnExhausted.PARK and bool(returns)
    return Plan(
        candidates=(),
        considered=(considered := _considered(draft)),
        reasons=_reasons(draft, considered),
        estimated_cost_usd=ZERO_USD,
        refusal=Refusal(
            kind=OutKind.MONEY if kind is OutKind.PAUSED else kind,
            message=message,
            action="park" if parks else "reject",
            period_end=min(returns, default=None),
        ),
    )
