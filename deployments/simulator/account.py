"""GET /key, /credits and /generation: what the account spent, read from the charge log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from deployments.simulator.access import bearer_key
from deployments.simulator.charges import Charge
from deployments.simulator.completion import fingerprint
from deployments.simulator.listing import answer
from deployments.simulator.refusals import Refusal, error_body
from deployments.simulator.simulator import Simulator
from deployments.simulator.wire import Json, to_json

FREE_REQUESTS_A_DAY = 1000
CREDITS_WITHOUT_LIMIT = Decimal(100)
NOT_SIMULATED = (
    "app_id",
    "cache_discount",
    "http_referer",
    "moderation_latency",
    "native_tokens_completion_images",
    "num_fetches",
    "num_input_audio_prompt",
    "num_media_completion",
    "num_media_prompt",
    "num_search_results",
    "preset_id",
    "response_cache_source_id",
    "router",
    "service_tier",
    "upstream_id",
    "user_agent",
    "web_search_engine",
    "workspace_id",
)


def period_starts(now: datetime) -> dict[str, datetime]:
    """Return the starts of the current UTC day, week (from Monday) and month."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "daily": day,
        "weekly": day - timedelta(days=day.weekday()),
        "monthly": day.replace(day=1),
    }


def spent(charges: Iterable[Charge], prefix: str, starts: dict[str, datetime]) -> Json:
    """Return `usage`, `usage_daily` and so on; with the prefix `byok_`, the providers' bills."""
    byok = prefix == "byok_"
    amounts = [
        (c.time, c.upstream_cost if byok else c.cost) for c in charges if c.is_byok or not byok
    ]
    periods = {f"{prefix}usage": sum((amount for _, amount in amounts), Decimal(0))}
    for name, start in starts.items():
        within = (amount for time, amount in amounts if time >= start)
        periods[f"{prefix}usage_{name}"] = sum(within, Decimal(0))
    return dict(periods)


async def show_key(request: Request) -> Response:
    """Answer GET /key (and /auth/key, its old name) for the key that asks."""
    simulator: Simulator = request.app.state.simulator
    key = fingerprint(bearer_key(request))
    charges = [charge for charge in simulator.log.charges() if charge.key == key]
    starts = period_starts(simulator.config.clock())
    today = [c for c in charges if c.model.endswith(":free") and c.time >= starts["daily"]]
    limit = simulator.config.credit_limit_usd
    left = simulator.credits_left_usd()
    data: Json = {
        "label": f"simulated-{key}",
        "limit": limit,
        "limit_remaining": left,
        "limit_reset": None,
        **spent(charges, "", starts),
        **spent(charges, "byok_", starts),
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": "user_simulated",
        "expires_at": None,
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated, ignore it"},
        "free_model_daily_requests": {
            "used": len(today),
            "limit": FREE_REQUESTS_A_DAY,
            "remaining": max(0, FREE_REQUESTS_A_DAY - len(today)),
        },
        "budgets": [],
        "effective_budget": None,
        "allowed_data_regions": ["global"],
        "organization_id": None,
        "workspace_id": None,
    }
    return answer({"data": data})


async def show_credits(request: Request) -> Response:
    """Answer GET /credits; the balance is the difference."""
    simulator: Simulator = request.app.state.simulator
    bearer_key(request)
    total = simulator.log.total_usd()
    limit = simulator.config.credit_limit_usd
    bought = CREDITS_WITHOUT_LIMIT + total if limit is None else limit
    return answer({"data": {"total_credits": bought, "total_usage": total}})


async def show_generation(request: Request) -> Response:
    """Answer GET /generation?id=; the first polls of each id may be told 404."""
    simulator: Simulator = request.app.state.simulator
    bearer_key(request)
    generation_id = request.query_params.get("id", "")
    charge = simulator.log.find(generation_id)
    simulator.generation_polls[generation_id] += 1
    early = simulator.generation_polls[generation_id] <= simulator.config.generation_lag_polls
    if charge is None or early:
        message = f"Generation {generation_id} not found"
        body = error_body(404, message, {"error_type": "not_found"})
        raise Refusal(404, to_json(body), {"content-type": "application/json"})
    return answer({"data": generation_document(charge)})


def generation_document(charge: Charge) -> Json:
    """Return every field that the official SDK requires; token counts are the native ones."""
    return {
        **dict.fromkeys(NOT_SIMULATED),
        "id": charge.generation_id,
        "api_type": "completions",
        "cancelled": charge.cancelled,
        "created_at": charge.time.isoformat(),
        "data_region": "global",
        "external_user": charge.user,
        "finish_reason": charge.finish_reason,
        "native_finish_reason": charge.native_finish_reason,
        "generation_time": charge.generation_ms,
        "latency": charge.latency_ms,
        "is_byok": charge.is_byok,
        "model": charge.model,
        "origin": "simulator",
        "provider_name": charge.provider,
        "provider_responses": [provider_response(charge)],
        "request_id": charge.generation_id.replace("gen-", "req-"),
        "session_id": charge.session_id,
        "streamed": charge.streamed,
        "tokens_prompt": charge.prompt_tokens,
        "tokens_completion": charge.completion_tokens,
        "native_tokens_prompt": charge.prompt_tokens,
        "native_tokens_completion": charge.completion_tokens,
        "native_tokens_cached": charge.cached_tokens,
        "native_tokens_reasoning": charge.reasoning_tokens,
        "total_cost": charge.cost,
        "usage": charge.cost,
        "upstream_inference_cost": charge.upstream_cost if charge.is_byok else None,
    }


def provider_response(charge: Charge) -> Json:
    """Return the one provider that was asked."""
    return {
        "provider_name": charge.provider,
        "status": 200,
        "latency": charge.latency_ms,
        "is_byok": charge.is_byok,
        "endpoint_id": f"{charge.provider}|{charge.model}",
    }
