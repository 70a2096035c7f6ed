"""Which model and provider serve a request, or why none does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from deployments.simulator.catalogue import MTOK, Model, Provider, find_model
from deployments.simulator.chat_request import ChatRequest
from deployments.simulator.faults import REFUSALS, Fault, FaultRule, Subject
from deployments.simulator.refusals import (
    Details,
    Refusal,
    filtered_out,
    invalid_request,
    own_rate_refusal,
    refusal_of,
)
from deployments.simulator.simulator import Simulator
from deployments.simulator.tokens import prompt_tokens
from deployments.simulator.wire import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A request that will be answered (or refused at a price, see `FaultRule.charged`)."""

    requested_model: str
    served_model: str
    model: Model
    provider: Provider
    prompt_tokens: int
    room: int  # tokens the answer may have
    rule: FaultRule | None

    def has_fault(self, *faults: Fault) -> bool:
        """Whether one of these faults was injected."""
        return self.rule is not None and self.rule.fault in faults

    def refusal(self, simulator: Simulator) -> Refusal | None:
        """Return the injected refusal, if that is what the request met."""
        if self.rule is None or self.rule.fault not in REFUSALS:
            return None
        return injected_refusal(self.rule, self.model, self.room, simulator)


def find_route(simulator: Simulator, request: ChatRequest, headers: Mapping[str, str]) -> Route:
    """Return the first of the request's models that serves it, else raise the first's refusal.

    `models` are tried in order on any error (openrouter.ai/docs, model routing, 2026-08-22).
    """
    refusals: list[Refusal] = []
    for model_id in request.model_ids:
        try:
            return route_to(simulator, request, model_id, headers)
        except Refusal as refusal:
            refusals.append(refusal)
    raise refusals[0]


def route_to(
    simulator: Simulator, request: ChatRequest, model_id: str, headers: Mapping[str, str]
) -> Route:
    """Check one model, in the order in which upstream would notice."""
    model = listed_model(simulator, model_id)
    rule = met_fault(simulator, request, model_id, headers)
    extras = (request.tools, request.response_format.get("json_schema"))
    tokens = prompt_tokens(request.messages, extras, model.author)
    room = room_for(simulator, request, model, tokens)
    if rule is not None and rule.fault in REFUSALS and not rule.charged:
        raise injected_refusal(rule, model, room, simulator)
    check_abilities(request, model)
    check_max_price(request, model, tokens)
    provider = chosen_provider(request, model)
    check_rate(simulator, model, provider)
    check_credits(simulator, model, tokens, room)
    model, served = served_model(model, rule)
    return Route(
        requested_model=model_id,
        served_model=served,
        model=model,
        provider=provider,
        prompt_tokens=tokens,
        room=room,
        rule=rule,
    )


def listed_model(simulator: Simulator, model_id: str) -> Model:
    """Return the model; a wrong variant has no endpoints, a wrong id is not valid."""
    model = find_model(model_id)
    if model is None:
        known = find_model(model_id.partition(":")[0])
        fault = Fault.NO_ENDPOINTS if known else Fault.MODEL_NOT_FOUND
        raise refusal_of(fault, Details(now=simulator.config.clock(), model=model_id))
    return model


def met_fault(
    simulator: Simulator, request: ChatRequest, model_id: str, headers: Mapping[str, str]
) -> FaultRule | None:
    """Return the fault that this request meets with this model."""
    if not simulator.faults.standings:
        return None
    text, path = request.text, "/chat/completions"
    return simulator.faults.fire(Subject(path, headers, model_id, text, request.stream))


def injected_refusal(rule: FaultRule, model: Model, room: int, simulator: Simulator) -> Refusal:
    """Return the refusal of a rule, filled in for the model."""
    details = Details(
        now=simulator.config.clock(),
        model=model.model_id,
        provider=model.providers[0].name,
        asked=room,
        afford=rule.afford,
    )
    return refusal_of(rule.fault, details, rule)


def room_for(simulator: Simulator, request: ChatRequest, model: Model, tokens: int) -> int:
    """Return how long the answer may be; prompt and asked answer must fit into the context."""
    asked = request.max_tokens or 0
    if tokens + asked > model.context_tokens:
        raise refusal_of(
            Fault.CONTEXT_LENGTH,
            Details(
                now=simulator.config.clock(),
                model=model.model_id,
                asked=tokens + asked,
                afford=model.context_tokens,
            ),
        )
    limit = min(model.max_output_tokens, model.context_tokens - tokens)
    return max(1, min(asked, limit) if asked else limit)


def check_abilities(request: ChatRequest, model: Model) -> None:
    """Refuse images that no endpoint sees, and parameters that were required but do not exist."""
    if request.has_images and not model.has("i"):
        raise filtered_out(
            model.model_id,
            excluded_by="require_parameters",
            field_name="messages",
            detail="no endpoint supports image input",
        )
    if request.provider.get("require_parameters") is not True:
        return
    schema_wanted = request.response_format.get("type") == "json_schema"
    if (request.tools and not model.has("t")) or (schema_wanted and not model.has("s")):
        raise filtered_out(
            model.model_id,
            excluded_by="require_parameters",
            field_name="provider.require_parameters",
            detail="no endpoint supports every parameter",
        )


def check_max_price(request: ChatRequest, model: Model, tokens: int) -> None:
    """Refuse a price above `provider.max_price` (USD per million tokens; text or number)."""
    limits: Json = request.provider.get("max_price") or {}
    price = model.price_for(tokens)
    for name, list_price in (("prompt", price.prompt), ("completion", price.completion)):
        limit = decimal_of(limits.get(name), f"provider.max_price.{name}")
        if limit is not None and list_price * MTOK > limit:
            raise filtered_out(
                model.model_id,
                excluded_by="max_price",
                field_name=f"provider.max_price.{name}",
                detail=f"{limit} is below the cheapest endpoint",
            )


def decimal_of(value: object, name: str) -> Decimal | None:
    """Read a price limit; None when there is none."""
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise invalid_request(f"{name}: Invalid input: expected a price") from error


def chosen_provider(request: ChatRequest, model: Model) -> Provider:
    """Return the first provider that `only`, `ignore` and `order` leave; base slugs match."""
    wanted = {str(slug).partition("/")[0] for slug in request.provider.get("only") or ()}
    ignored = {str(slug).partition("/")[0] for slug in request.provider.get("ignore") or ()}
    order = [str(slug).partition("/")[0] for slug in request.provider.get("order") or ()]
    left = [p for p in model.providers if p.slug not in ignored and p.slug in (wanted or {p.slug})]
    if request.provider.get("allow_fallbacks") is False and order:
        left = [provider for provider in left if provider.slug in order]
    if not left:
        raise filtered_out(
            model.model_id,
            excluded_by="allowed_providers",
            field_name="provider",
            detail="no allowed provider serves the model",
        )
    ranks = {slug: rank for rank, slug in enumerate(order)}
    return min(left, key=lambda provider: ranks.get(provider.slug, len(ranks)))


def check_rate(simulator: Simulator, model: Model, provider: Provider) -> None:
    """Answer 429 when the account's own limit or the model's rate is used up.

    The account's is OpenRouter's own and states limit and reset, the model's is its pool's and
    states Retry-After.
    """
    now = simulator.config.clock()
    if (free_at := simulator.free_at_for_account()) is not None:
        raise own_rate_refusal(simulator.config.account_requests or 0, free_at)
    if (free_at := simulator.free_at_for_model(model.model_id.partition(":")[0])) is not None:
        details = Details(now=now, model=model.model_id, provider=provider.name)
        wait_s = max(1, math.ceil((free_at - now).total_seconds()))
        rule = FaultRule(fault=Fault.RATE_LIMITED, retry_after=wait_s)
        raise refusal_of(Fault.RATE_LIMITED, details, rule)


def check_credits(simulator: Simulator, model: Model, tokens: int, room: int) -> None:
    """Pre-authorise the dearest possible answer, as upstream does by max_tokens."""
    left = simulator.credits_left_usd()
    if left is None:
        return
    price = model.price_for(tokens)
    left_for_answer = left - tokens * price.prompt
    now = simulator.config.clock()
    if left <= 0 or left_for_answer <= 0:
        raise refusal_of(Fault.OUT_OF_CREDITS, Details(now=now, model=model.model_id))
    if room * price.completion > left_for_answer:
        afford = int(left_for_answer / price.completion)
        raise refusal_of(
            Fault.CAN_ONLY_AFFORD,
            Details(now=now, model=model.model_id, asked=room, afford=afford),
        )


def served_model(model: Model, rule: FaultRule | None) -> tuple[Model, str]:
    """Return who really serves, and under which id; the fault `other_model` changes both."""
    if rule is None or rule.fault is not Fault.OTHER_MODEL:
        return model, model.model_id
    if rule.served_model is None:
        return model, f"{model.model_id}-2026-08-06"
    other = find_model(rule.served_model)
    return (other or replace(model, model_id=rule.served_model)), rule.served_model
