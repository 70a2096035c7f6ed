"""A bar chart as an SVG picture in a data URL: needs no library, no file and no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

WIDTH, ROW, LABELS, VALUES = 900, 30, 300, 170
BARS_MAX, LABEL_CHARS = 24, 40
CALM, HOT = "#2f6fde", "#d64545"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its share of the widest, what stands behind it, and whether it is bad news."""

    label: str
    value: Decimal
    text: str
    is_hot: bool = False


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return the chart as a `data:image/svg+xml` URL; the longest bar fills the width."""
    shown = list(bars[:BARS_MAX])
    widest = max((bar.value for bar in shown), default=Decimal(0))
    height = ROW * (len(shown) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="16" font-weight="bold">{escape(title)}</text>',
        *(_bar(number, bar, widest) for number, bar in enumerate(shown, start=1)),
    ]
    if len(bars) > BARS_MAX:
        left = len(bars) - BARS_MAX
        parts.append(f'<text x="12" y="{height - 8}" fill="#666666">and {left} more</text>')
    svg = "".join([*parts, "</svg>"])
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def _bar(number: int, bar: Bar, widest: Decimal) -> str:
    top, room = ROW * number + 8, WIDTH - LABELS - VALUES
    share = bar.value / widest if widest > 0 else Decimal(0)
    width = max(1, int(share * room))
    label = bar.label if len(bar.label) <= LABEL_CHARS else f"{bar.label[: LABEL_CHARS - 1]}…"
    return (
        f'<text x="{LABELS - 10}" y="{top + 15}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{LABELS}" y="{top}" width="{width}" height="20" rx="3"'
        f' fill="{HOT if bar.is_hot else CALM}"/>'
        f'<text x="{LABELS + width + 8}" y="{top + 15}">{escape(bar.text)}</text>'
    )
