"""A planned chain in words: what it is, what it should bring, how far its check can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.money import plain
from models.plan import PlannedChain
from models.policy import Brings


def chain_lines(chain: PlannedChain, attempts: Sequence[tuple[str, str]] = ()) -> tuple[str, ...]:
    """Return the chain line by line; `attempts` are the (model, outcome) pairs so far."""
    return tuple(_lines(chain, attempts))


def _lines(chain: PlannedChain, attempts: Sequence[tuple[str, str]]) -> Iterator[str]:
    verb = "followed" if chain.is_followed else "not followed"
    yield f"{verb}: {_way(chain)} (advised by {_source(chain)})"
    if chain.brings is not None:
        yield from _expected(chain.brings)
    seconds = "" if chain.ceiling_s is None else f" and take {chain.ceiling_s:g} s"
    yield f"all steps together may hold ${plain(chain.ceiling_usd)}{seconds}"
    if not chain.is_followed:
        return
    for number, name in enumerate(chain.models, start=1):
        outcomes = [outcome for model, outcome in attempts if model == name]
        yield f"step {number}, {name}: {', '.join(outcomes) or 'not asked'}"


def _way(chain: PlannedChain) -> str:
    if chain.check == "agreement":
        return f"{' and '.join(chain.models[:2])} at once, {chain.models[2]} where they differ"
    return f"{' > '.join(chain.models)}, the next one where an answer fails its check"


def _source(chain: PlannedChain) -> str:
    return "what was learned here" if chain.source == "learned" else chain.source


def _expected(brings: Brings) -> Iterator[str]:
    yield (
        f"expected: {brings.success:.0%} right for ${brings.cost_usd:.5f}; one call of"
        f" {brings.single_model} alone: {brings.single_success:.0%} for"
        f" ${brings.single_cost_usd:.5f}"
    )
    if brings.false_accept is not None and brings.false_reject is not None:
        yield (
            f"the check accepts {brings.false_accept:.1%} of wrong answers and rejects"
            f" {brings.false_reject:.1%} of right ones"
        )
    if brings.agrees is not None and brings.right_when_agreed is not None:
        yield (
            f"the two agree in {brings.agrees:.0%} of cases and are right then in"
            f" {brings.right_when_agreed:.1%}"
        )
