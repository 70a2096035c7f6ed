"""`switchyard backtest` on decisions that were really made."""

from __future__ import annotations

import json

ROUTE = ("route", "Is the payment service up?", "--trace", "ledger")


def test_changed_policy_is_judged_by_the_record_and_nothing_changes(ready, simulator, tmp_path):
    spent = ready(*ROUTE, "--json").document["cost_usd"]
    policy = ready("policies", "show", "ops", "--json").document
    policy["models"] = [{"model": "google/gemini-2.5-flash-lite", "priority": 1}]
    file = tmp_path / "ops.json"
    file.write_text(json.dumps(policy))

    report = ready("backtest", str(file), "--since", "1d", "--json").document
    assert report["policies"] == [{"name": "ops", "version": 1, "change": "updated"}]
    assert (report["decisions"], report["changed"]) == (1, 1)
    assert report["cost"]["recorded_usd"] == spent
    assert report["success"]["model_based_share"] == 1.0
    assert len(simulator.charges) == 1
    assert ready("policies", "show", "ops", "--json").document["version"] == 1

    told = ready("backtest", str(file))
    assert told.code == 0
    assert "google/gemini-2.5-flash-lite" in told.out and "change of success" in told.out
    assert "a model's word only" in told.out.replace("\n", " ") or "word only" in told.out
    assert "assumed: " in told.err


def test_unreadable_policy_is_refused_before_anything_is_read(run, tmp_path):
    file = tmp_path / "bad.json"
    file.write_text('{"name": "ops", "modles": []}')
    done = run("backtest", str(file))
    assert (done.code, done.out) == (2, "")
    assert "modles" in done.err
    missing = run("backtest", str(tmp_path / "none.json"))
    assert (missing.code, len(missing.err.splitlines())) == (2, 1)


def test_dry_run_shows_the_diff_and_the_backtest_and_changes_nothing(ready, tmp_path):
    ready(*ROUTE)
    policy = ready("policies", "show", "ops", "--json").document
    policy["max_tokens"] = 77
    file = tmp_path / "ops.json"
    file.write_text(json.dumps(policy))
    tried = ready("policies", "apply", str(file), "--dry-run", "--json").document
    assert tried["items"] == [{"name": "ops", "version": 2, "change": "updated"}]
    assert tried["changes"] == [
        {"policy": "ops", "field": "max_tokens", "before": 1000, "after": 77}
    ]
    assert tried["backtest"]["decisions"] == 1
    told = ready("policies", "apply", str(file), "--dry-run")
    assert "ops: max_tokens: 1000 -> 77" in told.out and "backtest of ops" in told.out
    assert "nothing was changed" in told.err
    assert ready("policies", "show", "ops", "--json").document["max_tokens"] == 1000
