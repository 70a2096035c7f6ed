"""Placeholder until generated."""
from decimal import Decimal

FAMILY_SOURCE = "x"
FAMILY_RATES: dict[str, dict[str, float]] = {}
TIER_RATES: tuple[tuple[Decimal | None, float], ...] = ((None, 0.7),)
