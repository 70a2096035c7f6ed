"""GET /models, /model/{author}/{slug} and /models/{author}/{slug}/endpoints.

The Model object holds every field that OpenRouter's OpenAPI file of 2026-08-22 and the official
SDK 1.3.84 require; prices are decimal strings in USD per token.
"""

from __future__ import annotations

from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from deployments.simulator.catalogue import Model, Price, Provider, catalogue, find_model
from deployments.simulator.faults import Fault
from deployments.simulator.refusals import Details, refusal_of
from deployments.simulator.simulator import Simulator
from deployments.simulator.wire import Json, plain_text, to_json

CREATED = 1_767_225_600  # 2026-01-01, of every model: release dates are not simulated
SAMPLING = ["temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed"]
TOKENIZERS = {
    "openai": "GPT",
    "anthropic": "Claude",
    "google": "Gemini",
    "deepseek": "DeepSeek",
    "qwen": "Qwen",
    "meta-llama": "Llama3",
    "mistralai": "Mistral",
}


def answer(document: Json) -> Response:
    """Return a JSON response with exact numbers."""
    return Response(to_json(document), media_type="application/json")


def pricing_of(model: Model) -> Json:
    """Return the price object, tiers in `overrides`."""
    pricing: Json = prices(model.price) | {"request": "0", "image": "0"}
    if model.tier_above is not None:
        tier = {"min_prompt_tokens": model.tier_above, **prices(model.tier_price)}
        pricing["overrides"] = [tier]
    return pricing


def prices(price: Price) -> Json:
    """Return the keys of one price; cache prices only where caching is sold."""
    named = {
        "prompt": price.prompt,
        "completion": price.completion,
        "input_cache_read": price.cache_read,
        "input_cache_write": price.cache_write,
    }
    return {name: plain_text(amount) for name, amount in named.items() if amount is not None}


def parameters_of(model: Model) -> list[str]:
    """Return the request parameters that the model supports."""
    parameters = list(SAMPLING)
    if model.has("t"):
        parameters += ["tools", "tool_choice"]
    if model.has("s"):
        parameters += ["response_format", "structured_outputs"]
    if model.has("r") or model.has("o"):
        parameters += ["reasoning", "include_reasoning"]
    return parameters


def architecture_of(model: Model) -> Json:
    """Return what goes in and out."""
    inputs = ["text", "image"] if model.has("i") else ["text"]
    return {
        "modality": f"{'+'.join(inputs)}->text",
        "input_modalities": inputs,
        "output_modalities": ["text"],
        "tokenizer": TOKENIZERS[model.author],
        "instruct_type": None,
    }


def name_of(model: Model) -> str:
    """Return a display name, "Openai: Gpt 4o Mini"."""
    author, slug = model.model_id.split("/", 1)
    return f"{author.title()}: {slug.replace('-', ' ').replace(':', ' ').title()}"


def model_document(model: Model) -> Json:
    """Return the Model object."""
    document: Json = {
        "id": model.model_id,
        "canonical_slug": f"{model.model_id.partition(':')[0]}-2026-08-06",
        "hugging_face_id": None,
        "name": name_of(model),
        "created": CREATED,
        "description": f"Simulated {name_of(model)}.",
        "context_length": model.context_tokens,
        "architecture": architecture_of(model),
        "pricing": pricing_of(model),
        "top_provider": {
            "context_length": model.context_tokens,
            "max_completion_tokens": model.max_output_tokens,
            "is_moderated": model.author == "openai",
        },
        "per_request_limits": None,
        "supported_parameters": parameters_of(model),
        "default_parameters": None,
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{model.model_id}/endpoints"},
    }
    if model.has("r") or model.has("o"):
        document["reasoning"] = {"mandatory": False, "default_enabled": model.has("r")}
    return document


def endpoint_document(model: Model, provider: Provider) -> Json:
    """Return one provider's endpoint, with the statistics of a good day."""
    latency = {f"p{p}": model.first_token_ms * p / 50 for p in (50, 75, 90, 99)}
    throughput = {f"p{p}": model.tokens_per_second * 50 / p for p in (50, 75, 90, 99)}
    tools = model.has("t")
    return {
        "name": f"{provider.name} | {model.model_id}",
        "tag": provider.slug,
        "provider_name": provider.name,
        "model_id": model.model_id,
        "model_name": name_of(model),
        "context_length": model.context_tokens,
        "max_completion_tokens": model.max_output_tokens,
        "max_prompt_tokens": None,
        "quantization": None,
        "pricing": pricing_of(model),
        "status": 0,
        "uptime_last_5m": 100.0,
        "uptime_last_30m": 99.9,
        "uptime_last_1d": 99.8,
        "latency_last_30m": latency,
        "throughput_last_30m": throughput,
        "supports_implicit_caching": model.price.cache_read is not None,
        "supported_parameters": parameters_of(model),
        "native_tools": {},
        "service_tier": None,
        "supports_diarization": False,
        "supports_tool_choice": {
            "auto": tools,
            "function": tools,
            "none": tools,
            "required": tools,
        },
    }


@cache
def models_body() -> bytes:
    """Return the body of /models; free variants are listings of their own."""
    free = [model.free() for model in catalogue().values() if model.has("f")]
    data = [model_document(model) for model in [*catalogue().values(), *free]]
    return to_json({"data": data, "total_count": len(data), "links": {"next": None}})


async def list_models(request: Request) -> Response:
    """Answer GET /models; needs no key."""
    return Response(models_body(), media_type="application/json")


def model_in_path(request: Request) -> Model:
    """Return the model that the path names, or raise the 404."""
    model_id = f"{request.path_params['author']}/{request.path_params['slug']}"
    model = find_model(model_id)
    if model is None:
        simulator: Simulator = request.app.state.simulator
        raise refusal_of(Fault.NO_ENDPOINTS, Details(now=simulator.config.clock(), model=model_id))
    return model


async def show_model(request: Request) -> Response:
    """Answer GET /model/{author}/{slug}."""
    return answer({"data": model_document(model_in_path(request))})


async def list_endpoints(request: Request) -> Response:
    """Answer GET /models/{author}/{slug}/endpoints."""
    model = model_in_path(request)
    endpoints = [endpoint_document(model, provider) for provider in model.providers]
    names = ("id", "name", "created", "description", "architecture")
    listed = {name: model_document(model)[name] for name in names}
    return answer({"data": {**listed, "endpoints": endpoints}})
