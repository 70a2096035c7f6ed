"""A simulated OpenRouter: the same API, errors and prices, a ground-truth charge log, faults."""

from __future__ import annotations

from deployments.simulator.app import create_app
from deployments.simulator.charges import Charge, read_charges
from deployments.simulator.config import SimulatorConfig, UsageChunk
from deployments.simulator.faults import Fault, FaultMatch, FaultRule
from deployments.simulator.server import RunningSimulator, running_simulator

__all__ = [
    "Charge",
    "Fault",
    "FaultMatch",
    "FaultRule",
    "RunningSimulator",
    "SimulatorConfig",
    "UsageChunk",
    "create_app",
    "read_charges",
    "running_simulator",
]
