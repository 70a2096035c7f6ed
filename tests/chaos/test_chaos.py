"""The short version of the chaos programme; the full one is `python tests/chaos/chaos.py`."""

from __future__ import annotations

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest


def _chaos() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chaos", Path(__file__).with_name("chaos.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(300)
def test_ledger_covers_every_charge_when_workers_and_postgres_are_killed(tmp_path: Path) -> None:
    outcome = _chaos().run_chaos(tmp_path, kills=5, database_kills=1, workers=2, pause_s=2)
    assert outcome.double_dispatches == 0
    assert outcome.invariant_violations == 0
    assert outcome.charges_without_row == 0
    assert outcome.unexplained_usd == Decimal(0)
    assert outcome.assumed_excess_usd >= 0
    assert outcome.audit_is_clean
    assert outcome.finished > 0
