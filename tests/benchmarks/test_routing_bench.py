"""The routing benchmark's own arithmetic, on cases small enough to work out by hand."""

from __future__ import annotations

import pytest

from benchmarks.routing.curves import Point, Ranking, area, cost_at, hull, success_at
from benchmarks.routing.datasets import Case
from benchmarks.routing.plot import picture
from benchmarks.routing.splits import split, splits_of
from benchmarks.routing.statistics import bootstrap, measured

CHEAP, MIDDLE, DEAR = Point(1.0, 0.5), Point(2.0, 0.8), Point(5.0, 0.9)
BELOW = Point(3.0, 0.7)
ONES = [1.0] * 4


def cases(count: int) -> list[Case]:
    return [Case(f"case {n}", "text", "task", {}, {}) for n in range(count)]


def test_hull_leaves_out_points_below_it():
    assert hull([DEAR, BELOW, CHEAP, MIDDLE]) == [CHEAP, MIDDLE, DEAR]


def test_area_is_the_mean_success_between_the_two_costs():
    # (1 * (0.5 + 0.8) / 2 + 3 * (0.8 + 0.9) / 2) / 4 = 0.8
    assert area([MIDDLE, BELOW], CHEAP, DEAR) == pytest.approx((0.65 + 3 * 0.8) / 4)
    assert area([MIDDLE, DEAR], CHEAP, DEAR) == pytest.approx(0.8)


def test_cost_and_success_are_read_off_the_hull():
    corners = hull([CHEAP, MIDDLE, DEAR])
    assert cost_at(corners, 0.85) == pytest.approx(3.5)
    assert success_at(corners, 3.5) == pytest.approx(0.85)
    assert cost_at(corners, 0.95) is None


def test_gap_recovered_is_a_half_for_no_skill_and_more_for_the_right_order():
    weak, strong = [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]
    best = Ranking([1, 3, 0, 2], weak, strong)
    worst = Ranking([0, 2, 1, 3], weak, strong)
    # won after each call: 1, 2, 2, 2 of 2; trapezes 0.25 + 0.75 + 1 + 1 = 3 of 4
    assert best.gap_recovered(ONES) == pytest.approx(0.75)
    assert worst.gap_recovered(ONES) == pytest.approx(0.25)
    assert (best.calls_needed(0.5), best.calls_needed(0.8)) == (0.25, 0.5)


def test_split_is_half_a_fifth_and_three_tenths_without_overlap():
    parts = split(cases(4000), 0)
    assert sorted(place for part in parts for place in part) == list(range(4000))
    assert [round(len(part) / 4000, 1) for part in parts] == [0.5, 0.2, 0.3]


def test_splits_of_passes_over_splits_with_an_empty_part():
    kept_back = [cases(4000)[place] for place in split(cases(4000), 0).test]
    found = splits_of(kept_back, 3)
    assert len(found) == 3 and all(all(part) for part in found)


def test_measured_holds_the_mean_within_its_interval():
    draws = bootstrap(4, replicates=50)
    found = measured([lambda weights: sum(weights) / 4], draws, 4)
    assert found.mean == 1.0 and found.low < 1.0 < found.high
    assert found.verdict(found.high) == "met within the interval"


def test_picture_is_svg_with_every_curve_named():
    svg = picture("A & B", {"one": [CHEAP, DEAR], "**two**": [MIDDLE]})
    assert svg.startswith("<svg") and "A &amp; B" in svg and ">two</text>" in svg
