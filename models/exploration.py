"""Exploration: now and then another good model is asked first, where a policy asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.fit import Demand
from models.learning.pareto import Option
from models.learning.posteriors import statistic
from models.learning.priorities import explored
from models.learning.priors import prior_for
from models.request import OnExhausted
from models.snapshot import Snapshot

ATTEMPTS_MIN = 20  # recent attempts from which a model's own rate says more than its prior


class Explored(NamedTuple):
    """The order to ask in, how likely its first model was, and what to say of it."""

    order: list[Demand]
    propensity: float
    note: str = ""


def exploring(order: list[Demand], fits: Sequence[Demand], snapshot: Snapshot) -> Explored:
    """Return the order, in the policy's share of requests with another model first.

    Only models that `fits` holds, those that could be paid for as a first choice, and of them only
    those that no other one beats on price and success. The snapshot's draw decides. Nothing is
    explored for a caller who named a model, or would rather wait than get another one.
    """
    share, waits = snapshot.policy.exploration, snapshot.on_exhausted is not OnExhausted.DOWNGRADE
    if len(fits) < 2 or waits or snapshot.features.model is not None:
        return Explored(order, 1.0)
    first = fits[0].model_id
    options = [_option(one, snapshot) for one in fits]
    ids = [one.model_id for one in fits]
    found = explored(ids, options, share=share, draw=snapshot.draw)
    if found.models[0] == first:
        return Explored(order, found.propensity)
    chosen = next(one for one in fits if one.model_id == found.models[0])
    note = (
        f"explores {chosen.model_id} instead of {first}: the policy explores in {share:.0%} of"
        f" requests (propensity {found.propensity:.3f})"
    )
    return Explored([chosen, *(one for one in order if one is not chosen)], found.propensity, note)


def _option(one: Demand, snapshot: Snapshot) -> Option:
    lately = one.statistics
    if lately is not None and lately.attempts >= ATTEMPTS_MIN and lately.success_rate is not None:
        success = lately.success_rate
    elif lately is not None and lately.prior_success is not None:
        success = lately.prior_success
    else:  # a snapshot stored before priors were part of it
        task_type = snapshot.classification.task_type
        success = prior_for(one.model_id, one.price, task_type).success
    return Option(one.model_id, success, statistic(one.full_usd))
