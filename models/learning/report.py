"""What was learned, for people: which orders moved and why, and the estimates behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.explanation import escaped, table
from models.learning.kinds import ANY, Kind
from models.learning.options import aim_of, beliefs_in, options_for
from models.learning.posteriors import Posteriors
from models.learning.priors import prior_for
from models.policy import Complexity, Policy
from models.pricing import ModelCard

KINDS_SHOWN_MAX = 12
COLUMNS = ("Work", "Place", "Model", "Success", "Cost", "Latency", "Worth", "Outcomes", "Prior")


class EstimateLine(NamedTuple):
    """What is expected of one model in one kind of work; `place` is its number in the order.

    `utility_usd` is p(success) * value - cost, `evidence` counts discounted outcomes.
    """

    kind: Kind
    place: int
    model_id: str
    success: float
    cost_usd: float
    latency_ms: float | None
    utility_usd: float
    evidence: float
    prior: float
    source: str


@dataclass(frozen=True, slots=True)
class PolicyLearning:
    """What one policy learned: its new version if anything moved, and the estimates.

    `note` says why nothing was done, where that is not simply that nothing had to move.
    """

    name: str
    version: int
    moves: tuple[str, ...] = ()
    note: str = ""
    lines: tuple[EstimateLine, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether there is a new version."""
        return bool(self.moves) and not self.note


def estimate_lines(
    policy: Policy, posteriors: Posteriors, cards: Mapping[str, ModelCard], kinds: Iterable[Kind]
) -> tuple[EstimateLine, ...]:
    """Return the estimates of every priced model of a policy, kind by kind, in their order."""
    aim = aim_of(policy)
    lines = []
    for kind in kinds:
        places = _places(policy, kind)
        for option in options_for(posteriors, kind, beliefs_in(policy, cards, kind.task_type)):
            prior = prior_for(option.model_id, cards[option.model_id].price, kind.task_type)
            lines.append(EstimateLine(
                kind, places[option.model_id], option.model_id, option.success, option.cost_usd,
                option.latency_ms, option.utility_usd(aim.value_usd), option.evidence,
                prior.success, prior.source,
            ))  # fmt: skip
    return tuple(sorted(lines, key=lambda line: (line.kind, line.place)))


def _places(policy: Policy, kind: Kind) -> dict[str, int]:
    complexity = policy.complexity if kind.complexity == ANY else Complexity(kind.complexity)
    order = policy.order_for(kind.task_type, complexity)
    listed = [entry.model_id for entry in policy.ordered_models()]
    first = () if order is None else tuple(name for name in order.models if name in listed)
    ids = (*first, *(name for name in listed if name not in first))
    return {name: number for number, name in enumerate(ids, start=1)}


def learning_markdown(found: Sequence[PolicyLearning]) -> str:
    """Return the artifact of `recompute-priorities`: what moved and why, and every estimate."""
    moved = [one for one in found if one.moved]
    said = (
        f"**{len(moved)} of {len(found)} policies have a new version.**"
        if moved
        else f"The orders of all {len(found)} policies stay as they are."
    )
    return "\n\n".join(["# Learned priorities", said, *(_policy(one) for one in found)])


def _policy(one: PolicyLearning) -> str:
    parts = [f"## {escaped(one.name)}, version {one.version}"]
    if one.note:
        parts.append(escaped(one.note))
    if one.moves:
        parts.append("\n".join(f"- {escaped(move)}" for move in one.moves))
    if one.lines:
        parts.append(table(COLUMNS, [_row(line) for line in one.lines]))
    return "\n\n".join(parts)


def _row(line: EstimateLine) -> tuple[object, ...]:
    return (
        kind_text(line.kind),
        line.place,
        line.model_id,
        f"{line.success:.1%}",
        f"${line.cost_usd:.6f}",
        "-" if line.latency_ms is None else f"{line.latency_ms:.0f} ms",
        f"${line.utility_usd:.5f}",
        f"{line.evidence:.0f}",
        f"{line.prior:.0%}, {line.source}",
    )


def kind_text(kind: Kind) -> str:
    """Return a kind of work in words."""
    name = "all work" if kind.task_type == ANY else kind.task_type
    return name if kind.complexity == ANY else f"{kind.complexity} {name}"
