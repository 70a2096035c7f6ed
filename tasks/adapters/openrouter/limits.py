"""How long an upstream asks to wait."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from models.rate_limit import StatedLimit

WAIT_S_MAX = 10.0**8  # three years: a longer wait is nonsense
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
OWN_LIMIT_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def retry_after_s(value: object, *, now: datetime) -> float | None:
    """Return the seconds of a `Retry-After`: a number or an HTTP date; None for anything else.

    A date in the past gives 0. RFC 9110, section 10.2.3.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if 0 <= value <= WAIT_S_MAX else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if SECONDS.fullmatch(text):
        return float(text) if float(text) <= WAIT_S_MAX else None
    return _seconds_until(text, now)


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):  # what email.utils raises on garbage
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        wait_s = (moment - now).total_seconds()
    except OverflowError:
        return None
    return max(0.0, wait_s) if wait_s <= WAIT_S_MAX else None


def reset_after_s(value: object, *, now: datetime) -> float | None:
    """Return the seconds until an `X-RateLimit-Reset`, which is in epoch milliseconds."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{12,14}", value.strip()):
        return None
    wait_s = int(value) / 1000 - now.timestamp()
    return max(0.0, wait_s) if wait_s <= WAIT_S_MAX else None


def states_own_limit(headers: Mapping[str, str]) -> bool:
    """Whether X-RateLimit-* is present: only OpenRouter's own 429s carry it."""
    return any(name in headers for name in OWN_LIMIT_HEADERS)


def stated_limit(headers: Mapping[str, str], *, now: datetime) -> StatedLimit | None:
    """Return the limit that X-RateLimit-Limit and -Reset state, None unless both can be read."""
    requests = headers.get("x-ratelimit-limit", "").strip()
    reset_s = reset_after_s(headers.get("x-ratelimit-reset"), now=now)
    if reset_s is None or not re.fullmatch(r"[0-9]{1,9}", requests):
        return None
    return StatedLimit(int(requests), reset_s)
