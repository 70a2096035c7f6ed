"""Decisions in the lane `ledger`: keys, deadlines, checks, cancellation, the books."""

from __future__ import annotations

import asyncio
import uuid
from decimal import Decimal

import pytest

from models.errors import IdempotencyConflict, InvalidRequest, NotFound
from models.result import RoutingResult

pytestmark = pytest.mark.anyio

FIRST, SECOND, THIRD = "openai/gpt-4o", "anthropic/claude-sonnet-5.5", "openai/gpt-4.1-mini"


async def test_result_and_row_agree_with_the_charge_log_to_the_last_digit(bench):
    results = [await bench.route(prompt, task_type=None) for prompt in PROMPTS]
    charges = {charge.metadata["switchyard_attempt"]: charge for charge in bench.charges}
    for row in await bench.rows():
        charge = charges[f"{row['decision_id']}/{row['attempt_no']}"]
        assert row["actual_cost"] == charge.true_cost
        assert row["prompt_tokens"] == charge.prompt_tokens
        assert row["completion_tokens"] == charge.completion_tokens
        assert row["tokens_used"] == charge.prompt_tokens + charge.completion_tokens
        assert row["generation_id"] == charge.generation_id
    assert sum(result.cost_usd for result in results) == bench.true_spend
    assert await bench.balance() == (bench.true_spend, 0)


PROMPTS = ("Is the API up?", "Summarise: a b c d e f.", "Fix `x = [1,2`", "Compare SQL with NoSQL.")


async def test_known_key_returns_the_stored_result_and_pays_nothing(bench):
    first = await bench.route(idempotency_key="k1")
    again = await bench.route(idempotency_key="k1")
    assert again == first
    assert bench.asked == 1


async def test_task_and_step_are_a_key_but_a_task_alone_is_not(bench):
    task_id = str(uuid.uuid4())
    stepped = [await bench.route(task_id=task_id, step="fix") for _ in range(2)]
    assert stepped[0].decision_id == stepped[1].decision_id
    loose = [await bench.route(task_id=task_id) for _ in range(2)]
    assert loose[0].decision_id != loose[1].decision_id
    assert bench.asked == 3


async def test_known_key_with_another_request_is_an_error_that_sends_nothing(bench):
    await bench.route(idempotency_key="k1")
    with pytest.raises(IdempotencyConflict, match="'k1'"):
        await bench.route("Another bug entirely.", idempotency_key="k1")
    assert bench.asked == 1


async def test_racing_requests_of_one_key_are_paid_once(bench):
    results = await asyncio.gather(*(bench.route(idempotency_key="race") for _ in range(8)))
    assert len({result.decision_id for result in results}) == 1
    assert len({result.content for result in results}) == 1
    assert len(bench.charges) == 1
    assert await bench.balance() == (bench.true_spend, 0)


async def test_answer_is_taken_from_the_row_when_the_process_died_before_the_result(bench):
    first = await bench.route(idempotency_key="crashed")
    await bench.runtime.database.execute(
        "UPDATE routing_decisions SET result = NULL, finished_at = NULL, status = 'running'"
    )
    again = await bench.route(idempotency_key="crashed")
    assert (again.content, again.cost_usd) == (first.content, first.cost_usd)
    assert again.reasons[-1] == "taken from the attempt's stored answer"
    assert bench.asked == 1


async def test_failed_request_goes_on_with_a_new_attempt_under_its_key(bench):
    bench.fail("bad_request")
    failed = await bench.route(idempotency_key="retry")
    mended = await bench.route(idempotency_key="retry")
    assert (failed.status, mended.status) == ("failed", "completed")
    assert failed.decision_id == mended.decision_id
    rows = await bench.rows(mended.decision_id)
    assert [(row["attempt_no"], row["state"]) for row in rows] == [(1, "RELEASED"), (2, "SETTLED")]


async def test_unknown_policy_is_refused_before_anything_is_recorded(bench):
    with pytest.raises(NotFound, match="'nope'"):
        await bench.route(policy="nope")
    assert bench.asked == 0
    assert await bench.runtime.database.fetch_all("SELECT id FROM routing_decisions") == []


@pytest.mark.parametrize(
    ("accept", "problem"),
    [({"regex": "("}, "accept.regex"), ({"json_schema": {"type": 5}}, "accept.json_schema")],
)
async def test_check_that_cannot_be_run_is_refused_before_it_is_paid(bench, accept, problem):
    with pytest.raises(InvalidRequest, match=problem):
        await bench.route(accept=accept)
    assert bench.asked == 0


async def test_answer_that_fails_its_check_is_paid_and_the_next_model_asked(bench):
    result = await bench.route(accept={"regex": "never in any answer 8713"})
    rows = await bench.rows(result.decision_id)
    assert result.status == "failed"
    assert [row["outcome"] for row in rows] == ["rejected_answer"] * 3
    assert {row["state"] for row in rows} == {"SETTLED"}
    assert await bench.balance() == (bench.true_spend, 0)


async def test_answer_that_passes_its_check_ends_the_request(bench):
    result = await bench.route(accept={"min_chars": 1})
    assert (result.status, bench.asked) == ("completed", 1)


async def test_deadline_ends_a_hanging_call_and_keeps_its_hold(bench):
    bench.fail("hang", times=None)
    result = await bench.route(deadline_s=1)
    rows = await bench.rows(result.decision_id)
    assert result.status == "failed"
    assert {row["state"] for row in rows} == {"UNKNOWN"}
    assert (await bench.balance())[1] == sum(row["estimated_cost"] for row in rows)
    assert result.latency_ms < 30_000
    await bench.assert_money_is_covered()


async def test_cancelled_call_keeps_its_hold_as_unknown(bench):
    bench.fail("hang")
    running = asyncio.create_task(bench.route())
    await _until_it_hangs(bench)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (row,) = await bench.rows()
    assert (row["state"], row["error_kind"]) == ("UNKNOWN", "cancelled")
    assert (await bench.balance())[1] == row["estimated_cost"]
    await bench.assert_money_is_covered()


async def _until_it_hangs(bench) -> None:
    (standing,) = bench.simulator.simulator.faults.standings
    for _ in range(1000):
        if standing.fired:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the request never reached the upstream")


async def test_unknown_call_is_settled_by_its_generation_when_asked_again(bench):
    bench.fail("cut", times=None)
    failed = await bench.route(idempotency_key="cut")
    assert {row["state"] for row in await bench.rows()} == {"UNKNOWN"}
    bench.simulator.clear_faults()
    await bench.runtime.database.execute(
        "UPDATE model_selections SET reconcile_after = now() - interval '1 second'"
    )
    mended = await bench.route(idempotency_key="cut")
    assert (failed.status, mended.status) == ("failed", "completed")
    rows = await bench.rows()
    assert {row["settle_source"] for row in rows} == {"generation_api", "usage"}
    assert await bench.balance() == (bench.true_spend, 0)


async def test_request_above_its_own_limit_is_rejected_and_nothing_sent(bench):
    result = await bench.route(max_cost_usd="0.0000001")
    assert (result.status, result.cost_usd, bench.asked) == ("rejected", 0, 0)
    assert "0.0000001" in " ".join(result.reasons)


async def test_temperature_tools_and_unknown_fields_reach_the_upstream(bench):
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    result = await bench.route(tools=tools, tool_choice="auto", extra_body={"seed": 7})
    assert result.status == "completed"
    assert result.message is not None


async def test_result_document_is_json_with_money_as_strings(bench):
    result = await bench.route()
    document = result.model_dump(mode="json")
    assert document["cost_usd"] == "0.0009075"
    assert document["attempts"][0]["cost_usd"] == "0.0009075"
    assert RoutingResult.model_validate(document) == result
    assert document["simulated"] is True
    assert document["flow_run_id"] is None


async def test_stream_falls_back_before_its_first_token(bench, collected):
    bench.fail("unavailable", {"model": FIRST})
    result = await bench.route(sink=collected)
    assert result.status == "completed"
    assert collected.chosen_models == [FIRST, SECOND]
    assert collected.text == result.content


async def test_stream_never_falls_back_after_its_first_token(bench, collected):
    bench.fail("cut", {"stream": True}, at=0.6)
    result = await bench.route(sink=collected)
    assert result.status == "failed"
    assert collected.chosen_models == [FIRST]
    assert collected.text
    (row,) = await bench.rows()
    assert row["state"] == "UNKNOWN"
    await bench.assert_money_is_covered()


async def test_streamed_answer_that_fails_its_check_is_not_replaced_by_another(bench, collected):
    result = await bench.route(sink=collected, accept={"regex": "never in any answer 8713"})
    assert result.status == "failed"
    assert collected.chosen_models == [FIRST]
    assert await bench.balance() == (bench.true_spend, 0)


async def test_stream_without_its_end_is_unknown(bench, collected):
    bench.fail("no_done", {"stream": True})
    result = await bench.route(sink=collected)
    (row,) = await bench.rows()
    assert (result.status, row["state"]) == ("failed", "UNKNOWN")
    await bench.assert_money_is_covered()


async def test_concurrent_requests_never_pass_the_last_cents(bench):
    from models.budget import parse_budget

    limit = Decimal("0.40")  # four holds of some $0.08 fit, the bills are far smaller
    document = {"budget_type": "global", "budget_period": "daily", "budget_amount": str(limit)}
    await bench.runtime.ledger.set_budget(parse_budget(document))
    results = await asyncio.gather(*(bench.route(f"Bug {n}: fix it.") for n in range(20)))
    spent, held = await bench.balance()
    assert spent + held <= limit
    assert spent == bench.true_spend
    assert {str(result.status) for result in results} <= {"completed", "rejected"}
