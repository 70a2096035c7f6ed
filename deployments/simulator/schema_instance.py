"""A value that satisfies a JSON Schema: for structured output and the arguments of tool calls.

Covers what structured output accepts (type, enum, const, properties, items, bounds, formats,
anyOf/oneOf/allOf, local $ref). `pattern` is met only when an example, default or the plain word
happens to fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from deployments.simulator.draws import Draws

DEEPEST = 12
OPTIONAL_DEPTH = 3  # optional properties are filled only this deep, so recursion ends
WORDS = ("alpha", "steady", "review", "signal", "margin", "harbor", "vector", "ledger")
FORMATS = {
    "date-time": "2026-11-22T09:30:00Z",
    "date": "2026-11-22",
    "time": "09:30:00Z",
    "email": "ops@example.com",
    "uri": "https://example.com/report",
    "uuid": "7d9f3c52-6f0e-4b7a-9a50-2f6f0c1d8e11",
    "ipv4": "192.0.2.10",
    "hostname": "db.example.com",
}

Schema = Any  # JSON Schema is an object or a boolean, and comes from outside


def instance_of(schema: Schema, draws: Draws) -> Any:  # any JSON value
    """Return a value that the schema accepts, the same one for the same draws."""
    return Writer(schema, draws).value(schema, "$", 0)


class Writer:
    """Walks one schema; `path` labels the draws, so that fields differ."""

    def __init__(self, root: Schema, draws: Draws) -> None:
        self.root, self.draws = root, draws

    def value(self, schema: Schema, path: str, depth: int) -> Any:
        """Return a value for a schema or a part of one."""
        if not isinstance(schema, dict) or depth > DEEPEST:
            return None
        schema = self.resolved(schema)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][int(self.draws.unit(path) * len(schema["enum"]))]
        if schema.get("examples"):
            return schema["examples"][0]
        return self.typed(schema, path, depth)

    def resolved(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Follow local references, merge allOf, take the first of anyOf and oneOf."""
        merged = dict(schema)
        for _ in range(DEEPEST):
            if "$ref" in merged:
                merged |= self.target(merged.pop("$ref"))
            elif merged.get("allOf"):
                for part in merged.pop("allOf"):
                    merged = merge(merged, self.resolved(part))
            elif merged.get("anyOf") or merged.get("oneOf"):
                options = merged.pop("anyOf", None) or merged.pop("oneOf")
                merged = merge(merged, self.resolved(options[0]))
            else:
                break
        return merged

    def target(self, reference: str) -> dict[str, Any]:
        """Return what `#/$defs/Name` points at; an unknown reference accepts anything."""
        node: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step:
                name = step.replace("~1", "/").replace("~0", "~")
                node = node.get(name, {}) if isinstance(node, dict) else {}
        return dict(node) if isinstance(node, dict) else {}

    def typed(self, schema: dict[str, Any], path: str, depth: int) -> Any:
        """Return a value of the schema's (first) type."""
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind is None:
            kind = (
                "object" if "properties" in schema else "array" if "items" in schema else "string"
            )
        writers: Mapping[str, Callable[[dict[str, Any], str, int], Any]] = {
            "object": self.object,
            "array": self.array,
            "string": self.string,
            "integer": self.number,
            "number": self.number,
            "boolean": lambda _schema, path, _depth: self.draws.unit(path) < 0.5,
        }
        writer = writers.get(kind)
        return writer(schema, path, depth) if writer else None

    def object(self, schema: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Fill required properties, and optional ones near the top."""
        properties, required = schema.get("properties") or {}, schema.get("required") or []
        names = [n for n in properties if n in required or depth < OPTIONAL_DEPTH]
        names += [name for name in required if name not in properties]
        return {
            name: self.value(properties.get(name, {"type": "string"}), f"{path}.{name}", depth + 1)
            for name in names
        }

    def array(self, schema: dict[str, Any], path: str, depth: int) -> list[Any]:
        """Write the least number of items, at least one near the top."""
        least = schema.get("minItems", 1 if depth < OPTIONAL_DEPTH else 0)
        length = min(least, schema.get("maxItems", least))
        prefix = schema.get("prefixItems") or []
        items = schema.get("items") or {"type": "string"}
        parts = [prefix[i] if i < len(prefix) else items for i in range(max(length, len(prefix)))]
        return [self.value(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(parts)]

    def string(self, schema: dict[str, Any], path: str, depth: int) -> str:
        """Write a word or two of an allowed length."""
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        text = " ".join(self.draws.pick(f"{path}/{i}", WORDS) for i in range(2))
        text = text.ljust(schema.get("minLength", 0), "x")
        return text[: schema.get("maxLength", len(text))]

    def number(self, schema: dict[str, Any], path: str, depth: int) -> int | float:
        """Write a number inside the bounds, a multiple where one is asked for."""
        step = schema.get("multipleOf") or (1 if schema.get("type") == "integer" else 0.01)
        low, high = bounds(schema, step)
        steps = math.floor(round((high - low) / step, 6))
        value = low + step * int(self.draws.unit(path) * (steps + 1))
        return int(value) if schema.get("type") == "integer" else round(value, 6)


def bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    """Return the inclusive bounds, each a multiple of the step; 0 to 100 steps when none."""
    low = schema.get("minimum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step / 2
    high = schema.get("maximum")
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step / 2
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100 * step
    first = math.ceil(round(low / step, 6)) * step
    return first, first + 100 * step if high is None else max(first, high)


def merge(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Combine two object schemas: properties and required of both."""
    merged = {**extra, **base}
    properties = {**(extra.get("properties") or {}), **(base.get("properties") or {})}
    required = [*(extra.get("required") or []), *(base.get("required") or [])]
    if properties:
        merged["properties"] = properties
    if required:
        merged["required"] = list(dict.fromkeys(required))
    return merged
