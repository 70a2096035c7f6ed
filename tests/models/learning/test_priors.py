"""Priors: each with its source, none invented."""

from __future__ import annotations

from decimal import Decimal

import pytest

from models.learning.priors import NO_SOURCE, belief_in, prior_for
from models.learning.public_priors import PUBLIC_SCORES
from models.pricing import TokenPrice

PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.000004"))


@pytest.mark.parametrize("model_id", sorted(PUBLIC_SCORES))
def test_every_published_score_is_a_share_with_a_source(model_id):
    score, source = PUBLIC_SCORES[model_id]
    assert 0.5 < score < 1.0 and source.startswith("MMLU")


def test_prior_is_the_published_score_when_there_is_one():
    assert prior_for("openai/gpt-4o-mini", PRICE).success == 0.820
    assert prior_for("openai/gpt-4o-mini:free", PRICE).success == 0.820


def test_prior_is_the_recorded_rate_when_the_type_belongs_to_a_recorded_family():
    found = prior_for("openai/gpt-4o-mini", PRICE, "fix_bug")
    assert "train part of MixA" in found.source


def test_prior_without_a_figure_is_the_price_tiers_and_marked_so():
    cheap = prior_for("new/small", TokenPrice(Decimal(0), Decimal("0.0000001")))
    dear = prior_for("new/large", TokenPrice(Decimal(0), Decimal("0.00002")))
    assert cheap.source == dear.source == NO_SOURCE
    assert cheap.success < dear.success
    assert cheap.weight < prior_for("openai/gpt-4o-mini", PRICE).weight


def test_belief_holds_the_cost_that_the_list_price_says():
    belief = belief_in("new/small", PRICE, prompt_tokens=1000, completion_tokens=500)
    assert belief.cost_usd == pytest.approx(0.001 + 0.002)
