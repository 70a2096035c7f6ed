"""A decision explained as Markdown, for the run's page in Prefect.

Model output, prompts and error texts come from outside: in Markdown they are escaped, so that
they cannot add links, images, HTML or table cells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from models.chain_words import chain_lines
from models.money import plain
from models.plan import Plan
from models.result import RoutingResult

MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+.!|~:/&$@-])")
CONTENT_CHARS_MAX = 2000


def escaped(text: object) -> str:
    """Return text that Markdown shows as it is, on one line; control characters become spaces."""
    clean = "".join(char if char.isprintable() else " " for char in str(text))
    return MARKDOWN.sub(r"\\\1", clean)


def usd(amount: Decimal | None) -> str:
    """Return an amount for people; an unknown one says so."""
    return "unknown" if amount is None else f"${plain(amount)}"


def decision_markdown(result: RoutingResult, plan: Plan | None) -> str:
    """Return the artifact of a decision: summary, reasons, candidates, attempts."""
    considered = {f"{one.model_id}: {one.reason}" for one in plan.considered} if plan else set()
    why = [reason for reason in result.reasons if reason not in considered]  # the table has those
    parts = [_summary(result), _bullets("Why", why)]
    if plan is not None:
        parts.append(_candidates(plan))
    if plan is not None and plan.chain is not None:
        made = [(one.model, one.outcome.value) for one in result.attempts]
        parts.append(_bullets("Chain", chain_lines(plan.chain, made)))
    if result.attempts:
        parts.append(_attempts(result))
    return "\n\n".join(parts)


def _summary(result: RoutingResult) -> str:
    label = " (simulated, no money moved)" if result.simulated else ""
    rows = [
        ("Status", f"{result.status.value}{label}"),
        ("Task", f"{result.task_type}, {result.complexity}"),
        ("Policy", f"{result.policy} version {result.policy_version}"),
        ("Model", result.model or "none"),
        ("Worker", result.worker_id or "none"),
        ("Cost", f"{usd(result.cost_usd)} of {usd(result.estimated_cost_usd)} held"),
        ("Tokens", f"{result.prompt_tokens} prompt, {result.completion_tokens} completion"),
        ("Time", f"{result.latency_ms} ms"),
    ]
    return table(("Decision", str(result.decision_id)), rows)


def _bullets(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {escaped(line)}" for line in lines)


def _candidates(plan: Plan) -> str:
    rows = [
        (
            one.model_id,
            one.attempt or "-",
            one.reason.removeprefix(f"attempt {one.attempt}: "),
        )
        for one in plan.considered
    ]
    return "## Models considered\n\n" + table(("Model", "Attempt", "Reason"), rows)


def _attempts(result: RoutingResult) -> str:
    numbered = list(enumerate(result.attempts, start=1))
    rows = [
        (
            number,
            attempt.model,
            attempt.outcome.value,
            usd(attempt.cost_usd),
            usd(attempt.estimated_cost_usd),
            "-" if attempt.latency_ms is None else f"{attempt.latency_ms} ms",
        )
        for number, attempt in numbered
    ]
    made = "## Attempts\n\n" + table(("#", "Model", "Outcome", "Cost", "Held", "Time"), rows)
    # Below the table, where a long error is not cut off, unless the reasons have it already.
    errors = [
        f"{number}: {attempt.error}"
        for number, attempt in numbered
        if attempt.error and f"{attempt.model}: {attempt.error}" not in result.reasons
    ]
    return "\n\n".join([made, *(f"- attempt {escaped(error)}" for error in errors)])


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; every cell shows as it is."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
