"""The short version of the soak; the full one is `python tests/soak/soak.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.soak import broken_promise, run_soak


@pytest.mark.timeout(300)
def test_api_answers_everything_and_its_ledger_is_the_charge_log(tmp_path: Path) -> None:
    soaked = run_soak(tmp_path, ledger=150, flow=10)  # and ends in time with what it has started
    assert broken_promise(soaked) is None
    assert sum(soaked.statuses.values()) == 160
    assert soaked.faults > 0
