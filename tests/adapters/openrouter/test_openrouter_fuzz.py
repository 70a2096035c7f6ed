"""Whatever an upstream sends, the client answers with a Completion or a typed leaf, never a crash.

And never with a wrong bill: a cost that comes out is the one that was stated.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
from decimal import Decimal
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.completion import Completion, StreamDelta
from models.errors import UpstreamFailed
from tasks.adapters.openrouter import ChatCall, OpenRouterClient

QUIET = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")),
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
CALL = ChatCall(model_id="a/b", messages=[{"role": "user", "content": "hello"}], max_tokens=5)
NUMBERS = (
    st.integers(-(10**20), 10**20)
    | st.floats()  # NaN and Infinity too: json.dumps writes them as such
    | st.sampled_from([0, -0.0, 1e-300, 1e300])
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
JUNK = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
COSTS = (
    st.decimals(0, 20_000, places=10).map(str) | st.sampled_from(["0", "-1", "1e400", "0.1"]) | JUNK
)


TAMPERED = COSTS | JUNK | st.sampled_from(["stop", "error", "length", "text", {}, [], [{}]])

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 4,
    "cost": "0.0000054",
    "is_byok": False,
    "cost_details": {"upstream_inference_cost": "0.25"},
    "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
TOOL_CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
MESSAGE = {
    "role": "assistant",
    "content": "Profits rose.",
    "reasoning": "Hm.",
    "reasoning_details": [{"text": "Hm."}],
    "refusal": None,
    "tool_calls": [TOOL_CALL],
    "audio": {"id": "a", "data": "QUJD"},
}
HEAD = {"id": "gen-1", "provider": "OpenAI", "model": "a/b", "created": 1, "error": None}
CHOICE = {"index": 0, "finish_reason": "stop", "native_finish_reason": "stop", "logprobs": None}
ANSWER = {**HEAD, "choices": [{**CHOICE, "message": MESSAGE}], "usage": USAGE}
REFUSED = {
    "error": {
        "code": 402,
        "message": "no",
        "metadata": {
            "limit_source": "openrouter_credits",
            "error_type": "payment_required",
            "headers": {"X-RateLimit-Reset": "1791331200000"},
            "raw": "words",
            "retry_after": 3,
        },
        "availability": {"code": "no_endpoints", "retry_after": 5},
    }
}
PIECE = {**HEAD, "choices": [{**CHOICE, "finish_reason": None, "delta": MESSAGE}]}
LAST = {**HEAD, "choices": [{**CHOICE, "delta": {}}], "usage": USAGE}


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document that can be tampered with."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for name, item in items:
        found.append((*before, name))
        if isinstance(item, dict | list):
            found += paths(item, (*before, name))
    return found


@st.composite
def tampered(draw: st.DrawFn, document: dict[str, Any]) -> Any:
    """A document of the right shape in which up to three places hold something else, or nothing."""
    result = copy.deepcopy(document)
    for path in draw(st.lists(st.sampled_from(paths(document)), max_size=3)):
        holder: Any = result
        for name in path[:-1]:
            holder = holder[name] if _holds(holder, name) else {}
        if _holds(holder, path[-1]):
            if isinstance(holder, dict) and draw(st.booleans()):
                del holder[path[-1]]
            else:
                holder[path[-1]] = draw(TAMPERED)
    return result


def _holds(holder: Any, name: Any) -> bool:
    if isinstance(holder, dict):
        return name in holder
    return isinstance(holder, list) and isinstance(name, int) and name < len(holder)


DOCUMENTS = st.one_of(tampered(ANSWER), tampered(ANSWER), tampered(ANSWER), tampered(REFUSED), JUNK)
CHUNKS = st.tuples(
    st.lists(st.one_of(st.just(PIECE), tampered(PIECE)), max_size=2),
    st.one_of(tampered(LAST), tampered(LAST), tampered(ANSWER), tampered(REFUSED), JUNK),
).map(lambda parts: [*parts[0], parts[1]])


class Body(httpx.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aiter__(self):
        for at in range(0, len(self.data), 97):
            yield self.data[at : at + 97]


def client_for(status: int, body: bytes, headers: dict[str, str]) -> OpenRouterClient:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, stream=Body(body))

    wire = httpx.MockTransport(respond)
    return OpenRouterClient("https://openrouter.test/v1", "sk-or-v1-CANARYCANARY", wire=wire)


async def outcome_of(client: OpenRouterClient, *, stream: bool) -> Completion | UpstreamFailed:
    try:
        if not stream:
            return await client.complete(CALL, deadline_s=5)
        parts = [part async for part in client.stream(CALL, deadline_s=5)]
    except UpstreamFailed as failure:
        assert failure.message.isprintable() or not failure.message
        assert str(failure.hold_fate) and failure.kind
        return failure
    assert all(isinstance(part, StreamDelta) for part in parts[:-1])
    return parts[-1]


def check(outcome: Completion | UpstreamFailed, stated: list[Any]) -> None:
    completion = outcome if isinstance(outcome, Completion) else outcome.completion
    if completion is None:
        return
    assert json.dumps(completion.message, allow_nan=False).encode()  # fits any JSON column
    assert json.dumps(completion.extra, allow_nan=False).encode()
    assert "\0" not in json.dumps(completion.message).replace("\\\\", "").replace("\\u0000", "\0")
    cost = completion.usage.cost_usd if completion.usage is not None else None
    if cost is not None:
        assert cost.is_finite() and 0 <= cost <= 20_000
        assert any(close(cost, usage) for usage in stated)


def close(cost: Decimal, usage: Any) -> bool:
    """Whether the bill is the usage's cost, plus the upstream's with an own key, to 12 digits."""
    if not isinstance(usage, dict) or isinstance(usage.get("cost"), bool):
        return False
    try:
        total = Decimal(str(usage["cost"]))
        if usage.get("is_byok") is True:
            total += Decimal(str(usage["cost_details"]["upstream_inference_cost"]))
    except (ArithmeticError, KeyError, TypeError):
        return False
    return total.is_finite() and abs(cost - total) < Decimal("1e-11")


@QUIET
@given(DOCUMENTS, st.sampled_from([200, 200, 200, 201, 302, 400, 402, 403, 404, 429, 500, 503]))
def test_any_document_gives_a_completion_or_a_typed_leaf(document, status):
    body = json.dumps(document).encode()
    stated = [document.get("usage")] if isinstance(document, dict) else []
    headers = {"content-type": "application/json"}
    for stream in (False, True):
        outcome = asyncio.run(outcome_of(client_for(status, body, headers), stream=stream))
        check(outcome, stated)


@QUIET
@given(CHUNKS, st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_stream_gives_a_completion_or_a_typed_leaf(chunks, done, end):
    lines = [f"data: {json.dumps(chunk)}{end}{end}" for chunk in chunks]
    body = "".join([*lines, f"data: [DONE]{end}{end}" if done else ""]).encode()
    merged: dict[str, Any] = {}
    for chunk in chunks:
        usage = chunk.get("usage") if isinstance(chunk, dict) else None
        if isinstance(usage, dict):
            merged |= {name: value for name, value in usage.items() if value is not None}
    client = client_for(200, body, {"content-type": "text/event-stream"})
    check(asyncio.run(outcome_of(client, stream=True)), [merged])


@QUIET
@given(
    st.binary(max_size=300),
    st.sampled_from(["application/json", "text/event-stream", "text/html", ""]),
    st.sampled_from(["", "identity", "gzip", "deflate", "br", "x"]),
    st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20),
    st.sampled_from([200, 429, 500]),
)
def test_any_bytes_give_a_completion_or_a_typed_leaf(body, kind, encoding, header, status):
    headers = {
        "content-type": kind,
        "content-encoding": encoding,
        "retry-after": header.encode("latin-1"),
        "x-generation-id": header.encode("latin-1"),
    }
    for stream in (False, True):
        asyncio.run(outcome_of(client_for(status, body, headers), stream=stream))
