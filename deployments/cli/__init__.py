"""The `switchyard` command."""

from deployments.cli.main import main

__all__ = ["main"]
