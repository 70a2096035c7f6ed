"""Whether a Prefect server already has the deployments of this checkout."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from deployments.up.probes import fetch_json

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "prefect.yaml"
POOL = "switchyard"
VARIABLE = "switchyard_deployments"
SOURCES = ("flows", "models")  # parameter schemas and descriptions come from here


def digest(notify_block: str | None) -> str:
    """Return what changes with anything that the deployments and automations are made of."""
    content = hashlib.sha256(f"{version('prefect')} {notify_block}".encode())
    automations = ROOT / "deployments" / "automations.py"
    sources = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    for file in (PROJECT, automations, *sources):
        if file.exists():
            content.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return content.hexdigest()[:32]


def is_deployed(prefect_api_url: str, notify_block: str | None) -> bool:
    """Ask the server; what cannot be known counts as no.

    The digest is a variable of the server itself, so that two checkouts that share one, or a
    server that was made anew, are told apart. The count sees deployments deleted by hand.
    """
    wanted = {"work_pools": {"name": {"any_": [POOL]}}}
    try:
        stored = fetch_json(f"{prefect_api_url}/variables/name/{VARIABLE}")["value"]
        count = fetch_json(f"{prefect_api_url}/deployments/count", wanted)
    except (OSError, KeyError, TypeError):
        return False
    return bool(
        stored == digest(notify_block) and count >= PROJECT.read_text("utf-8").count("entrypoint:")
    )
