"""Every command with and without `--json`, against a real database and the simulator."""

from __future__ import annotations

import json
from decimal import Decimal

import psycopg
import pytest
from psycopg.rows import dict_row

from deployments.simulator import Fault, FaultRule

ROUTE = ("route", "Is the payment service up?", "--trace", "ledger", "--worker", "w1")


def test_route_json_is_exactly_the_result_document_and_agrees_with_the_charge_log(
    ready, simulator, routing_url
):
    done = ready(*ROUTE, "--json")
    assert (done.code, done.err) == (0, "")
    result = done.document
    (charge,) = simulator.charges
    assert result["status"] == "completed"
    assert result["policy"] == "ops"
    assert Decimal(result["cost_usd"]) == charge.true_cost
    assert result["prompt_tokens"] == charge.prompt_tokens
    assert result["completion_tokens"] == charge.completion_tokens
    assert result["simulated"] is True
    with psycopg.connect(routing_url, row_factory=dict_row) as connection:
        row = connection.execute("SELECT * FROM model_selections").fetchone()
    assert row is not None
    assert row["actual_cost"] == charge.true_cost
    assert str(row["decision_id"]) == result["decision_id"]


def test_route_prints_the_answer_on_stdout_and_the_reasons_on_stderr(ready, simulator):
    done = ready(*ROUTE)
    assert done.code == 0
    assert done.out.startswith("OK (Is the payment service up)")
    assert "completed (simulated)" in done.err
    assert "switchyard explain" in done.err


def test_route_streams_to_stdout_and_ends_with_a_line_end(ready, simulator):
    whole = ready(*ROUTE)
    streamed = ready(*ROUTE, "--stream")
    assert streamed.code == 0
    assert streamed.out == whole.out
    assert "[ops: " in streamed.err


@pytest.mark.parametrize(
    ("options", "code", "status"),
    [
        (("--max-cost", "0.0000001"), 3, "rejected"),
        (("--approval-above", "0.0000001"), 4, "awaiting_approval"),
    ],
)
def test_exit_code_says_how_the_request_ended(ready, simulator, options, code, status):
    done = ready(*ROUTE, *options, "--json")
    assert (done.code, done.document["status"]) == (code, status)
    assert simulator.charges == []


def test_parked_request_ends_with_four(ready, simulator):
    simulator.add_fault(FaultRule(fault=Fault.OUT_OF_CREDITS))
    done = ready(*ROUTE, "--on-exhausted", "park", "--json")
    assert (done.code, done.document["status"]) == (4, "parked")
    assert simulator.charges == []


def test_same_key_is_paid_once_and_another_request_under_it_is_refused(ready, simulator):
    first = ready(*ROUTE, "--idempotency-key", "k", "--json")
    again = ready(*ROUTE, "--idempotency-key", "k", "--json")
    other = ready("route", "Other.", "--trace", "ledger", "--idempotency-key", "k", "--json")
    assert first.document == again.document
    assert (other.code, other.out, len(other.err.splitlines())) == (2, "", 1)
    assert len(simulator.charges) == 1


def test_reports_explain_replay_and_audit_agree_after_a_request(ready, simulator):
    decision_id = ready(*ROUTE, "--json").document["decision_id"]
    costs = ready("costs", "--json", "--group-by", "worker").document
    assert Decimal(costs["total_cost_usd"]) == simulator.charges[0].true_cost
    assert costs["groups"][0]["key"] == "w1"
    performance = ready("performance", "--json").document
    assert performance["groups"][0]["requests"] == 1
    explained = ready("explain", decision_id, "--json").document
    assert explained["decision_id"] == decision_id
    assert explained["attempts"][0]["outcome"] == "ok"
    replayed = ready("replay", "--all", "--json")
    assert (replayed.code, replayed.document["replayed"]) == (0, replayed.document["identical"])
    audit = ready("audit", "--json")
    assert (audit.code, audit.document["differences"]) == (0, [])
    assert Decimal(audit.document["spent_usd"]) == simulator.charges[0].true_cost


def test_tables_for_people_name_what_was_asked(ready):
    decision_id = ready(*ROUTE, "--json").document["decision_id"]
    for arguments, words in [
        (("costs",), "ops"),
        (("performance",), "100.0%"),
        (("budgets", "list"), "global daily"),
        (("policies", "list"), "deep_research"),
        (("explain", decision_id), "gave the answer"),
    ]:
        done = ready(*arguments)
        assert done.code == 0
        assert words in done.out
    assert "identical" in ready("replay", decision_id).err
    assert "to the last digit" in ready("audit").err


def test_policies_are_shown_applied_tried_and_taken_out_of_use(ready, tmp_path):
    listed = ready("policies", "list", "--json").document
    assert {item["name"] for item in listed["items"]} == {"normal", "deep_research", "code", "ops"}
    policy = ready("policies", "show", "ops", "--json").document
    policy["max_tokens"] = 77
    file = tmp_path / "ops.json"
    file.write_text(json.dumps(policy))
    tried = ready("policies", "apply", str(file), "--dry-run", "--json").document
    assert (tried["dry_run"], tried["items"][0]["change"]) == (True, "updated")
    assert ready("policies", "show", "ops", "--json").document["max_tokens"] == 1000
    applied = ready("policies", "apply", str(file), "--json").document
    assert applied["items"] == [{"name": "ops", "version": 2, "change": "updated"}]
    assert ready("policies", "show", "ops", "--json").document["max_tokens"] == 77
    gone = ready("policies", "deactivate", "ops", "--json").document
    assert (gone["name"], gone["version"]) == ("ops", 3)
    assert ready("policies", "show", "ops", "--json").document["is_active"] is False


def test_budget_is_set_and_listed(ready):
    made = ready("budgets", "set", "worker:w1", "weekly", "1.50", "--alert", "0.5", "--json")
    assert made.document["budget_amount"] == "1.5"
    listed = ready("budgets", "list", "--json").document["items"]
    names = {(i["budget_type"], i["scope_key"], i["budget_period"]) for i in listed}
    assert names == {("global", "*", "daily"), ("worker", "w1", "weekly")}


def test_schema_upgrade_is_a_command_that_may_be_repeated(ready):
    done = ready("db", "upgrade", "--json")
    assert done.code == 0
    assert done.document["revision"] >= "0001"


def test_cache_is_counted_and_purged_by_policy(ready, tmp_path):
    (policy,) = [
        p for p in ready("policies", "list", "--json").document["items"] if p["name"] == "ops"
    ]
    policy.pop("version")
    file = tmp_path / "ops.json"
    file.write_text(json.dumps(policy | {"cache": {"ttl_s": 600}}))
    assert ready("policies", "apply", str(file)).code == 0
    assert [ready(*ROUTE, "--json").document["cached"] for _ in range(2)] == [False, True]
    shown = ready("cache", "stats", "--json").document
    assert (shown["entries"], shown["hits"]) == (1, 1)
    assert "ops" in ready("cache", "stats").out
    assert ready("cache", "purge", "--policy", "nope").code == 2
    assert ready("cache", "purge", "--policy", "ops", "--json").document == {"purged": 1}


def test_limits_are_set_listed_and_unset(ready):
    made = ready("limits", "set", "*", "--rpm", "60", "--concurrency", "8", "--json")
    (limit,) = made.document["items"]
    assert (limit["model"], limit["requests"], limit["concurrency"]) == ("*", 60, 8)
    assert "60 in 60 s" in ready("limits", "list").out
    assert ready("limits", "unset", "*", "--json").document["items"] == []


@pytest.mark.parametrize(
    "arguments", [("set", "*"), ("set", "gpt", "--rpm", "5"), ("set", "*", "--rpm", "0")]
)
def test_wrong_limit_is_bad_input(run, arguments):
    done = run("limits", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
