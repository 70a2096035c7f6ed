"""Streams: every shape of the end, every way to be cut, every way for bytes to be split."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from models.completion import Completion, StreamDelta
from models.errors import BadAnswer, HoldFate, OutcomeUnknown
from tasks.adapters.openrouter import assembly, sse, streaming
from tasks.adapters.openrouter.sse import EventParser

pytestmark = pytest.mark.anyio
SSE = {"content-type": "text/event-stream; charset=utf-8", "X-Generation-Id": "gen-head"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 4, "cost": 0.0000054}


def chunk(delta=None, *, finish=None, choices=None, **top):
    if choices is None:
        choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    head = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "provider": "OpenAI"}
    return {**head, "model": "openai/gpt-4o-mini", "choices": choices, **top}


def text(content, finish=None, **top):
    return chunk({"role": "assistant", "content": content}, finish=finish, **top)


def sse_bytes(*chunks, done=True, end="\n", space=" ", comments=False) -> bytes:
    lines = [f": OPENROUTER PROCESSING{end}{end}"] if comments else []
    for one in chunks:
        if comments:
            lines.append(f": OPENROUTER PROCESSING{end}{end}")
        lines.append(f"data:{space}{json.dumps(one, ensure_ascii=False)}{end}{end}")
    if done:
        lines.append(f"data:{space}[DONE]{end}{end}")
    return "".join(lines).encode()


async def read(client, call, **options) -> list[StreamDelta | Completion]:
    return [part async for part in client.stream(call, deadline_s=5, **options)]


WORDS = (text("Profits "), text("rösé"), text(" 😀"))
ENDS = {
    "usage alone, choices empty": (text("", "stop"), chunk(choices=[], usage=USAGE)),
    "usage with the finish repeated": (text("", "stop"), text("", "stop", usage=USAGE)),
    "usage with finish null": (text("", "stop"), text("", None, usage=USAGE)),
    "usage and finish together": (text("", "stop", usage=USAGE),),
    "usage twice, the later adds the cost": (
        text("", "stop", usage={"prompt_tokens": 20, "completion_tokens": 4}),
        chunk(choices=[], usage={"cost": 0.0000054}),
    ),
    "usage null before": (text("", "stop", usage=None), chunk(choices=[], usage=USAGE)),
}


@pytest.mark.parametrize("ending", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("comments", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("space", [" ", ""])
async def test_stream_brings_deltas_then_one_completion(
    scripted, call, ending, comments, end, space
):
    body = sse_bytes(*WORDS, *ending, end=end, space=space, comments=comments)
    *deltas, last = await read(scripted(200, body, SSE).client, call)
    assert all(isinstance(delta, StreamDelta) for delta in deltas)
    assert "".join(delta.content for delta in deltas) == "Profits rösé 😀"
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert isinstance(last, Completion)
    assert (last.content, last.finish_reason) == ("Profits rösé 😀", "stop")
    assert last.message == {"role": "assistant", "content": "Profits rösé 😀"}
    assert last.usage.cost_usd == Decimal("0.0000054")
    assert (last.generation_id, last.provider) == ("gen-head", "OpenAI")
    assert last.first_token_ms is not None and last.first_token_ms <= last.latency_ms


async def test_stream_is_the_same_wherever_its_bytes_are_split(scripted, call):
    body = sse_bytes(*WORDS, *ENDS["usage alone, choices empty"], end="\r\n", comments=True)
    whole = await read(scripted(200, body, SSE).client, call)
    for size in (1, 2, 3, 7):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        parts = await read(scripted(200, pieces, SSE).client, call)
        assert parts[:-1] == whole[:-1]
        assert parts[-1].content == whole[-1].content


def test_parser_is_the_same_at_every_single_split():
    body = "\ufeff: hi\rdata: é\r\ndata:b\n\nid: 7\ndata\n\r\ndata: last".encode()
    for at in range(len(body) + 1):
        parser = EventParser()
        events = [*parser.feed(body[:at]), *parser.feed(body[at:]), *parser.close()]
        assert events == ["é\nb", "", "last"]


async def test_stream_assembles_tool_calls_from_their_pieces(scripted, call):
    def tool(index, **piece):
        return chunk({"tool_calls": [{"index": index, **piece}]})

    body = sse_bytes(
        tool(0, id="call_a", type="function", function={"name": "find", "arguments": ""}),
        tool(0, function={"arguments": '{"q": '}),
        tool(1, id="call_b", function={"name": "count", "arguments": "{}"}),
        tool(0, function={"arguments": '"ö"}'}),
        chunk({}, finish="tool_calls", usage=USAGE),
    )
    *deltas, last = await read(scripted(200, body, SSE).client, call)
    assert len(deltas) == 5
    assert deltas[1].delta == {"tool_calls": [{"index": 0, "function": {"arguments": '{"q": '}}]}
    assert last.message["tool_calls"] == [
        {
            "id": "call_a",
            "type": "function",
            "function": {"name": "find", "arguments": '{"q": "ö"}'},
        },
        {"id": "call_b", "type": "function", "function": {"name": "count", "arguments": "{}"}},
    ]
    assert (last.content, last.finish_reason) == ("", "tool_calls")


async def test_stream_keeps_reasoning_apart_from_the_text(scripted, call):
    body = sse_bytes(
        chunk({"reasoning": "Let me ", "reasoning_details": [{"text": "Let me "}]}),
        chunk({"reasoning": "think", "reasoning_details": [{"text": "think"}]}),
        text("42", "stop", usage=USAGE),
    )
    *deltas, last = await read(scripted(200, body, SSE).client, call)
    assert [delta.content for delta in deltas] == ["", "", "42"]
    assert (last.content, last.message["reasoning"]) == ("42", "Let me think")
    assert len(last.message["reasoning_details"]) == 2


async def test_stream_reports_the_bill_when_it_fails_half_way(scripted, call):
    failed = chunk(
        choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        error={"code": 502, "message": "Provider disconnected"},
        usage=USAGE,
    )
    with pytest.raises(BadAnswer, match="502: Provider disconnected") as caught:
        await read(scripted(200, sse_bytes(*WORDS, failed, done=False), SSE).client, call)
    assert caught.value.hold_fate is HoldFate.SETTLED
    assert caught.value.completion.content == "Profits rösé 😀"
    assert caught.value.generation_id == "gen-head"


@pytest.mark.parametrize(
    "failed",
    [
        {"error": {"code": 502, "message": "bare"}},
        {"error": {"code": "server_error", "message": "bare"}},
        {"error": "bare"},
        chunk({}, finish="error"),
        chunk(choices=[{"index": 0, "delta": {}, "error": {"code": 1, "message": "bare"}}]),
    ],
)
@pytest.mark.parametrize("done", [True, False])
async def test_stream_error_keeps_the_hold_when_no_bill_is_stated(scripted, call, failed, done):
    with pytest.raises(BadAnswer) as caught:
        await read(scripted(200, sse_bytes(*WORDS, failed, done=done), SSE).client, call)
    assert caught.value.hold_fate is HoldFate.UNKNOWN


@pytest.mark.parametrize(
    ("body", "chars"),
    [
        (b"", 0),
        (b": OPENROUTER PROCESSING\n\n" * 9, 0),
        (sse_bytes(*WORDS, done=False), 14),
        (sse_bytes(*WORDS, done=True), 14),  # no finish reason
        (sse_bytes(text("Hi"), text("", "stop"), done=False), 2),  # no usage, no [DONE]
        (sse_bytes(text("Hi"), chunk(choices=[], usage=USAGE), done=False), 2),
        (sse_bytes(text("Hi"), done=False) + b'data: {"id": "gen-1", "cho', 2),
        (sse_bytes(text("Hi"), done=False) + b"data: {broken}\n\n", 2),
        (sse_bytes(text("Hi"), chunk(choices=["x"]), done=False), 2),
        (sse_bytes(text("Hi"), chunk({"content": 5}), done=False), 2),
        (sse_bytes(text("Hi"), chunk({"tool_calls": [{"index": -1}]}), done=False), 2),
        (sse_bytes(text("Hi"), done=False) + b'data: {"usage": {"cost": NaN}}\n\n', 2),
    ],
)
async def test_outcome_is_unknown_when_the_stream_is_cut(scripted, call, body, chars):
    with pytest.raises(OutcomeUnknown, match=f"stream cut after {chars} characters") as caught:
        await read(scripted(200, body, SSE).client, call)
    assert caught.value.generation_id == "gen-head"


@pytest.mark.parametrize("tail", [b"", b"data: garb", b'data: {"choices": 7}\n\n'])
async def test_stream_is_whole_when_finish_and_bill_came_before_the_cut(scripted, call, tail):
    body = sse_bytes(*WORDS, text("", "stop", usage=USAGE), done=False) + tail
    *_, last = await read(scripted(200, body, SSE).client, call)
    assert last.usage.cost_usd == Decimal("0.0000054")


@pytest.mark.parametrize("cost", ["-1", "1e400", '"NaN"'])
async def test_outcome_is_unknown_when_the_streamed_bill_cannot_be_true(scripted, call, cost):
    body = sse_bytes(*WORDS, text("", "stop", usage={"cost": "@"}))
    body = body.replace(b'"@"', cost.encode())
    with pytest.raises(OutcomeUnknown, match="the bill is unknown"):
        await read(scripted(200, body, SSE).client, call)


async def test_stream_without_text_is_a_bad_answer(scripted, call):
    body = sse_bytes(text("", "stop", usage=USAGE))
    with pytest.raises(BadAnswer, match="empty answer"):
        await read(scripted(200, body, SSE).client, call)


async def test_stream_answered_by_plain_json_is_one_delta_and_the_completion(
    scripted, call, answer
):
    delta, last = await read(scripted(200, answer()).client, call)
    assert (delta.content, delta.finish_reason) == ("Profits rose.", "stop")
    assert last.content == "Profits rose."


async def test_stream_without_text_and_finish_is_a_bad_answer_with_its_bill(scripted, call):
    body = sse_bytes(text("", None), chunk(choices=[], usage=USAGE | {"cost": 0}))
    with pytest.raises(BadAnswer) as caught:
        await read(scripted(200, body, SSE).client, call)
    assert caught.value.hold_fate is HoldFate.SETTLED
    assert caught.value.completion.usage.cost_usd == 0


async def test_stream_asks_for_usage(scripted, call):
    script = scripted(200, sse_bytes(text("Hi", "stop", usage=USAGE)), SSE)
    await read(script.client, call)
    assert script.sent["stream"] is True
    assert script.sent["stream_options"] == {"include_usage": True}


async def test_stream_is_given_up_when_the_answer_is_longer_than_the_cap(
    scripted, call, monkeypatch
):
    monkeypatch.setattr(assembly, "TEXT_CHARS_MAX", 100)
    body = sse_bytes(*[text("x" * 30)] * 4)
    with pytest.raises(OutcomeUnknown, match="more than 100 characters"):
        await read(scripted(200, body, SSE).client, call)


@pytest.mark.parametrize(
    ("module", "name", "cap", "words"),
    [
        (sse, "EVENTS_MAX", 3, "more than 3 events"),
        (sse, "EVENT_BYTES_MAX", 100, "an event of more than 100 bytes"),
        (streaming, "STREAM_BYTES_MAX", 400, "larger than 400 bytes"),
    ],
)
async def test_stream_is_given_up_when_a_cap_is_passed(
    scripted, call, monkeypatch, module, name, cap, words
):
    monkeypatch.setattr(module, name, cap)
    body = sse_bytes(*[text("y")] * 9)
    with pytest.raises(OutcomeUnknown, match=words):
        await read(scripted(200, [body[:50], body[50:]], SSE).client, call)


async def test_comments_do_not_count_as_an_event(scripted, call, monkeypatch):
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 2_000)
    comments = b": OPENROUTER PROCESSING\n\n" * 1_000
    body = comments + sse_bytes(text("Hi", "stop", usage=USAGE))
    assert (await read(scripted(200, body, SSE).client, call))[-1].content == "Hi"
