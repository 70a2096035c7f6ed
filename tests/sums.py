"""Sums for three models of which the cheaper ones may err: the scene of the escalation tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator

CHEAP, MIDDLE, DEAR = "openai/gpt-4.1-nano", "openai/gpt-4.1-mini", "openai/gpt-4o"
BY_CHECK = {"models": [CHEAP, DEAR], "escalates": True, "check": "accept"}
BY_THREE = {"models": [CHEAP, MIDDLE, DEAR], "escalates": True, "check": "accept"}
AGREED = {"models": [CHEAP, MIDDLE, DEAR], "escalates": True, "check": "agreement"}


@contextmanager
def erring_simulator(folder: Path, right: Mapping[str, float]) -> Iterator[RunningSimulator]:
    """A simulator without latency; `right` says how likely each model answers well."""
    charges = folder / "charges.jsonl"
    config = SimulatorConfig(latency_scale=0, charge_log=charges, success_probability=right)
    with running_simulator(config) as running:
        yield running


def sums_policy(*orders: dict[str, Any], task_type: str = "sums", **changes: Any) -> dict[str, Any]:
    """A policy whose order begins with the dear model, and its chains."""
    document: dict[str, Any] = {
        "name": "sums",
        "models": [
            {"model": name, "priority": number}
            for number, name in enumerate((DEAR, MIDDLE, CHEAP), start=1)
        ],
        "max_cost_per_task": "0.10",
        "max_tokens": 200,
        "task_types": ["sums"],
        "complexity": "simple",
        "escalation": "on",
        "orders": [{"task_type": task_type, **order} for order in orders],
    }
    return document | changes
