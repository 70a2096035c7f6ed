"""Worlds whose truth is known: every model's outcome of every request, made or recorded."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from benchmarks.routing.datasets import Dataset, llm_router, mix, mmlu_pro
from models.backtest.past import Past, Step
from models.learning.kinds import Kind
from models.learning.posteriors import Belief
from models.learning.priors import belief_in

STEPS_MAX = 3
TIER_BELIEF = Belief(success=0.7, weight=8.0, cost_usd=0.0)


class Request(NamedTuple):
    """A kind of work, and how right each model's answer is, from 0 to 1."""

    kind: Kind
    success: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class World:
    """A population of requests; models by ascending price."""

    name: str
    models: tuple[str, ...]
    beliefs: Mapping[str, Belief]
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A routing rule: the first model by task type, and a share of other first models by chance.

    With `chain`, a wrong answer is noticed and the next dearer models are asked.
    """

    first: Mapping[str, str]
    share: float = 0.0
    chain: bool = False

    def way(self, world: World, first: str) -> tuple[str, ...]:
        """Return the models in the order to ask them, from a first one on."""
        if not self.chain:
            return (first,)
        dearer = world.models[world.models.index(first) + 1 :]
        return (first, *dearer)[:STEPS_MAX]


def value(world: World, rule: Rule) -> float:
    """Return the true mean success of a rule that does not explore, over the population."""
    return sum(
        _outcome(world, rule, one, rule.first[one.kind.task_type])[-1] for one in world.requests
    ) / len(world.requests)


def logged(world: World, rule: Rule, number: int, rng: random.Random) -> list[Past]:
    """Return a record of so many requests, drawn from the population, that the rule has routed."""
    return [_logged(world, rule, one, rng) for one in rng.choices(world.requests, k=number)]


def _logged(world: World, rule: Rule, one: Request, rng: random.Random) -> Past:
    usual = rule.first[one.kind.task_type]
    others = [name for name in world.models if name != usual]
    explored = rng.random() < rule.share
    first = rng.choice(others) if explored else usual
    propensity = rule.share / len(others) if explored else 1.0 - rule.share
    way = rule.way(world, first)
    outcomes = _outcome(world, rule, one, first)
    steps = tuple(
        Step(name, accepted=not rule.chain or right >= 1.0, right=right)
        for name, right in zip(way, outcomes, strict=False)
    )
    key = UUID(int=rng.getrandbits(128))
    return Past(key, one.kind, one.kind.task_type, propensity, len(way), steps)


def _outcome(world: World, rule: Rule, one: Request, first: str) -> list[float]:
    """Return how right each asked model's answer is, to the last one asked."""
    made: list[float] = []
    for name in rule.way(world, first):
        made.append(one.success[name])
        if not rule.chain or made[-1] >= 1.0:
            break
    return made


def synthetic(seed: int, requests: int = 20_000, models: int = 6, types: int = 8) -> World:
    """Return a made world: skills rise with price, types differ, requests are hard or easy.

    The hardness of a request is unseen by the direct model and shared by all models, as in life.
    """
    rng = random.Random(seed)
    names = tuple(f"m/{number}" for number in range(models))
    skill = {name: 0.45 + 0.45 * n / (models - 1) for n, name in enumerate(names)}
    quirk = {(n, t): rng.uniform(-0.2, 0.2) for n in names for t in range(types)}
    made = []
    for _ in range(requests):
        task, hardness = rng.randrange(types), rng.uniform(-0.35, 0.35)
        kind = Kind(f"type{task}", rng.choice(("simple", "complex")))
        chances = {n: skill[n] + quirk[n, task] - hardness for n in names}
        success = {n: float(rng.random() < chance) for n, chance in chances.items()}
        made.append(Request(kind, success))
    return World("synthetic", names, dict.fromkeys(names, TIER_BELIEF), tuple(made))


def recorded(folder: Path) -> list[World]:
    """Return the worlds of recorded outcomes."""
    return [_world(data) for data in (mix(folder), mmlu_pro(folder), llm_router(folder))]


def _world(data: Dataset) -> World:
    prices = {card.model_id: card.price for card in data.cards}
    cost = {n: sum(case.cost_usd[n] for case in data.cases) for n in data.models}
    return World(
        data.name,
        tuple(sorted(data.models, key=lambda name: cost[name])),
        {name: belief_in(name, prices[name]) for name in data.models},
        tuple(Request(Kind(case.task, "moderate"), case.success) for case in data.cases),
    )


def first_by_type(world: World, pick: Sequence[str]) -> dict[str, str]:
    """Return the model of a list that is right most often, for each task type."""
    sums: dict[str, dict[str, float]] = {}
    for one in world.requests:
        found = sums.setdefault(one.kind.task_type, dict.fromkeys(pick, 0.0))
        for name in pick:
            found[name] += one.success[name]
    return {task: max(found, key=lambda name: found[name]) for task, found in sums.items()}
