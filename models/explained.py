"""A decision explained in plain words, part by part: for a terminal and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from models.chain_words import chain_lines
from models.money import plain
from models.plan import plan_from_document
from models.snapshot import BudgetRoom, Snapshot, from_document

ORDINALS = {1: "first", 2: "second", 3: "third"}
STATUS_WORDS = {
    "completed": "completed",
    "failed": "failed: no model answered",
    "rejected": "rejected: nothing was asked that budgets or policy do not allow",
    "parked": "parked until money or capacity is back",
    "awaiting_approval": "waits for a person's approval",
    "selected": "selected only, nothing was asked",
    "running": "still running",
}
OUTCOME_WORDS = {
    "ok": "answered",
    "failed": "failed",
    "rejected_answer": "answered, but the answer failed its check",
    "unknown": "ended without a known bill",
    "cancelled": "was cancelled",
}
Document = Mapping[str, Any]  # `GET /api/routing/decisions/{id}`


class Part(NamedTuple):
    """One part of the explanation: a title and its lines."""

    title: str
    lines: tuple[str, ...]


def explanation_parts(document: Document) -> tuple[Part, ...]:
    """Return the explanation of a decision; parts that have nothing to say are left out."""
    stored = document["snapshot"]
    snapshot = None if stored is None else from_document(stored)
    parts = [Part("result", tuple(_result(document)))]
    if snapshot is not None:
        parts += [
            Part("task", tuple(_task(snapshot))),
            Part("policy", tuple(_policy(snapshot))),
            Part("order", tuple(_order(document, snapshot))),
            Part("budgets when it was decided", tuple(_budget(room) for room in snapshot.budgets)),
        ]
    parts += [
        Part("chain", _chain(document)),
        Part("models", tuple(_model(one) for one in document["considered"])),
        Part("attempts", tuple(_attempts(document["attempts"]))),
        Part("feedback", tuple(_feedback(document))),
        Part("also", tuple(_rest(document, snapshot))),
    ]
    return tuple(part for part in parts if part.lines)


def explanation_text(document: Document) -> str:
    """Return the explanation for a terminal; control characters are shown as spaces."""
    label = " (simulated, no money moved)" if document["simulated"] else ""
    worker = f", for worker {document['worker_id']}" if document["worker_id"] else ""
    at = f"{document['created_at']:%Y-%m-%d %H:%M:%S %Z}"
    lines = [f"decision {document['decision_id']}{worker}, {at}{label}"]
    for part in explanation_parts(document):
        lines += [f"{part.title}:", *(f"  {_line(line)}" for line in part.lines)]
    return "\n".join(lines)


def _result(document: Document) -> Iterator[str]:
    yield STATUS_WORDS.get(document["status"], str(document["status"]))
    served = [one for one in document["attempts"] if one["outcome"] == "ok"]
    if served:
        yield f"{served[-1]['model']} gave the answer"
    bills = [one["cost_usd"] for one in document["attempts"]]
    if bills:
        known = sum((Decimal(bill) for bill in bills if bill is not None), Decimal(0))
        unknown = bills.count(None)
        open_bills = f", and {unknown} of {len(bills)} bills are not known yet" if unknown else ""
        yield f"it cost ${plain(known)} in {_counted(len(bills), 'attempt')}{open_bills}"


def _task(snapshot: Snapshot) -> Iterator[str]:
    kind = snapshot.classification
    how = "as the caller said" if kind.task_type_source == "given" else "inferred from the text"
    yield f"{kind.task_type}, {how}{'' if kind.known else '; a type of its own'}"
    parts = ", ".join(f"{name} {amount:+g}" for name, amount in kind.features)
    yield f"{kind.complexity.value}: score {kind.score:g}{f' from {parts}' if parts else ''}"


def _policy(snapshot: Snapshot) -> Iterator[str]:
    policy = snapshot.policy
    yield f"{snapshot.policy_reason} (version {policy.version})"
    yield (
        f"a task may cost ${plain(snapshot.task_cap_usd)}, an answer take up to"
        f" {snapshot.features.max_tokens or policy.max_tokens} tokens"
    )


def _order(document: Document, snapshot: Snapshot) -> Iterator[str]:
    listed = " > ".join(entry.model_id for entry in snapshot.policy.ordered_models())
    if snapshot.features.model is not None:
        yield f"the request names {snapshot.features.model}, so the policy's list is passed over"
        return
    learned = snapshot.learned_order
    yield f"the policy lists {listed}"
    yield learned.note() if learned is not None else "no order was learned for this kind of work"
    propensity = (document["plan"] or {}).get("propensity", 1.0)
    if propensity < 1.0:
        yield f"the first choice was drawn: it had a chance of {propensity:.1%}"


def _chain(document: Document) -> tuple[str, ...]:
    stored = document["plan"]
    if stored is None or stored.get("chain") is None:
        return ()
    chain = plan_from_document(stored).chain
    made = [(one["model"], str(one["outcome"])) for one in document["attempts"]]
    return () if chain is None else chain_lines(chain, made)


def _budget(room: BudgetRoom) -> str:
    held = f", ${plain(room.reserved_usd)} held" if room.reserved_usd else ""
    turns = "" if room.period_end is None else f"; turns {room.period_end:%Y-%m-%d %H:%M %Z}"
    return (
        f"{room.name}: ${plain(room.remaining_usd)} of ${plain(room.amount_usd)} left"
        f" (${plain(room.spent_usd)} spent{held}){turns}"
    )


def _model(one: Document) -> str:
    number = one["attempt"]
    if number is None:
        return f"out: {one['model_id']}: {one['reason']}"
    when = "asked first" if number == 1 else f"asked {ORDINALS.get(number, number)}, if need be"
    reason = one["reason"].removeprefix(f"attempt {number}: ")
    return f"in:  {one['model_id']}: {when}; {reason}"


def _attempts(attempts: Sequence[Document]) -> Iterator[str]:
    for number, one in enumerate(attempts, start=1):
        took = "" if one["latency_ms"] is None else f" after {one['latency_ms']} ms"
        cost = "an unknown amount" if one["cost_usd"] is None else f"${_usd(one['cost_usd'])}"
        error = f": {one['error']}" if one["error"] else ""
        outcome = OUTCOME_WORDS.get(one["outcome"], str(one["outcome"]))
        yield (
            f"{number}. {one['model']} {outcome}{took} and cost {cost}"
            f" (${_usd(one['estimated_cost_usd'])} was held){error}"
        )


def _feedback(document: Document) -> Iterator[str]:
    for one in document.get("feedback", ()):
        what = "the answer" if one["attempt"] is None else f"attempt {one['attempt']}"
        said_by = f" by {one['given_by']}" if one["given_by"] else ""
        yield f"{what} was scored {float(one['score']):g}{said_by}"


def _rest(document: Document, snapshot: Snapshot | None) -> Iterator[str]:
    """Yield the reasons that no other part has told."""
    told = {f"{one['model_id']}: {one['reason']}" for one in document["considered"]}
    told |= {f"{one['model']}: {one['error']}" for one in document["attempts"]}
    if snapshot is not None:
        told |= {snapshot.classification.reason(), snapshot.policy_reason}
        learned = snapshot.learned_order
        told |= set() if learned is None else {learned.note()}
    yield from (reason for reason in document["reasons"] if reason not in told)


def _usd(amount: object) -> str:
    return plain(Decimal(str(amount)))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
