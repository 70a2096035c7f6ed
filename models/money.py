"""Money as Decimal USD with twelve decimals, the precision of every column."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal, InvalidOperation

CENT_FRACTION = Decimal("0.000000000001")
ZERO_USD = Decimal(0)
USD_MAX = Decimal(10**7)  # NUMERIC(20, 12) has eight digits before the point


def round_up_usd(amount_usd: Decimal) -> Decimal:
    """Return the amount rounded up to 12 decimals, so that a hold never falls short of a bill.

    >>> round_up_usd(Decimal("0.0000000000001"))
    Decimal('1E-12')
    """
    return amount_usd.quantize(CENT_FRACTION, rounding=ROUND_UP)


def parse_usd(text: object) -> Decimal:
    """Return a finite amount of zero or more from a string, int or Decimal, rounded up.

    Raises ValueError for NaN, infinities, negatives, floats and what is no number.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise ValueError(f"{text!r} is not a decimal string")
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a decimal number") from error
    if not amount.is_finite() or amount < 0 or amount > USD_MAX:
        raise ValueError(f"{text!r} is not an amount between 0 and {USD_MAX}")
    return round_up_usd(amount)


def plain(amount_usd: Decimal) -> str:
    """Return the amount without exponent or trailing zeros: `"0.00012"`, `"5"`."""
    text = f"{amount_usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
