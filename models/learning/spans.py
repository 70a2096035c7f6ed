"""Hours that lie beside each other, as spans: fewer statements than hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

HOUR = timedelta(hours=1)
SPANS_MAX = 100  # more of them cost more than everything between the first and the last


class Span(NamedTuple):
    """From one instant up to another, which is not part of it."""

    since: datetime
    until: datetime


def spans_of(hours: Sequence[datetime]) -> list[Span]:
    """Return the spans that ascending hours make; one that holds all when they are too many."""
    spans: list[Span] = []
    for hour in hours:
        if spans and spans[-1].until == hour:
            spans[-1] = spans[-1]._replace(until=hour + HOUR)
        else:
            spans.append(Span(hour, hour + HOUR))
    if len(spans) > SPANS_MAX:
        return [Span(spans[0].since, spans[-1].until)]
    return spans
