"""The HTTP front door: the routing API, an OpenAI-compatible one, and the spend page."""

from __future__ import annotations

from deployments.api.options import ServeOptions
from deployments.api.service import run_api

__all__ = ["ServeOptions", "run_api"]
