"""A share between 0 and 1: no money, so a plain number in JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer

Ratio = Annotated[
    Decimal,
    Field(gt=0, le=1, max_digits=5, decimal_places=4, allow_inf_nan=False),
    PlainSerializer(float, return_type=float, when_used="json"),
]
"""A pydantic field of a share above 0 and at most 1, with four decimals."""
