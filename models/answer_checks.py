"""Checks of a paid answer: JSON Schema, pattern, length; each within bounds of time and size.

Patterns come from callers and texts from models, so both may be hostile. Python's `re` cannot be
stopped, so patterns run in the `regex` library with a time limit; a schema's `$ref` never leaves
the schema, and `patternProperties`, which jsonschema would match with `re`, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import regex  # type: ignore[import-untyped]  # ships no types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from models.request import Accept

CONTENT_CHARS_MAX = 1_000_000
PATTERN_CHARS_MAX = 1000
SCHEMA_DEPTH_MAX = 64
PATTERN_S_MAX = 0.25
SHOWN_CHARS = 200


def accept_problem(accept: Accept) -> str | None:
    """Return why these checks cannot be run, or None; asked before anything is paid."""
    if accept.regex is not None and (problem := _pattern_problem(accept.regex)) is not None:
        return f"accept.regex: {problem}"
    if accept.json_schema is not None and (problem := _schema_problem(accept.json_schema)):
        return f"accept.json_schema: {problem}"
    return None


def check_answer(accept: Accept, content: str) -> str | None:
    """Return the first check that the answer fails, in words, or None when it passes all."""
    if accept.min_chars is not None and len(content) < accept.min_chars:
        return f"the answer has {len(content)} characters, fewer than {accept.min_chars}"
    if len(content) > CONTENT_CHARS_MAX:
        return f"the answer is too long to check: {len(content)} characters"
    if accept.regex is not None and (problem := _mismatch(accept.regex, content)) is not None:
        return problem
    if accept.json_schema is not None:
        return _schema_mismatch(accept.json_schema, content)
    return None


def _pattern_problem(pattern: str) -> str | None:
    if len(pattern) > PATTERN_CHARS_MAX:
        return f"the pattern is longer than {PATTERN_CHARS_MAX} characters"
    try:
        regex.compile(pattern)
    except regex.error as error:
        return f"not a pattern: {error}"
    return None


def _mismatch(pattern: str, content: str) -> str | None:
    """Return why the pattern is not found in the text."""
    problem = _pattern_problem(pattern)
    if problem is not None:
        return problem
    try:
        found = regex.search(pattern, content, timeout=PATTERN_S_MAX)
    except TimeoutError:
        return f"the pattern {pattern!r} took longer than {PATTERN_S_MAX} s"
    return None if found is not None else f"the answer does not match {pattern!r}"


def _schema_problem(schema: dict[str, Any]) -> str | None:
    try:
        validator_for(schema, Draft202012Validator).check_schema(schema)
        unsafe = next(_unsafe_parts(schema, 1), None)
    except SchemaError as error:
        return f"not a schema: {_short(error.message)}"
    except RecursionError:
        return "nested too deeply"
    return unsafe


def _unsafe_parts(part: object, depth: int) -> Iterator[str]:
    """Yield what could not be checked within bounds."""
    if depth > SCHEMA_DEPTH_MAX:
        yield "nested too deeply"
    elif isinstance(part, dict):
        yield from _unsafe_keywords(part)
        for inner in part.values():
            yield from _unsafe_parts(inner, depth + 1)
    elif isinstance(part, list):
        for inner in part:
            yield from _unsafe_parts(inner, depth + 1)


def _unsafe_keywords(part: dict[str, Any]) -> Iterator[str]:
    if "patternProperties" in part:
        yield "patternProperties is not supported"
    reference = part.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        yield f"$ref {_short(reference)!r} leaves the schema"
    if isinstance(part.get("pattern"), str) and (found := _pattern_problem(part["pattern"])):
        yield found


def _schema_mismatch(schema: dict[str, Any], content: str) -> str | None:
    """Return why the text is no JSON that fits the schema."""
    problem = _schema_problem(schema)
    if problem is not None:
        return f"accept.json_schema: {problem}"
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return f"the answer is not JSON: {_short(str(error))}"
    try:
        mismatch = next(_validator(schema).iter_errors(document), None)
    except Unresolvable as missing:
        return f"accept.json_schema: {_short(str(missing))}"
    except RecursionError:
        return "the answer is nested too deeply to check"
    if mismatch is None:
        return None
    return f"the answer does not fit the schema at {mismatch.json_path}: {_short(mismatch.message)}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _validator(schema: dict[str, Any]) -> Any:  # a class made by jsonschema, without a type
    plain = validator_for(schema, Draft202012Validator)
    made = extend(plain, {"pattern": _pattern_keyword})  # type: ignore[no-untyped-call]
    return made(schema, registry=Registry())  # an empty registry: nothing is ever fetched


def _pattern_keyword(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and (problem := _mismatch(pattern, instance)) is not None:
        yield ValidationError(problem)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
