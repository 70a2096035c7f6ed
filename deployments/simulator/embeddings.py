"""POST /embeddings: unit vectors that depend on the text alone."""

from __future__ import annotations

import base64
import math
import random
import struct
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from deployments.simulator.access import bearer_key
from deployments.simulator.catalogue import MTOK
from deployments.simulator.charges import Charge
from deployments.simulator.chat_request import parse_object
from deployments.simulator.completion import fingerprint, new_generation_id
from deployments.simulator.faults import Fault
from deployments.simulator.refusals import Details, invalid_request, refusal_of
from deployments.simulator.simulator import Simulator
from deployments.simulator.tokens import count_tokens
from deployments.simulator.wire import Json, to_json

# USD per token and dimensions; OpenAI's list prices, unchanged since 2024.
MODELS = {
    "openai/text-embedding-3-small": (Decimal("0.02") / MTOK, 1536),
    "openai/text-embedding-3-large": (Decimal("0.13") / MTOK, 3072),
}


async def embeddings(request: Request) -> Response:
    """Answer with one vector a text, as floats or base64, and charge for the tokens."""
    simulator: Simulator = request.app.state.simulator
    key = bearer_key(request)
    payload = parse_object(await request.body())
    model_id, now = str(payload.get("model")), simulator.config.clock()
    if model_id not in MODELS:
        raise refusal_of(Fault.MODEL_NOT_FOUND, Details(now=now, model=model_id))
    texts = texts_of_input(payload.get("input"))
    price, dimensions = MODELS[model_id]
    tokens = sum(count_tokens(text) for text in texts)
    charge = Charge(
        generation_id=new_generation_id(now),
        time=now,
        key=fingerprint(key),
        requested_model=model_id,
        model=model_id,
        provider="OpenAI",
        prompt_tokens=tokens,
        completion_tokens=0,
        cost=tokens * price,
        upstream_cost=tokens * price,
    )
    simulator.log.append(charge)
    document = embeddings_document(charge, texts, payload, payload.get("dimensions") or dimensions)
    headers = {"X-Generation-Id": charge.generation_id}
    return Response(to_json(document), media_type="application/json", headers=headers)


def texts_of_input(value: object) -> list[str]:
    """Return the texts: one, or a list of them."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return texts
    raise invalid_request("input: Invalid input: expected a string or a list of strings")


def embeddings_document(charge: Charge, texts: list[str], payload: Json, dimensions: int) -> Json:
    """Return the body in OpenAI's shape, with the cost."""
    packed = payload.get("encoding_format") == "base64"
    vectors = [unit_vector(text, dimensions) for text in texts]
    return {
        "id": charge.generation_id,
        "object": "list",
        "model": charge.model,
        "data": [
            {"object": "embedding", "index": i, "embedding": in_base64(v) if packed else v}
            for i, v in enumerate(vectors)
        ],
        "usage": {
            "prompt_tokens": charge.prompt_tokens,
            "total_tokens": charge.prompt_tokens,
            "cost": charge.cost,
        },
    }


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Return a vector of length 1, the same for the same text."""
    numbers = random.Random(text)
    vector = [numbers.gauss(0, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def in_base64(vector: list[float]) -> str:
    """Return little-endian 32-bit floats, as the official OpenAI client asks for."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
