"""A stream as server-sent events (openrouter.ai/docs, streaming, 2026-08-22)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deployments.simulator.completion import Completion
from deployments.simulator.config import UsageChunk
from deployments.simulator.documents import (
    frame,
    reasoning_details,
    stated_usage,
    upstream_error,
    with_routing_metadata,
)
from deployments.simulator.faults import Fault
from deployments.simulator.wire import Json, to_json

COMMENT = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"
PIECE_CHARACTERS = 24
HUGE_PIECE_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes to send after a wait; `share` of the completion is produced by then."""

    wait_s: float
    data: bytes
    share: float = 1.0


def event(document: Json) -> bytes:
    """Return one event."""
    return b"data: " + to_json(document) + b"\n\n"


def stream_steps(
    completion: Completion, usage_chunk: UsageChunk, headers: Mapping[str, str]
) -> list[Step]:
    """Return the whole stream: comments, deltas, finish, usage, [DONE]; or what a fault leaves."""
    base = frame(completion, "chat.completion.chunk")
    pieces = list(delta_events(completion, base))
    wait_s = completion.writing_ms / 1000 / max(1, len(pieces))
    steps = [Step(0, COMMENT, 0), Step(completion.first_token_ms / 1000, COMMENT, 0)]
    steps += [Step(wait_s, data, (i + 1) / len(pieces)) for i, data in enumerate(pieces)]
    route = completion.route
    if route.has_fault(Fault.NO_DONE):
        return steps
    if route.has_fault(Fault.MID_STREAM_ERROR, Fault.ERROR_IN_CHOICE):
        return [*steps, Step(0, event(error_chunk(completion, base)))]
    ends = [event(finish_chunk(completion, base))]
    ends += [event(chunk) for chunk in usage_chunks(completion, base, usage_chunk, headers)]
    steps += [Step(0, data) for data in [*ends, DONE]]
    return broken_in_the_middle(steps) if route.has_fault(Fault.MALFORMED_JSON) else steps


def choice_chunk(
    base: Json, delta: Json, finish: str | None = None, native: str | None = None
) -> Json:
    """Return a chunk with one choice; every delta repeats the role, as on the wire."""
    choice = {
        "index": 0,
        "delta": {"role": "assistant", **delta},
        "finish_reason": finish,
        "native_finish_reason": native,
        "logprobs": None,
    }
    return {**base, "choices": [choice]}


def delta_events(completion: Completion, base: Json) -> Iterator[bytes]:
    """Yield the reasoning, the text and the tool calls, piece by piece."""
    answer = completion.answer
    if answer.reasoning is not None:
        details = reasoning_details(answer.reasoning)
        delta: Json = {"content": "", "reasoning": answer.reasoning, "reasoning_details": details}
        yield event(choice_chunk(base, delta))
    wrong = completion.route.has_fault(Fault.WRONG_TYPES)
    for piece in pieces_of(answer.content or ""):
        yield event(choice_chunk(base, {"content": 42 if wrong else piece}))
    for number, call in enumerate(answer.tool_calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        opening = {**call, "index": number, "function": {"name": name, "arguments": ""}}
        yield event(choice_chunk(base, {"content": None, "tool_calls": [opening]}))
        for piece in pieces_of(arguments):
            more = {"index": number, "type": "function", "function": {"arguments": piece}}
            yield event(choice_chunk(base, {"content": None, "tool_calls": [more]}))


def pieces_of(text: str) -> Iterator[str]:
    """Yield a text in pieces of a few tokens."""
    size = PIECE_CHARACTERS if len(text) < HUGE_PIECE_CHARACTERS else HUGE_PIECE_CHARACTERS
    for start in range(0, len(text), size):
        yield text[start : start + size]


def finish_chunk(completion: Completion, base: Json) -> Json:
    """Return the chunk that tells why the answer ended."""
    finish, native = completion.answer.finish_reason, completion.native_finish_reason
    return choice_chunk(base, {"content": ""}, finish, native)


def usage_chunks(
    completion: Completion, base: Json, variant: UsageChunk, headers: Mapping[str, str]
) -> list[Json]:
    """Return the last chunk in the wanted variant; none when the usage is not told."""
    usage = stated_usage(completion)
    if usage is None:
        return []
    finish, native = completion.answer.finish_reason, completion.native_finish_reason
    if variant is UsageChunk.EMPTY_CHOICES:
        chunk: Json = {**base, "choices": []}
    elif variant is UsageChunk.REPEATED_FINISH:
        chunk = choice_chunk(base, {"content": ""}, finish, native)
    else:
        chunk = choice_chunk(base, {"content": ""})
    return [with_routing_metadata({**chunk, "usage": usage}, completion, headers)]


def error_chunk(completion: Completion, base: Json) -> Json:
    """Return the chunk of an error after the first token; nothing follows it."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return {**base, "error": upstream_error(completion), "choices": [choice]}


def broken_in_the_middle(steps: list[Step]) -> list[Step]:
    """Cut the JSON of one event in half."""
    middle = len(steps) // 2
    data = steps[middle].data
    broken = Step(steps[middle].wait_s, data[: len(data) // 2] + b"\n\n", steps[middle].share)
    return [*steps[:middle], broken, *steps[middle + 1 :]]
