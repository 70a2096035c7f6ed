"""Artifacts that the scheduled flows leave: a report to read, a picture to look at."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.artifacts import acreate_image_artifact, acreate_markdown_artifact

from models.chart import Bar, bar_chart


async def leave_report(key: str, markdown: str, description: str) -> None:
    """Leave a report; every run adds one to the key's history."""
    await acreate_markdown_artifact(markdown, key=key, description=description)


async def leave_chart(key: str, title: str, bars: Sequence[Bar]) -> None:
    """Leave a bar chart, if there is anything to show."""
    if bars:
        await acreate_image_artifact(bar_chart(title, bars), key=key, description=title)
