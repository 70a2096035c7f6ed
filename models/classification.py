"""The class of a request: its task type, given or inferred, and its complexity."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.complexity import Shape, complexity_features, complexity_of
from models.policy import Complexity
from models.request import RoutingRequest
from models.task_types import TASK_TYPES, TaskType
from models.tokens import image_count
from models.type_evidence import words_of
from models.type_inference import infer_task_type

# Matching costs grow with the text, so only its ends are read: instructions stand there.
HEAD_CHARS, TAIL_CHARS, SYSTEM_CHARS = 2400, 1000, 400

TypeInference = Callable[[str, list[str], Collection[str]], tuple[str, float]]
"""From a text, its words and the known types to a type and the evidence for it."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What kind of work a request is, and what made it so.

    `score` is the complexity score and `features` what each feature added to it; `type_score` is
    the evidence for an inferred type, 0 for a given one.
    """

    task_type: str
    task_type_source: Literal["given", "inferred"]
    complexity: Complexity
    score: float
    features: tuple[tuple[str, float], ...] = ()
    type_score: float = 0.0
    known: bool = True

    def reason(self) -> str:
        """Return the class in plain words."""
        said = "" if self.known else ", a type of its own"
        parts = ", ".join(f"{name} {amount:+g}" for name, amount in self.features) or "no features"
        return (
            f"task type {self.task_type} ({self.task_type_source}{said}),"
            f" {self.complexity.value} ({self.score:g}: {parts})"
        )


def classify(
    request: RoutingRequest,
    task_types: Mapping[str, TaskType] = TASK_TYPES,
    infer: TypeInference = infer_task_type,
) -> Classification:
    """Return the request's task type and complexity, by fixed rules, never by a model.

    A given type is kept even when `task_types` does not know it; `infer` stands in for the rules
    where an installation learned its own types. At most about 4,000 characters
    are read, so a prompt of 8 MB takes no longer than a page.
    """
    messages = request.chat_messages()
    instruction, chars = _instruction(messages)
    text = _ends(instruction) + _system_text(messages)
    words = words_of(text)
    name, type_score, source = _task_type(request, text, words, task_types, infer)
    kind = task_types.get(name)
    features = complexity_features(text, words, _shape(request, messages, chars))
    if kind is not None and kind.weight:
        features["task_type"] = kind.weight
    score = round(sum(features.values()), 3)
    return Classification(
        task_type=name,
        task_type_source=source,
        complexity=complexity_of(score),
        score=score,
        features=tuple(features.items()),
        type_score=type_score,
        known=kind is not None,
    )


def _task_type(
    request: RoutingRequest,
    text: str,
    words: list[str],
    task_types: Mapping[str, TaskType],
    infer: TypeInference,
) -> tuple[str, float, Literal["given", "inferred"]]:
    if request.task_type is not None:
        return request.task_type, 0.0, "given"
    name, score = infer(text, words, task_types)
    return name, score, "inferred"


def _shape(request: RoutingRequest, messages: list[dict[str, Any]], chars: int) -> Shape:
    return Shape(
        chars=chars,
        turns=len(messages),
        tools=len(request.tools or ()),
        images=image_count(messages),
        has_schema=bool(request.response_format)
        or (request.accept is not None and request.accept.json_schema is not None),
    )


def _instruction(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """Return the last user message's text, and the length of all texts together."""
    texts = [(message["role"], message_text(message)) for message in messages]
    users = [text for role, text in texts if role == "user"]
    return users[-1] if users else texts[-1][1], sum(len(text) for _, text in texts)


def _system_text(messages: list[dict[str, Any]]) -> str:
    first = messages[0]
    if len(messages) == 1 or first["role"] not in ("system", "developer"):
        return ""
    return f"\n{message_text(first)[:SYSTEM_CHARS]}"


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, its text parts joined by line ends."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in parts if isinstance(text, str))


def _ends(text: str) -> str:
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
