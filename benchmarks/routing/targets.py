"""The targets, and whether each is met; an interval that reaches a target counts, and is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.routing.many import ManyResult
from benchmarks.routing.pair import PairRow
from benchmarks.routing.report import online_rows, plus_minus, table_of
from benchmarks.routing.scenarios import OnlineResult
from benchmarks.routing.statistics import Measured
from benchmarks.routing.timing import TimeRow

CHAIN_TARGETS = (0.86, 0.89, 0.90)
STATIC_LOSS_MAX = 0.01
Line = tuple[str, str, str, str]


def targets_section(
    pairs: Sequence[PairRow], mix: ManyResult, online: OnlineResult, times: Sequence[TimeRow]
) -> str:
    """Return the targets as a table."""
    lines = [*_pair_lines(pairs), *_mix_lines(mix), *_online_lines(online), *_time_lines(times)]
    return f"## Targets\n\n{table_of(('target', 'wanted', 'measured', 'verdict'), lines)}\n"


def _pair_lines(rows: Sequence[PairRow]) -> Iterator[Line]:
    wanted = {"MMLU, 1,500 labels": 0.63, "GSM8K, 50 %": 0.65, "MMLU, unseen subjects": 0.53}
    for row in rows:
        if row.method == "**text estimator**" and row.data in wanted:
            yield _at_least(f"APGR, {row.data}", row.apgr, wanted[row.data])


def _mix_lines(result: ManyResult) -> Iterator[Line]:
    for row in result.rows:
        if (
            row.aiq is None
            or row.parity is None
            or row.loss is None
            or "inferred" not in row.method
        ):
            continue
        name = row.method.strip("*")
        yield _at_least(f"MixA AIQ, {name}", row.aiq, 0.835)
        yield _at_most(f"MixA cost at parity, {name}", row.parity.cost_share, 0.65)
        yield _at_least(f"... success minus the best single model's, {name}", row.parity.gap, 0.0)
        yield _at_most(f"MixA cost at -1 point, {name}", row.loss.cost_share, 0.32)
        yield _at_least(f"... success minus the best single model's, {name}", row.loss.gap, -0.01)


def _online_lines(result: OnlineResult) -> Iterator[Line]:
    for row in online_rows(result, "**learned order**"):
        if row.worst is None:
            continue
        mean, worst = row.worst
        verdict = "met" if worst >= -STATIC_LOSS_MAX else (
            "met on average, not in every order" if mean >= -STATIC_LOSS_MAX else "missed"
        )  # fmt: skip
        yield (
            f"online, worst u minus prior-static after 500, V=${row.value_usd:g}",
            f">= {-STATIC_LOSS_MAX}",
            f"{mean:+.4f} (mean of orders), {worst:+.4f} (worst order)",
            verdict,
        )
    chains = online_rows(result, "**learned chain, true check**")
    for row, target in zip(chains, CHAIN_TARGETS, strict=True):
        yield _at_least(f"chain with a true check, V=${row.value_usd:g}", plus_minus(row), target)
    for drift in result.drift:
        if drift.policy == "**learned order**":
            after = Measured(
                drift.after, drift.after - drift.half_width, drift.after + drift.half_width
            )
            yield _at_least(f"drift, {drift.what}", after, 0.79)


def _time_lines(rows: Sequence[TimeRow]) -> Iterator[Line]:
    for row in rows:
        if "whole" in row.step:
            for name, wall, cpu, limit in (
                ("median", row.median_ms, row.cpu_median_ms, 1.0),
                ("p95", row.p95_ms, row.cpu_p95_ms, 5.0),
            ):
                text = f"{wall:.3f} ms by the clock, {cpu:.3f} ms of processor"
                verdict = "met" if wall < limit else "missed"
                yield (f"decision time, {name}", f"< {limit:g} ms", text, verdict)


def _at_least(name: str, found: Measured, target: float) -> Line:
    return name, f">= {target:g}", found.text(), found.verdict(target)


def _at_most(name: str, found: Measured, target: float) -> Line:
    return name, f"<= {target:g}", found.text(), found.verdict(target, above=False)
