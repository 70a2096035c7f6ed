"""JSON as it goes over the wire: every amount of money as an exact number literal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

Json = dict[str, Any]  # a document of the wire: its shape is the other side's business


def plain_text(amount: Decimal) -> str:
    """Return an amount without exponent or trailing zeros: "0.0000025"."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact_number(value: object) -> orjson.Fragment:
    """Write a Decimal digit by digit; a float would change the last ones."""
    if isinstance(value, Decimal):
        return orjson.Fragment(plain_text(value))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(document: object) -> bytes:
    """Return compact JSON in UTF-8."""
    return orjson.dumps(document, default=exact_number)
