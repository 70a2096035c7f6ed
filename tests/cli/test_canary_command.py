"""`policies apply --canary` and `policies canary`: begun, shown, ended by command."""

from __future__ import annotations

import json

ROUTE = ("route", "Is the payment service up?", "--trace", "ledger")


def test_canary_is_begun_shown_met_and_promoted_by_command(ready, tmp_path):
    policy = ready("policies", "show", "ops", "--json").document
    policy["max_tokens"] = 77
    file = tmp_path / "ops.json"
    file.write_text(json.dumps(policy))

    begun = ready("policies", "apply", str(file), "--canary", "0.9999", "--json")
    assert begun.document["items"] == [{"name": "ops", "version": 2, "change": "canary"}]
    assert ready("policies", "show", "ops", "--json").document["version"] == 1
    result = ready(*ROUTE, "--json").document
    assert result["policy_version"] == 2
    assert "canary version 2 in place of 1" in ready("explain", result["decision_id"]).out

    shown = ready("policies", "canary", "ops", "--json").document
    assert (shown["status"], shown["canary"]["requests"]) == ("running", 1)
    assert shown["verdict"]["move"] == "wait"
    people = ready("policies", "canary", "ops")
    assert "the evidence says wait" in people.out

    ended = ready("policies", "canary", "ops", "--promote", "--reason", "good", "--json").document
    assert (ended["status"], ended["end_reason"]) == ("promoted", "good")
    assert ready("policies", "show", "ops", "--json").document["max_tokens"] == 77
    none_left = ready("policies", "canary", "ops", "--abort")
    assert (none_left.code, none_left.err.count("\n")) == (2, 1)
    assert "no running canary" in none_left.err


def test_share_and_actions_that_make_no_sense_are_refused(ready, run, tmp_path):
    file = tmp_path / "ops.json"
    file.write_text(json.dumps(ready("policies", "show", "ops", "--json").document))
    for arguments, problem in [
        (("apply", str(file), "--canary", "1.5"), "not between 0 and 1"),
        (("canary", "ops", "--promote", "--abort"), "not both"),
    ]:
        done = run("policies", *arguments)
        assert (done.code, done.out) == (2, "")
        assert problem in done.err
    assert "would not change" in ready("policies", "apply", str(file), "--canary", "0.1").err
