"""Success against cost as an SVG picture: plain text, no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10

from benchmarks.routing.curves import Point, hull

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 820, 460, 70, 40, 260, 50
COLOURS = ("#777777", "#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e")


def picture(title: str, curves: Mapping[str, Sequence[Point]]) -> str:
    """Return the hulls of all curves, cost per 1,000 requests on a logarithmic axis."""
    points = [point for curve in curves.values() for point in curve]
    frame = _Frame(points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *frame.axes(),
    ]
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        corners = hull(curve)
        line = " ".join(f"{frame.x(p.cost_usd):.1f},{frame.y(p.success):.1f}" for p in corners)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{frame.x(p.cost_usd):.1f}" cy="{frame.y(p.success):.1f}" r="3"'
            f' fill="{colour}"/>'
            for p in (curve if number == 0 else corners)
        ]
        y = TOP + 18 * number
        x = WIDTH - RIGHT + 16
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 11}">{escape(name.replace("*", ""))}</text>')
    return "\n".join([*parts, "</svg>\n"])


class _Frame:
    """The axes: costs by their logarithm, successes as they are."""

    def __init__(self, points: Sequence[Point]) -> None:
        costs = [max(point.cost_usd, 1e-9) for point in points]
        self.low, self.high = log10(min(costs)) - 0.05, log10(max(costs)) + 0.05
        self.bottom = floor(min(point.success for point in points) * 20) / 20
        self.top = max(point.success for point in points) + 0.01

    def x(self, cost_usd: float) -> float:
        share = (log10(max(cost_usd, 1e-9)) - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, success: float) -> float:
        share = (success - self.bottom) / (self.top - self.bottom)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> list[str]:
        parts = []
        level = self.bottom
        while level <= self.top:
            y = self.y(level)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
            parts.append(f'<text x="{LEFT - 40}" y="{y + 4:.1f}">{level:.2f}</text>')
            level = round(level + 0.05, 2)
        for exponent in range(floor(self.low), floor(self.high) + 1):
            for digit in (1, 3):
                cost = digit * 10.0**exponent
                if not self.low <= log10(cost) <= self.high:
                    continue
                x = self.x(cost)
                parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eeeeee"/>')
                parts.append(f'<text x="{x - 14:.1f}" y="{HEIGHT - BOTTOM + 16}">'
                             f"${1000 * cost:g}</text>")  # fmt: skip
        middle = LEFT + (WIDTH - LEFT - RIGHT) / 2 - 70
        parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 12}">USD per 1,000 requests</text>')
        return parts
