"""One answered request: what is said, what it costs, and the line in the charge log."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from deployments.simulator.answer import Answer, answer_to
from deployments.simulator.catalogue import Model
from deployments.simulator.charges import Charge
from deployments.simulator.chat_request import ChatRequest
from deployments.simulator.draws import Draws, draws_for
from deployments.simulator.faults import WAIVED, Fault
from deployments.simulator.routing import Route
from deployments.simulator.simulator import Simulator
from deployments.simulator.usage import Bill, Tokens, bill_for

ALPHANUMERIC = string.ascii_letters + string.digits
CACHE_BLOCK = 128
CACHE_LEAST = 1024
NATIVE_REASONS: Mapping[str, Mapping[str, str]] = {
    "anthropic": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"},
    "google": {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Everything about one answer; times in ms after `latency_scale`."""

    generation_id: str
    created: datetime
    route: Route
    answer: Answer
    bill: Bill
    streamed: bool
    first_token_ms: float
    writing_ms: float
    native_finish_reason: str | None


def complete(simulator: Simulator, request: ChatRequest, route: Route) -> Completion:
    """Answer the request; nothing is charged yet."""
    draws = draws_for(simulator.config.seed, route.model.model_id, request.messages)
    answer = answer_to(
        request,
        route.model,
        draws,
        room=route.room,
        success_probability=simulator.config.success_probability,
    )
    answer = faulted_answer(answer, route)
    now, scale = simulator.config.clock(), simulator.config.latency_scale
    finish, author = answer.finish_reason, route.model.author
    return Completion(
        generation_id=new_generation_id(now),
        created=now,
        route=route,
        answer=answer,
        bill=bill_of(request, route, answer, draws),
        streamed=request.stream,
        first_token_ms=route.model.first_token_ms * (0.7 + 0.6 * draws.unit("first")) * scale,
        writing_ms=answer.completion_tokens * 1000 / route.model.tokens_per_second * scale,
        native_finish_reason=NATIVE_REASONS.get(author, {}).get(finish or "", finish),
    )


def new_generation_id(now: datetime) -> str:
    """Return `gen-`, epoch seconds, and 20 characters that no other process draws."""
    tail = secrets.token_bytes(20)
    return f"gen-{int(now.timestamp())}-{''.join(ALPHANUMERIC[byte % 62] for byte in tail)}"


def faulted_answer(answer: Answer, route: Route) -> Answer:
    """Change what is said, where the fault is in what is said."""
    if route.has_fault(Fault.EMPTY_ANSWER):
        return Answer(content="", finish_reason=None, completion_tokens=0, good=False)
    if route.has_fault(Fault.ERROR_IN_CHOICE, Fault.MID_STREAM_ERROR):
        content = (answer.content or "")[: len(answer.content or "") // 2]
        return replace(answer, content=content, tool_calls=(), finish_reason="error", good=False)
    if route.rule is not None and route.has_fault(Fault.HUGE_BODY):
        return replace(answer, content="x" * route.rule.size)
    return answer


def bill_of(request: ChatRequest, route: Route, answer: Answer, draws: Draws) -> Bill:
    """Return the true bill; see `Fault` for what a fault does to it."""
    cached, written = cache_tokens(request, route.model, route.prompt_tokens, draws)
    tokens = Tokens(
        prompt=route.prompt_tokens,
        completion=answer.completion_tokens,
        cached=cached,
        cache_write=written,
        reasoning=answer.reasoning_tokens,
    )
    bill = bill_for(route.model.price_for(route.prompt_tokens), tokens)
    rule = route.rule
    if rule is None:
        return bill
    if rule.fault is Fault.COST_MULTIPLIED:
        return bill.times(rule.multiplier)
    if rule.fault is Fault.BYOK:
        return bill.with_own_key()
    waived = rule.fault in WAIVED if rule.charged is None else not rule.charged
    return bill.waived() if waived else bill


def cache_tokens(request: ChatRequest, model: Model, tokens: int, draws: Draws) -> tuple[int, int]:
    """Return tokens read from and written to the prompt cache.

    Prompts of 1,024 tokens and more hit the cache one time in four; only requests with
    `cache_control` pay for writing to it.
    """
    if tokens < CACHE_LEAST:
        return 0, 0
    blocks = tokens * 3 // 4 // CACHE_BLOCK * CACHE_BLOCK
    if model.price.cache_read is not None and draws.unit("cache") < 0.25:
        return blocks, 0
    if request.cache_control and model.price.cache_write is not None:
        return 0, blocks
    return 0, 0


def fingerprint(api_key: str) -> str:
    """Return a short name of an API key, which is never written down itself."""
    return hashlib.blake2b(api_key.encode(), digest_size=6).hexdigest()


def charge_for(completion: Completion, request: ChatRequest, api_key: str) -> Charge:
    """Return the line that the charge log gets."""
    route, bill, answer = completion.route, completion.bill, completion.answer
    return Charge(
        generation_id=completion.generation_id,
        time=completion.created,
        key=fingerprint(api_key),
        requested_model=route.requested_model,
        model=route.served_model,
        provider=route.provider.name,
        prompt_tokens=bill.tokens.prompt,
        completion_tokens=bill.tokens.completion,
        cached_tokens=bill.tokens.cached,
        cache_write_tokens=bill.tokens.cache_write,
        reasoning_tokens=bill.tokens.reasoning,
        cost=bill.cost,
        upstream_cost=bill.upstream_cost,
        is_byok=bill.is_byok,
        streamed=completion.streamed,
        finish_reason=answer.finish_reason,
        native_finish_reason=completion.native_finish_reason,
        latency_ms=round(completion.first_token_ms),
        generation_ms=round(completion.writing_ms),
        fault=route.rule.fault if route.rule else None,
        answer="good" if answer.good else "poor",
        user=request.user,
        session_id=request.session_id,
        metadata=request.metadata,
    )


def charge_when_cancelled(charge: Charge, completion: Completion, completion_tokens: int) -> Charge:
    """Return what stays of a charge when the client closed the stream after so many tokens.

    Some providers stop and bill what they produced, the others bill everything
    (openrouter.ai/docs, streaming, 2026-08-22).
    """
    if not completion.route.provider.cancels:
        return replace(charge, cancelled=True)
    price = completion.route.model.price_for(charge.prompt_tokens)
    saved = (charge.completion_tokens - completion_tokens) * price.completion
    factor = Decimal(1) if charge.upstream_cost == 0 else charge.cost / charge.upstream_cost
    return replace(
        charge,
        cancelled=True,
        completion_tokens=completion_tokens,
        reasoning_tokens=min(charge.reasoning_tokens, completion_tokens),
        cost=charge.cost - saved * factor,
        upstream_cost=charge.upstream_cost - saved,
    )
