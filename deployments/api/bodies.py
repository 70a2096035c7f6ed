"""JSON Schemas of bodies, as strict as what reads them: pydantic's say less than its validators."""

from __future__ import annotations

from copy import deepcopy
from typing import Any
from zoneinfo import available_timezones

from pydantic import BaseModel

from models.budget import BudgetDefinition
from models.policy import Policy
from models.request import RoutingRequest

Json = dict[str, Any]  # JSON Schema
TEMPLATE = "#/components/schemas/{model}"
# What something is left of when pydantic has stripped it; to each engine `\S` means its own.
VISIBLE = r"[^\s\x00-\x20\x7f-\xa0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
TEXT = {"type": "string", "pattern": VISIBLE}
NULL = {"type": "null"}
USD = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 10_000_000},
        {"type": "string", "pattern": r"^[0-9]{1,7}(\.[0-9]{1,12})?$"},
    ]
}
MESSAGES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {"role": {"type": "string"}},
    },
}


def model_schemas(*models: type[BaseModel]) -> Json:
    """Return the schemas of models and of what they refer to, for `components`."""
    found: Json = {}
    for model in models:
        schema = model.model_json_schema(ref_template=TEMPLATE)
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def _request_body() -> Json:
    """Return the request with exactly one of its two texts."""
    schema = inlined(RoutingRequest)
    by_prompt, by_messages = schema, deepcopy(schema)
    by_prompt["properties"] |= {"prompt": TEXT, "messages": NULL}
    by_prompt["required"] = ["prompt"]
    by_messages["properties"] |= {"prompt": NULL, "messages": MESSAGES}
    by_messages["required"] = ["messages"]
    return {"title": "Request", "oneOf": [by_prompt, by_messages]}


def _budget_body() -> Json:
    """Return the budget: which scope key fits depends on its type."""
    schema = inlined(BudgetDefinition)
    schema["properties"] |= {
        "budget_amount": USD,
        "time_zone": {"type": "string", "enum": sorted(available_timezones()), "default": "UTC"},
    }
    keys: list[tuple[Json, Json]] = [
        ({"const": "global"}, {"const": "*"}),
        ({"enum": ["policy", "worker", "model"]}, schema["properties"]["scope_key"]),
        (
            {"const": "task"},
            {"anyOf": [{"const": "*"}, {"type": "string", "format": "uuid"}], "default": "*"},
        ),
    ]
    return {"title": "Budget", "oneOf": [_variant(schema, *pair) for pair in keys]}


def _variant(schema: Json, budget_type: Json, scope_key: Json) -> Json:
    made = deepcopy(schema)
    made["properties"] |= {"budget_type": budget_type, "scope_key": scope_key}
    return made


def inlined(model: type[BaseModel]) -> Json:
    """Return the model's schema without references; a text of at least one character says so."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    made: Json = _resolved(schema, definitions)
    return made


def _resolved(value: Any, definitions: Json) -> Any:  # Any: JSON
    if isinstance(value, list):
        return [_resolved(part, definitions) for part in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        rest = {key: part for key, part in value.items() if key != "$ref"}
        return _resolved(definitions[name], definitions) | rest
    if value.get("type") == "string" and value.get("minLength") and "pattern" not in value:
        return value | {"pattern": VISIBLE}
    if _is_money(value):
        return {key: part for key, part in value.items() if key != "anyOf"} | _money(value)
    return {key: _resolved(part, definitions) for key, part in value.items()}


def _is_money(value: Json) -> bool:
    kinds = [part.get("type") for part in value.get("anyOf", ())]
    return "number" in kinds and "string" in kinds


def _money(value: Json) -> Json:
    if any("maximum" in part and part["maximum"] == 1 for part in value["anyOf"]):  # a share
        return {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "multipleOf": 0.0001}
    nullable = any(part.get("type") == "null" for part in value["anyOf"])
    return {"anyOf": [*USD["anyOf"], NULL]} if nullable else USD


def _policy_body() -> Json:
    """Return the policy; that models and priorities are distinct no schema can say."""
    schema = inlined(Policy)
    above_zero = r"^([1-9][0-9]{0,6}(\.[0-9]{1,12})?|0\.[0-9]{0,11}[1-9])$"
    schema["properties"]["max_cost_per_task"] = {
        "anyOf": [
            {"type": "number", "minimum": 0.000001, "maximum": 10_000_000},
            {"type": "string", "pattern": above_zero},
        ]
    }
    return schema


REQUEST_BODY = _request_body()
BUDGET_BODY = _budget_body()
POLICY_BODY = _policy_body()
