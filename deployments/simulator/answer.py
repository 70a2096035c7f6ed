"""The answer to one request: text, JSON or tool calls, cut to the tokens it may have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from deployments.simulator.answer_text import excerpt, good_text, poor_text
from deployments.simulator.catalogue import Model
from deployments.simulator.chat_request import ChatRequest
from deployments.simulator.draws import Draws
from deployments.simulator.schema_instance import instance_of
from deployments.simulator.task_kind import task_kind
from deployments.simulator.tokens import FAMILY_PERCENT, count_tokens, cut_to_tokens, texts_of
from deployments.simulator.wire import Json, to_json

EFFORT = {"none": 0.0, "minimal": 0.25, "low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": 3.0}
QUOTED_NAME = re.compile(r"[\"'`]([A-Za-z_]\w{0,40})[\"'`]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says. `completion_tokens` includes `reasoning_tokens`."""

    content: str | None
    finish_reason: str | None
    completion_tokens: int
    tool_calls: tuple[Json, ...] = ()
    reasoning: str | None = None
    reasoning_tokens: int = 0
    good: bool = True


def answer_to(
    request: ChatRequest,
    model: Model,
    draws: Draws,
    *,
    room: int,
    success_probability: Mapping[str, float],
) -> Answer:
    """Return the answer of a model that may write `room` tokens."""
    prompt = request.last_user_text
    share = success_share(success_probability, model.model_id, task_kind(prompt))
    good = draws.unit("success") < share
    thinking = min(reasoning_tokens(request, model, draws), room // 2)
    percent = FAMILY_PERCENT.get(model.author, 100)
    called = called_tools(request, prompt)
    if called:
        answer = tool_answer(called, draws, good=good)
    else:
        content = stop_at(request, content_of(request, draws, prompt, good=good))
        answer = Answer(content=content, finish_reason="stop", completion_tokens=0, good=good)
    answer = fitted(answer, room - thinking, percent)
    if not thinking:
        return answer
    thought = f"The user asks: {excerpt(prompt)}. I weigh the options, then answer briefly."
    return replace(
        answer,
        reasoning=None if request.reasoning.get("exclude") else thought,
        reasoning_tokens=thinking,
        completion_tokens=answer.completion_tokens + thinking,
    )


def success_share(table: Mapping[str, float], model_id: str, kind: str) -> float:
    """Return how likely this model does this kind of task well; 1 when nothing is said."""
    base = model_id.partition(":")[0]
    for name in (f"{base}#{kind}", base, f"*#{kind}", "*"):
        if name in table:
            return table[name]
    return 1.0


def reasoning_tokens(request: ChatRequest, model: Model, draws: Draws) -> int:
    """Return how long the model thinks; `o` models only when asked, `r` models unless told not."""
    asked = request.reasoning
    if (not model.has("r") and not (model.has("o") and asked)) or asked.get("enabled") is False:
        return 0
    share = EFFORT.get(str(asked.get("effort", "medium")), 4.0)
    tokens = int((48 + 160 * draws.unit("reasoning")) * share)
    limit = asked.get("max_tokens")
    return min(tokens, limit) if isinstance(limit, int) else tokens


def called_tools(request: ChatRequest, prompt: str) -> list[Json]:
    """Return the functions to call: the one that is named, or any when one is required.

    With `auto` those whose name the prompt mentions; none after a tool has answered.
    """
    functions = [f for tool in request.tools if isinstance(f := tool.get("function"), dict)]
    choice = request.tool_choice
    if not functions or choice == "none":
        return []
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        return [f for f in functions if f.get("name") == wanted][:1]
    lowered = prompt.lower()
    spoken = [str(f.get("name", "")).lower() for f in functions]
    mentioned = [
        function
        for function, name in zip(functions, spoken, strict=True)
        if name in lowered or name.replace("_", " ") in lowered
    ]
    if choice == "required":
        return mentioned or functions[:1]
    return [] if request.messages[-1].get("role") == "tool" else mentioned


def tool_answer(functions: list[Json], draws: Draws, *, good: bool) -> Answer:
    """Call each function with arguments that its schema accepts; a poor model forgets one."""
    calls = []
    for number, function in enumerate(functions):
        arguments = instance_of(function.get("parameters") or {"type": "object"}, draws)
        if not good:
            arguments = spoiled(arguments)
        calls.append(
            {
                "id": f"call_{int(draws.unit(f'call{number}') * 2**48):012x}",
                "type": "function",
                "function": {
                    "name": str(function.get("name", "")),
                    "arguments": to_json(arguments).decode(),
                },
            }
        )
    return Answer(
        content=None,
        finish_reason="tool_calls",
        completion_tokens=0,
        tool_calls=tuple(calls),
        good=good,
    )


def content_of(request: ChatRequest, draws: Draws, prompt: str, *, good: bool) -> str:
    """Write the content in the format that was asked for."""
    kind = task_kind(prompt)
    wanted = request.response_format.get("type")
    if wanted == "json_schema":
        schema = (request.response_format.get("json_schema") or {}).get("schema")
        value = instance_of(schema, draws)
        return to_json(value if good else spoiled(value)).decode()
    if wanted == "json_object":
        return json_object(prompt, good_text(kind, prompt, draws)) if good else "{}"
    last = request.messages[-1]
    if last.get("role") == "tool" and good:
        return (
            f"According to the tool: {' '.join(texts_of(last))[:200]}. That answers the question."
        )
    return good_text(kind, prompt, draws) if good else poor_text(kind, prompt, draws)


def json_object(prompt: str, text: str) -> str:
    """Return an object with the names that the prompt quotes, else one of our own."""
    names = list(dict.fromkeys(QUOTED_NAME.findall(prompt[:4000])))[:20]
    values: Json = {name: text if i == 0 else excerpt(prompt) for i, name in enumerate(names)}
    return to_json(values or {"answer": text, "confidence": "high"}).decode()


def spoiled(value: object) -> object:
    """Return a value without one of its fields, or none at all."""
    if isinstance(value, dict) and value:
        return {name: value[name] for name in list(value)[1:]}
    return None


def stop_at(request: ChatRequest, text: str) -> str:
    """Cut the text before the first stop sequence."""
    ends = [end for stop in request.stop if (end := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def fitted(answer: Answer, room: int, percent: int) -> Answer:
    """Count the tokens, and cut what does not fit; then finish_reason is `length`."""
    calls, left, cut = [], room, False
    for call in answer.tool_calls:
        function = call["function"]
        arguments = cut_to_tokens(function["arguments"], max(left - 1, 0), percent)
        cut = cut or arguments != function["arguments"]
        left -= count_tokens(arguments, percent) + 1
        calls.append({**call, "function": {**function, "arguments": arguments}})
    content = answer.content
    if content is not None:
        if count_tokens(content, percent) > left:
            content, cut = cut_to_tokens(content, left, percent), True
        left -= count_tokens(content, percent)
    return replace(
        answer,
        content=content,
        tool_calls=tuple(calls),
        completion_tokens=max(1, room - max(left, 0)),
        finish_reason="length" if cut else answer.finish_reason,
    )
