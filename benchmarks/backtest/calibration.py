"""How often the stated interval holds the truth, and how far off other estimates are."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import mean

from benchmarks.backtest.world import Rule, World, first_by_type, logged, value
from models.backtest.direct import direct_model
from models.backtest.quality import Quality, QualitySums, explored_by


@dataclass(frozen=True, slots=True)
class Setting:
    """A record to be judged from: its length, and how the rule that logged it explored."""

    decisions: int
    share: float
    chain: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """What resampling showed; errors are root mean squares, in points of success."""

    world: str
    setting: Setting
    target: str
    truth: float
    held: int
    resamples: int
    width: float
    bias: float
    answered: float
    effective: float


def targets(world: World) -> dict[str, dict[str, str]]:
    """Return changed rules: the dearest model everywhere, the best per type, a cheap one."""
    types = sorted({one.kind.task_type for one in world.requests})
    return {
        "dearest": dict.fromkeys(types, world.models[-1]),
        "best by type": first_by_type(world, world.models),
        "cheapest": dict.fromkeys(types, world.models[0]),
    }


def coverage(world: World, setting: Setting, target: str, *, resamples: int, seed: int) -> Coverage:
    """Return how a changed rule's estimate does over so many records of the present rule."""
    types = sorted({one.kind.task_type for one in world.requests})
    middle = world.models[len(world.models) // 2]
    present = Rule(dict.fromkeys(types, middle), setting.share, setting.chain)
    changed = Rule(targets(world)[target], 0.0, setting.chain)
    truth, rng = value(world, changed), random.Random(seed)
    found = [_estimate(world, present, changed, setting.decisions, rng) for _ in range(resamples)]
    return Coverage(
        world=world.name,
        setting=setting,
        target=target,
        truth=truth,
        held=sum(one.estimate.low <= truth <= one.estimate.high for one in found),
        resamples=resamples,
        width=mean(one.estimate.high - one.estimate.low for one in found),
        bias=mean(one.estimate.value for one in found) - truth,
        answered=mean(one.answered_share for one in found),
        effective=mean(one.effective_sample for one in found),
    )


def _estimate(
    world: World, present: Rule, changed: Rule, decisions: int, rng: random.Random
) -> Quality:
    record = logged(world, present, decisions, rng)
    direct = direct_model(record, world.beliefs)
    sums = QualitySums(explored_by(record))
    for past in record:
        sums.add(past, changed.way(world, changed.first[past.kind.task_type]), direct)
    return sums.quality(direct)
