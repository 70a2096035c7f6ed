"""`switchyard explain`, `switchyard replay` and `switchyard feedback`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from deployments.cli.output import json_option, print_json, say
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from models.replay import ReplayReport
    from tasks.adapters.runtime import Runtime


@click.command()
@click.argument("decision_id", type=click.UUID)
@json_option
def explain(decision_id: UUID, as_json: bool) -> None:
    """Tell why this model was chosen, what else was considered, and what it cost."""

    async def read(opened: Runtime) -> dict[str, Any]:
        from tasks.adapters.explained import explained_decision

        return await explained_decision(opened, decision_id)

    document = in_runtime(read)
    if as_json:
        print_json(document)
        return
    from models.explained import explanation_text

    click.echo(explanation_text(document))


@click.command()
@click.argument("decision_id", type=click.UUID, required=False)
@click.option("--all", "every", is_flag=True, help="Replay every stored decision.")
@json_option
def replay(decision_id: UUID | None, every: bool, as_json: bool) -> int:
    """Recompute a stored decision from its snapshot; exit 1 when the answer differs."""
    if (decision_id is None) != every:
        raise click.UsageError("give one DECISION_ID, or --all")

    async def check(opened: Runtime) -> ReplayReport:
        from tasks.adapters.replays import replay_decisions

        return await replay_decisions(opened, decision_id)

    report = in_runtime(check)
    if as_json:
        print_json(report.as_dict())
    for difference in () if as_json else report.differences:
        say(f"{difference.decision_id}: {difference.text}")
    say(f"{report.identical} of {report.replayed} decisions are identical")
    return 0 if report.identical == report.replayed else 1


@click.command()
@click.argument("decision_id", type=click.UUID)
@click.option("--score", required=True, help="What the answer was worth: 0 useless, 1 right.")
@click.option("--attempt", type=click.IntRange(1, 1000), help="About this attempt only.")
@json_option
def feedback(decision_id: UUID, score: str, attempt: int | None, as_json: bool) -> None:
    """Say what an answer was worth; the last word counts, and learning and reports hear it."""
    given = _score(score)

    async def save(opened: Runtime) -> None:
        from tasks.adapters.store.feedback import save_feedback

        await save_feedback(
            opened.database, decision_id, attempt_no=attempt, score=given, given_by="command line"
        )

    in_runtime(save)
    if as_json:
        print_json({"decision_id": decision_id, "attempt": attempt, "score": float(given)})
    else:
        what = "" if attempt is None else f" attempt {attempt} of"
        say(f"{given:f} is now the score of{what} decision {decision_id}")


def _score(text: str) -> Decimal:
    from models.errors import InvalidRequest

    try:
        score = Decimal(text)
    except InvalidOperation:
        raise InvalidRequest(f"--score: {text!r} is not a number between 0 and 1") from None
    if not score.is_finite() or not 0 <= score <= 1:
        raise InvalidRequest(f"--score: {text} is not between 0 and 1")
    return round(score, 4)
