"""The selection: a pure function from a snapshot to a plan of up to three attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from models.attempt import Candidate
from models.eligibility import Eligible, Out, examine, field_of
from models.fit import Room, fitted, money_returns_at, room_in
from models.money import ZERO_USD, plain, round_up_usd
from models.plan import Considered, OutKind, Plan, Refusal
from models.ranking import ranked, rested
from models.request import OnExhausted
from models.snapshot import Snapshot, from_json

__all__ = ["Considered", "OutKind", "Plan", "Refusal", "replay", "select"]

ATTEMPTS_MAX = 3
# Without statistics an answer is taken to be a quarter of what is allowed, 500 tokens at most.
ANSWER_SHARE, ANSWER_TOKENS = 4, 500
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
class _Draft:
    """A plan in the making."""

    snapshot: Snapshot
    notes: list[str]
    chosen: list[tuple[Eligible, Candidate]] = field(default_factory=list)
    outs: list[Out] = field(default_factory=list)


def select(snapshot: Snapshot) -> Plan:
    """Return the plan for a snapshot; ordinary refusals are part of it, nothing is raised.

    Steps 5 to 7 of the seed's decision flow: the policy's models, their recent performance, the
    first ones by priority whose worst case fits what is left.
    """
    draft = _Draft(snapshot, _opening(snapshot))
    if snapshot.features.unbounded:
        parts = ", ".join(snapshot.features.unbounded)
        message = f"the request holds {parts}: its cost has no bound, so nothing can hold it"
        return _refused(draft, OutKind.UNBOUNDED, message)
    if not snapshot.policy.is_active:
        message = f"policy {snapshot.policy.name} is inactive"
        return _refused(draft, OutKind.NONE_ACTIVE, message)
    order = _eligible_in_order(draft)
    for number, one in enumerate(order):
        if _waits(draft, one):
            draft.outs += [_spared(other, one) for other in order[number + 1 :]]
            break
        _consider(draft, one)
    return _planned(draft) if draft.chosen else _refused(draft)


def replay(snapshot_json: str | bytes) -> Plan:
    """Return the plan of a stored snapshot, identical to the one made then."""
    return select(from_json(snapshot_json))


def _opening(snapshot: Snapshot) -> list[str]:
    return [snapshot.classification.reason(), snapshot.policy_reason]


def _eligible_in_order(draft: _Draft) -> list[Eligible]:
    snapshot = draft.snapshot
    common, eligible = field_of(snapshot), []
    for model_id in _model_ids(draft):
        found = examine(common, model_id)
        if isinstance(found, Out):
            draft.outs.append(found)
        else:
            eligible.append(found)
    closed, resting, note = rested(eligible, snapshot.now)
    draft.outs += resting
    order, moves = ranked(closed, snapshot)
    draft.notes += [note, *moves] if note else moves
    return order


def _model_ids(draft: _Draft) -> list[str]:
    asked = draft.snapshot.features.model
    if asked is not None:
        draft.notes.append(f"the request names {asked}: the policy's list is passed over")
        return [asked]
    return [entry.model for entry in draft.snapshot.policy.ordered_models()]


def _waits(draft: _Draft, one: Eligible) -> bool:
    """Say whether a caller who would rather wait or stop than get less must do so now.

    Only budgets are waited for: what the limit per task cuts stays cut, and the next model may
    suit it.
    """
    snapshot = draft.snapshot
    if draft.chosen or snapshot.on_exhausted is OnExhausted.DOWNGRADE:
        return False
    whole = fitted(one.demand, snapshot.task_cap_usd)
    room = room_in(one.budgets, one.demand.ratio)
    if whole is None or whole.worst_case_usd <= room.available_usd:
        return False
    draft.outs.append(_too_dear(draft, one, whole.worst_case_usd, room))
    return True


def _consider(draft: _Draft, one: Eligible) -> None:
    """Add the model to the plan, or say why not."""
    if len(draft.chosen) == ATTEMPTS_MAX:
        draft.outs.append(Out(one.model_id, OutKind.NOT_NEEDED, "three attempts are planned"))
        return
    before = draft.chosen[-1] if draft.chosen else None
    if draft.snapshot.policy.fallbacks == "any":
        before = None
    if before is not None and one.demand.full_usd > before[0].demand.full_usd:
        draft.outs.append(_dearer(one, before[0]))
        return
    room = _room(draft, one, before)
    candidate = fitted(one.demand, room.available_usd)
    if candidate is None:
        least = one.demand.worst_usd(one.demand.tokens_floor)
        draft.outs.append(_too_dear(draft, one, least, room))
        return
    if candidate.max_tokens < one.demand.max_tokens:
        draft.notes.append(
            f"{one.model_id}: answer cut to {candidate.max_tokens} of {one.demand.max_tokens}"
            f" tokens, so that its worst case fits the ${plain(room.available_usd)} of"
            f" {room.tightest}"
        )
    draft.chosen.append((one, candidate))


def _room(draft: _Draft, one: Eligible, before: tuple[Eligible, Candidate] | None) -> Room:
    """Return what the attempt may cost: budgets, the limit per task, and a dearer hold before."""
    room, cap = room_in(one.budgets, one.demand.ratio), draft.snapshot.task_cap_usd
    if cap < room.available_usd:
        room = Room(cap, "the limit per task")
    if before is not None and before[1].worst_case_usd < room.available_usd:
        room = Room(before[1].worst_case_usd, f"the hold of {before[0].model_id}")
    return room


def _too_dear(draft: _Draft, one: Eligible, needed_usd: Decimal, room: Room) -> Out:
    snapshot = draft.snapshot
    returns_at = None
    if needed_usd <= snapshot.task_cap_usd:
        returns_at = money_returns_at(one.budgets, needed_usd, one.demand.ratio, snapshot.now)
    reason = (
        f"worst case of at least ${plain(needed_usd)} is above the"
        f" ${plain(max(ZERO_USD, room.available_usd))} left in {room.tightest}"
    )
    return Out(one.model_id, OutKind.MONEY, reason, returns_at)


def _dearer(one: Eligible, before: Eligible) -> Out:
    reason = (
        f"no fallback: worst case ${plain(one.demand.full_usd)} is dearer than the"
        f" ${plain(before.demand.full_usd)} of {before.model_id}, and the policy's fallbacks are"
        " no_dearer"
    )
    return Out(one.model_id, OutKind.DEARER, reason)


def _spared(one: Eligible, first: Eligible) -> Out:
    reason = f"not asked: {first.model_id} does not fit, and no downgrade is wanted"
    return Out(one.model_id, OutKind.NOT_NEEDED, reason)


def _planned(draft: _Draft) -> Plan:
    candidates = tuple(candidate for _, candidate in draft.chosen)
    limit = _approval_limit(draft.snapshot)
    dearest = max(candidate.worst_case_usd for candidate in candidates)
    needs_approval = limit is not None and dearest > limit
    if needs_approval and limit is not None:
        draft.notes.append(f"needs approval: worst case ${plain(dearest)} is above ${plain(limit)}")
    overshoot = _overshoot(draft)
    if overshoot:
        draft.notes.append(
            f"elastic budgets hold less than the worst case: up to ${plain(overshoot)} over"
        )
    return Plan(
        candidates=candidates,
        considered=(considered := _considered(draft)),
        reasons=_reasons(draft, considered),
        estimated_cost_usd=_expected_usd(draft.snapshot, *draft.chosen[0]),
        needs_approval=needs_approval,
        possible_overshoot_usd=overshoot,
    )


def _approval_limit(snapshot: Snapshot) -> Decimal | None:
    """Return the stricter of the request's and the policy's limit."""
    limits = (snapshot.features.approval_above_usd, snapshot.policy.approval_above_usd)
    return min((limit for limit in limits if limit is not None), default=None)


def _overshoot(draft: _Draft) -> Decimal:
    """Return the most by which one attempt's bill may exceed what an elastic budget holds."""
    return max(
        (
            candidate.worst_case_usd - candidate.elastic_usd
            for one, candidate in draft.chosen
            if any(room.mode == "elastic" for room in one.budgets)
        ),
        default=ZERO_USD,
    )


def _expected_usd(snapshot: Snapshot, one: Eligible, candidate: Candidate) -> Decimal:
    """Return what the attempt will probably cost; never more than its worst case."""
    known = one.statistics.completion_tokens_avg if one.statistics is not None else None
    tokens = min(ANSWER_TOKENS, candidate.max_tokens // ANSWER_SHARE) if known is None else known
    images = one.demand.prompt_tokens - snapshot.features.text_tokens_bound
    price = candidate.price
    expected = round_up_usd(
        price.prompt_usd * (snapshot.features.text_tokens_estimate + images)
        + price.completion_usd * tokens * one.demand.answers
        + price.request_usd
        + price.image_usd * one.demand.images
    )
    return min(expected, candidate.worst_case_usd)


def _considered(draft: _Draft) -> tuple[Considered, ...]:
    """Return every model once, chosen ones first, in the order of their attempts."""
    chosen = [
        Considered(
            candidate.model_id,
            number,
            None,
            f"attempt {number}: up to {candidate.max_tokens} tokens,"
            f" worst case ${plain(candidate.worst_case_usd)}",
        )
        for number, (_, candidate) in enumerate(draft.chosen, start=1)
    ]
    return (*chosen, *(Considered(out.model_id, None, out.kind, out.reason) for out in draft.outs))


def _reasons(draft: _Draft, considered: tuple[Considered, ...]) -> tuple[str, ...]:
    return (*draft.notes, *[f"{one.model_id}: {one.reason}" for one in considered])


def _refused(draft: _Draft, kind: OutKind | None = None, message: str = "") -> Plan:
    if kind is None:
        kinds = {out.kind for out in draft.outs}
        kind = next(blame for blame in _BLAME if blame in kinds)
        message = "no model can take this request: " + "; ".join(
            f"{out.model_id}: {out.reason}" for out in draft.outs
        )
    returns = [out.returns_at for out in draft.outs if out.returns_at is not None]
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
