"""Policy documents from files and requests: read whole, refused whole, every problem named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Never

from pydantic import ValidationError

from models.errors import InvalidPolicy
from models.policy.content import Policy
from models.policy.routing import claim_problems

DOCUMENT_BYTES_MAX = 64 * 1024
DEPTH_MAX = 16
TOO_DEEP = f"is nested deeper than {DEPTH_MAX} levels"
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of a policy",
}


class _Repeated(dict[str, Any]):  # a JSON object, whose values may be anything
    """A JSON object that remembers which of its keys were given twice."""

    repeated: tuple[str, ...] = ()


def parse_policy(document: object) -> Policy:
    """Return the policy of one parsed JSON document.

    Raises InvalidPolicy with every problem, each as `JSON path: what is wrong`.
    """
    policy, problems = _read(document, "$")
    if policy is None:
        raise InvalidPolicy(problems)
    return policy


def parse_policy_text(text: str) -> tuple[Policy, ...]:
    """Return the policies of a JSON file: one policy, a list, or `{"policies": [...]}`.

    Raises InvalidPolicy with the problems of all of them; keys given twice and task types
    claimed twice are problems too.
    """
    documents = _documents(_loaded(text))
    read = [_read(document, path) for path, document in documents]
    policies = tuple(policy for policy, _ in read if policy is not None)
    problems = [problem for _, found in read for problem in found]
    names = [policy.name for policy in policies]
    problems += [
        f"$: policy {name!r} is given more than once"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    problems += [f"$: {problem}" for problem in claim_problems(policies)]
    if problems:
        raise InvalidPolicy(tuple(problems))
    return policies


def _loaded(text: str) -> object:
    if len(text.encode("utf-8", "surrogatepass")) > DOCUMENT_BYTES_MAX:
        raise InvalidPolicy((f"$: is larger than {DOCUMENT_BYTES_MAX // 1024} KiB",))
    try:
        return json.loads(
            text,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise InvalidPolicy((f"$: {TOO_DEEP}",)) from error
    except ValueError as error:
        raise InvalidPolicy((f"$: is not JSON: {error}",)) from error


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> _Repeated:
    made = _Repeated(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.repeated = tuple(key for key in made if keys.count(key) > 1)
    return made


def _documents(loaded: object) -> list[tuple[str, object]]:
    if isinstance(loaded, dict) and set(loaded) == {"policies"}:
        if not isinstance(loaded["policies"], list):
            raise InvalidPolicy(("$.policies: is not a list of policies",))
        return [(f"$.policies[{n}]", entry) for n, entry in enumerate(loaded["policies"])]
    if isinstance(loaded, list):
        return [(f"$[{n}]", entry) for n, entry in enumerate(loaded)]
    return [("$", loaded)]


def _read(document: object, path: str) -> tuple[Policy | None, tuple[str, ...]]:
    """Return the policy, or None and its problems."""
    problems = tuple(_shape_problems(document, path, 1))
    if any(problem.endswith(TOO_DEEP) for problem in problems):
        return None, problems
    size = len(json.dumps(document, default=str, ensure_ascii=False).encode(errors="replace"))
    if size > DOCUMENT_BYTES_MAX:
        return None, (*problems, f"{path}: is larger than {DOCUMENT_BYTES_MAX // 1024} KiB")
    try:
        policy = Policy.model_validate(document)
    except ValidationError as error:
        return None, problems + _content_problems(path, error)
    return (None, problems) if problems else (policy, ())


def _content_problems(path: str, error: ValidationError) -> tuple[str, ...]:
    """Return one line per error; a list is not called too short because its parts are wrong."""
    details = error.errors(include_url=False)
    parents = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    return tuple(
        _problem(path, detail)
        for detail in details
        if not (detail["type"] == "too_short" and detail["loc"] in parents)
    )


def _shape_problems(value: object, path: str, depth: int) -> Iterator[str]:
    """Yield what makes the document no plain JSON; deeper parts are not looked into."""
    if depth > DEPTH_MAX:
        yield f"{path}: {TOO_DEEP}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path}: {value!r} is not a JSON number"
    elif isinstance(value, dict):
        for key in getattr(value, "repeated", ()):
            yield f"{path}.{key}: is given more than once"
        for key, part in value.items():
            yield from _shape_problems(part, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _shape_problems(part, f"{path}[{number}]", depth + 1)


def _problem(path: str, detail: Any) -> str:  # pydantic's ErrorDetails
    where = path + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]
    )
    known = _WORDS.get(detail["type"])
    if known is not None:
        return f"{where}: {known}"
    message = detail["msg"].removeprefix("Value error, ")
    shown = repr(detail["input"])
    if isinstance(detail["input"], dict | list) or len(shown) > 80:
        return f"{where}: {message}"
    return f"{where}: {message} (was {shown})"
