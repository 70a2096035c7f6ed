"""Write `models/learning/derived_priors.py` from the train part of MixA, never from dev or test.

    python -m benchmarks.routing.derive_priors --data DIR > models/learning/derived_priors.py

Only rates by model and family leave the data folder, no prompt and no single outcome.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from benchmarks.routing.datasets import Case, Dataset, mix
from benchmarks.routing.splits import split
from models.learning.difficulty import log_odds
from models.pricing import MTOK

# Tasks of MixA by the family of work that they stand for.
FAMILIES = {"crux": "code"}
TIERS = ("0.50", "2", "10", None)  # USD per million completion tokens, upper ends
CASES_MIN = 10  # of failed work, for the odds of a model on it to count

_HEADER = '''"""Rates of the train part of MixA, made by `benchmarks.routing.derive_priors`.

Do not edit. {cases} prompts whose `int(sha1(id)[:8], 16) % 100` is below 50.
"""

from __future__ import annotations

from decimal import Decimal

FAMILY_SOURCE = "success rate on the train part of MixA (benchmarks/routing/derive_priors.py)"
'''


def main() -> None:
    """Print the module."""
    parser = argparse.ArgumentParser(description="Make the derived priors.")
    parser.add_argument("--data", type=Path, required=True, help="folder of recorded outcomes")
    data = mix(parser.parse_args().data)
    train = [data.cases[place] for place in split(data.cases, 0).train]
    print(_HEADER.format(cases=len(train)))
    print("# Model id -> family of task types -> share of successes")
    print("FAMILY_RATES: dict[str, dict[str, float]] = {")
    for name, rates in sorted(_family_rates(data, train).items()):
        inner = ", ".join(f'"{family}": {rate:.3f}' for family, rate in sorted(rates.items()))
        print(f'    "{name}": {{{inner}}},')
    print("}")
    print("# USD per million completion tokens below which a tier ends -> mean of its models")
    print("TIER_RATES: tuple[tuple[Decimal | None, float], ...] = (")
    for below, rate in _tier_rates(data, train):
        end = "None" if below is None else f'Decimal("{below}")'
        print(f"    ({end}, {rate:.3f}),")
    print(")")
    print("# By how much log odds of success fall once none, one, two cheaper models have failed")
    falls = ", ".join(f"{_fall(data, train, failed):.2f}" for failed in (1, 2))
    print(f"LOG_ODDS_AFTER_FAILURES = (0.0, {falls})")


def _family_rates(data: Dataset, cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {name: {} for name in data.models}
    for family in sorted(set(FAMILIES.values())):
        held = [case for case in cases if FAMILIES.get(case.task) == family]
        for name in data.models:
            found[name][family] = _rate(held, name)
    return found


def _tier_rates(data: Dataset, cases: Sequence[Case]) -> list[tuple[str | None, float]]:
    """Return the mean rate of each tier's models, never falling as the price rises."""
    made: list[tuple[str | None, float]] = []
    below_usd = 0.0
    for below in TIERS:
        upper = float("inf") if below is None else float(below)
        rates = [
            _rate(cases, card.model_id)
            for card in data.cards
            if card.price and below_usd <= float(card.price.completion_usd * MTOK) < upper
        ]
        mean = sum(rates) / len(rates) if rates else 0.0
        made.append((below, max([mean, *(rate for _, rate in made)])))
        below_usd = upper
    return made


def _fall(data: Dataset, cases: Sequence[Case], failed: int) -> float:
    """Return the mean fall over tasks, sets of failed models, and dearer models after them."""
    price = {name: sum(case.cost_usd[name] for case in cases) for name in data.models}
    by_task: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_task[case.task].append(case)
    total = weight = 0.0
    for held in by_task.values():
        for before in combinations(data.models, failed):
            left = [case for case in held if not any(case.success[name] for name in before)]
            dearer = [n for n in data.models if price[n] > max(price[b] for b in before)]
            for name in dearer if len(left) >= CASES_MIN else ():
                rate = _rate(left, name)
                says = len(left) * rate * (1 - rate)
                total += says * (log_odds(_rate(held, name)) - log_odds(rate))
                weight += says
    return total / weight


def _rate(cases: Sequence[Case], name: str) -> float:
    """Return the share of successes, one added to each side."""
    return (sum(case.success[name] for case in cases) + 1.0) / (len(cases) + 2.0)


if __name__ == "__main__":
    main()
