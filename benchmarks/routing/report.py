"""The result as Markdown tables, every baseline in every table, and which targets are met."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.routing.frame import ManyRow, Threshold
from benchmarks.routing.many import ManyResult
from benchmarks.routing.online import OnlineRow
from benchmarks.routing.pair import PairRow
from benchmarks.routing.scenarios import DRIFT_VALUE, VALUES, OnlineResult
from benchmarks.routing.statistics import Measured
from benchmarks.routing.timing import TimeRow


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def pair_section(rows: Sequence[PairRow]) -> str:
    """Return P1."""
    made = [
        (row.data, row.method, row.apgr.text(), f"{row.cpt50:.1%}", f"{row.cpt80:.1%}",
         str(row.trained_on), str(row.tested_on))
        for row in rows
    ]  # fmt: skip
    head = ("data", "score", "APGR [95 %]", "CPT50", "CPT80", "labels", "test prompts")
    return f"## P1 Two models\n\n{_ends(rows)}\n\n{table_of(head, made)}\n"


def _ends(rows: Sequence[PairRow]) -> str:
    """Return what the two models do by themselves: the baselines that no ranking changes."""
    ends = {row.data: (row.weak_success, row.strong_success) for row in rows}
    told = "; ".join(f"{data}: {weak:.3f}, {strong:.3f}" for data, (weak, strong) in ends.items())
    return (
        "Every curve begins at always the weak model (cheapest) and ends at always the strong one"
        " (premium, best single in hindsight, prior-static at every V above its price); the hull of"
        f" the two is the line between them, APGR 0.5. Their success on the test parts: {told}."
    )


def many_section(result: ManyResult) -> str:
    """Return P2 for one data set."""
    head = ("method", "success [95 %]", "cost share [95 %]", "gap to oracle closed", "AIQ [95 %]",
            "at parity (set on dev): cost, gap", "at -1 point (set on dev): cost, gap",
            "read off the test curve: parity, -1 point",
            "success at 10/25/50 % of cost")  # fmt: skip
    text = (
        f"## P2 Many models: {result.data}\n\nBest single model by train and dev: "
        f"{result.best_single} (cost share 1). Types inferred from text are right in"
        f" {result.type_accuracy:.1%}. {result.tested_on} test prompts a seed.\n\n"
    )
    return text + table_of(head, [_many_cells(row) for row in result.rows]) + "\n"


def online_section(result: OnlineResult) -> str:
    """Return P3."""
    head = ("V", "policy", "u at 200", "u at 500", "u at 1,000", "u all", "success", "$ per 1,000",
            "worst u minus prior-static from 500 on (mean of orders, worst order)",
            "ahead of premium after", "policy versions")  # fmt: skip
    text = (
        f"## P3 Online, from nothing ({result.tasks} tasks, {result.orders} orders)\n\n"
        "u = success - cost / V. Public priors only; the caller's task label is given.\n\n"
    )
    baselines = [row for row in result.rows if row.value_usd == DRIFT_VALUE]
    baselines = [row for row in baselines if not row.policy.startswith("**")]
    noise = [
        (row.policy, f"{row.all:.3f} ± {row.half_width:.3f}", f"{row.success:.3f}",
         f"{row.usd_per_1000:.2f}")
        for row in (*baselines, *result.noise)
    ]  # fmt: skip
    drift = [
        (row.what, row.policy, f"{row.before:.3f}", f"{row.after:.3f} ± {row.half_width:.3f}",
         row.asked_first)
        for row in result.drift
    ]  # fmt: skip
    parts = [
        text + table_of(head, [_online_cells(row) for row in result.rows]),
        f"### Checks that err (V = ${DRIFT_VALUE:g}, 10 % of answers audited)\n\n"
        + table_of(("policy", "u all", "success", "$ per 1,000"), noise),
        f"### A model silently halves (V = ${DRIFT_VALUE:g})\n\n"
        + table_of(("what", "policy", "u before", "u after", "asked first at the end"), drift),
    ]
    return "\n\n".join(parts) + "\n"


def time_section(rows: Sequence[TimeRow], network: int) -> str:
    """Return P5."""
    made = [
        (row.step, f"{row.median_ms:.3f}", f"{row.p95_ms:.3f}", f"{row.cpu_median_ms:.3f}",
         f"{row.cpu_p95_ms:.3f}", str(row.decisions))
        for row in rows
    ]  # fmt: skip
    head = ("step", "median ms", "p95 ms", "processor median ms", "processor p95 ms", "prompts")
    said = f"Network calls during all of them: {network}."
    return f"## P5 Time of a decision\n\n{table_of(head, made)}\n\n{said}\n"


def _many_cells(row: ManyRow) -> tuple[str, ...]:
    return (
        row.method,
        row.success.text(),
        row.cost_share.text(2),
        f"{row.gap_closed:.2f}",
        "" if row.aiq is None else row.aiq.text(),
        _threshold(row.parity),
        _threshold(row.loss),
        ", ".join("never" if share is None else f"{share:.2f}" for share in row.read_off)
        if row.aiq is not None
        else "",
        " / ".join(f"{success:.3f}" for success in row.at_shares),
    )


def _threshold(found: Threshold | None) -> str:
    return "" if found is None else f"{found.cost_share.text(2)}, {found.gap.text()}"


def _online_cells(row: OnlineRow) -> tuple[str, ...]:
    worst = "" if row.worst is None else f"{row.worst[0]:+.3f}, {row.worst[1]:+.3f}"
    ahead = "never" if row.ahead_of_premium is None else str(row.ahead_of_premium)
    return (
        f"${row.value_usd:g}",
        row.policy,
        *(f"{utility:.3f}" for utility in row.at),
        f"{row.all:.3f} ± {row.half_width:.3f}",
        f"{row.success:.3f}",
        f"{row.usd_per_1000:.2f}",
        worst,
        ahead,
        f"{row.moves:.0f}",
    )


def plus_minus(row: OnlineRow) -> Measured:
    """Return a row's utility with its interval."""
    return Measured(row.all, row.all - row.half_width, row.all + row.half_width)


def online_rows(result: OnlineResult, policy: str) -> list[OnlineRow]:
    """Return one policy's rows, in the order of the values."""
    found = [row for row in result.rows if row.policy == policy]
    return [row for value in VALUES for row in found if row.value_usd == value]
