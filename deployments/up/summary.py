"""What `switchyard up` says when everything is ready."""

from __future__ import annotations

from pathlib import Path

from deployments.up_file import UpFile
from tasks.adapters.settings import Settings


def summary(settings: Settings, up: UpFile, log_file: Path, seconds: float) -> list[str]:
    """Return the lines: what runs where, and what to do next."""
    money = "simulated upstream, no money moves" if settings.simulated else "real upstream"
    rows = [
        ("Prefect UI", up.prefect_api_url.removesuffix("/api")),
        ("HTTP API", up.api_url),
        ("Upstream", settings.upstream_url),
        ("Log", str(log_file)),
        ("Try", '.venv/bin/switchyard route "Is the payment service up?"'),
    ]
    lines = [f"  {name.ljust(11)} {value}" for name, value in rows if value]
    return [f"Switchyard is up after {seconds:.0f} s ({money}); Ctrl-C stops it.", *lines]
