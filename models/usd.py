"""Money as a pydantic field; apart from models/money.py, so that plain arithmetic loads fast."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer

from models.money import USD_MAX, plain, round_up_usd

Usd = Annotated[
    Decimal,
    Field(ge=0, le=USD_MAX, allow_inf_nan=False),
    AfterValidator(round_up_usd),
    PlainSerializer(plain, return_type=str, when_used="json"),
]
"""A pydantic field of money: decimal strings in JSON, rounded up to 12 decimals."""
