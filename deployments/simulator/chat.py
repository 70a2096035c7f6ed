"""POST /chat/completions."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from deployments.simulator.access import bearer_key
from deployments.simulator.charges import Charge
from deployments.simulator.chat_request import ChatRequest, parse_chat_request
from deployments.simulator.completion import (
    Completion,
    charge_for,
    charge_when_cancelled,
    complete,
)
from deployments.simulator.delivery import Delivery, with_fault
from deployments.simulator.documents import answer_body
from deployments.simulator.faults import Fault
from deployments.simulator.routing import find_route
from deployments.simulator.simulator import Simulator
from deployments.simulator.streaming import Step, stream_steps

GENERATION_HEADER = "X-Generation-Id"
IN_THE_SENDING = frozenset({Fault.HANG, Fault.HANG_MID_BODY, Fault.CUT, Fault.SLOW_DRIP})


async def chat_completions(request: Request) -> ASGIApp:
    """Answer, charge first, then send; raise a Refusal when the request gets none."""
    simulator: Simulator = request.app.state.simulator
    api_key = bearer_key(request)
    asked = parse_chat_request(await request.body())
    route = find_route(simulator, asked, request.headers)
    completion = complete(simulator, asked, route)
    charge = charge_for(completion, asked, api_key)
    simulator.log.append(charge)
    refusal = route.refusal(simulator)
    if refusal is not None:
        refusal.headers[GENERATION_HEADER] = completion.generation_id
        raise refusal
    return answering(simulator, asked, completion, charge, request)


def answering(
    simulator: Simulator,
    asked: ChatRequest,
    completion: Completion,
    charge: Charge,
    request: Request,
) -> ASGIApp:
    """Return the response that sends the answer in the way that was asked for."""
    rule = completion.route.rule
    streamed = asked.stream and not completion.route.has_fault(Fault.ERROR_IN_200)
    if streamed:
        steps = stream_steps(completion, simulator.config.usage_chunk, request.headers)
        headers = stream_headers(completion)
        cancelled = partial(record_cancel, simulator, completion, charge)
        return with_fault(Delivery(headers, steps, cancelled=cancelled), rule)
    body = answer_body(completion, request.headers)
    wait_s = (completion.first_token_ms + completion.writing_ms) / 1000
    if wait_s == 0 and (rule is None or rule.fault not in IN_THE_SENDING):
        headers_of_plain = {GENERATION_HEADER: completion.generation_id}
        return Response(body, media_type="application/json", headers=headers_of_plain)
    whole = Delivery(plain_headers(completion, body), [Step(0, body)], before_headers_s=wait_s)
    return with_fault(whole, rule)


def stream_headers(completion: Completion) -> list[tuple[bytes, bytes]]:
    """Return the headers of a stream; a successful answer carries no X-RateLimit-*."""
    return [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-cache"),
        (GENERATION_HEADER.lower().encode(), completion.generation_id.encode()),
    ]


def plain_headers(completion: Completion, body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a whole answer."""
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (GENERATION_HEADER.lower().encode(), completion.generation_id.encode()),
    ]


def record_cancel(
    simulator: Simulator, completion: Completion, charge: Charge, share: float
) -> None:
    """Write what stays of the charge after the client closed the stream."""
    produced = round(charge.completion_tokens * share)
    simulator.log.append(charge_when_cancelled(charge, completion, produced))
