"""The simulator's own doors: faults on demand, charges and state, under /simulator."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from deployments.simulator.charges import Charge
from deployments.simulator.chat_request import parse_object
from deployments.simulator.faults import FaultRule, Standing
from deployments.simulator.listing import answer
from deployments.simulator.refusals import invalid_request
from deployments.simulator.simulator import Simulator
from deployments.simulator.wire import Json, plain_text


async def add_faults(request: Request) -> Response:
    """POST /simulator/faults: one rule, or `{"rules": [...]}`; answers their numbers."""
    simulator: Simulator = request.app.state.simulator
    payload = parse_object(await request.body())
    try:
        rules = [FaultRule.model_validate(rule) for rule in payload.get("rules", [payload])]
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise invalid_request(f"fault refused: {problems}") from error
    return answer({"numbers": [simulator.faults.add(rule) for rule in rules]})


async def clear_faults(request: Request) -> Response:
    """DELETE /simulator/faults[?number=N]: removes one rule or all."""
    simulator: Simulator = request.app.state.simulator
    text = request.query_params.get("number")
    if text is not None and not text.isdecimal():
        raise invalid_request(f"number: {text!r} is none")
    return answer({"removed": simulator.faults.clear(None if text is None else int(text))})


async def list_faults(request: Request) -> Response:
    """GET /simulator/faults: the rules in force."""
    simulator: Simulator = request.app.state.simulator
    return answer({"rules": [standing_document(s) for s in simulator.faults.standings]})


async def list_charges(request: Request) -> Response:
    """GET /simulator/charges[?generation_id=][&since=ISO time]: the ground truth."""
    simulator: Simulator = request.app.state.simulator
    wanted, since = request.query_params.get("generation_id"), since_of(request)
    charges = [
        charge
        for charge in simulator.log.charges()
        if wanted in (None, charge.generation_id) and (since is None or charge.time >= since)
    ]
    total = sum((charge.true_cost for charge in charges), Decimal(0))
    data = [charge_document(charge) for charge in charges]
    return answer({"data": data, "count": len(data), "true_cost": plain_text(total)})


def since_of(request: Request) -> datetime | None:
    """Read `since`; a time without a zone is UTC."""
    text = request.query_params.get("since")
    if not text:
        return None
    try:
        since = datetime.fromisoformat(text.replace(" ", "+"))  # "+" arrives as a blank
    except ValueError as error:
        raise invalid_request(f"since: {text!r} is not an ISO 8601 time") from error
    return since if since.tzinfo else since.replace(tzinfo=UTC)


async def show_state(request: Request) -> Response:
    """GET /simulator/state: what was asked of it so far."""
    simulator: Simulator = request.app.state.simulator
    return answer(
        {
            "simulated": True,
            "seed": simulator.config.seed,
            "started_at": simulator.started_at,
            "answers": dict(simulator.answers),
            "charges": len(simulator.log.charges()),
            "total_cost": plain_text(simulator.log.total_usd()),
            "faults": [standing_document(s) for s in simulator.faults.standings],
        }
    )


def charge_document(charge: Charge) -> Json:
    """Return a charge with money as decimal strings, as in the log."""
    document = {name: getattr(charge, name) for name in Charge.__slots__}
    money = {name: plain_text(document[name]) for name in ("cost", "upstream_cost")}
    return document | money | {"true_cost": plain_text(charge.true_cost)}


def standing_document(standing: Standing) -> Json:
    """Return a rule and how often it matched and fired."""
    return {
        "number": standing.number,
        "matched": standing.matched,
        "fired": standing.fired,
        "rule": standing.rule.model_dump(mode="json", exclude_defaults=True),
    }
