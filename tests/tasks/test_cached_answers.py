"""The response cache: what is answered again, for whom, how long, and what it costs."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from deployments.api.lanes import Lanes
from deployments.api.options import ServeOptions
from models.policy import parse_policy
from models.request import RoutingRequest
from tasks.adapters.explained import explained_decision
from tasks.adapters.replays import replay_decisions
from tasks.adapters.store import answers as store
from tasks.adapters.store.feedback import save_feedback
from tasks.adapters.store.policies import apply_policies, read_policy
from tests.bench import PROMPT, Bench, Collected

pytestmark = pytest.mark.anyio
FIRST, SECOND = "openai/gpt-4o", "anthropic/claude-sonnet-5.5"


async def with_cache(bench: Bench, **cache: Any) -> None:
    """Give the policy that serves bug fixes a cache."""
    policy = await read_policy(bench.runtime.database, "code")
    document = policy.stored() | {"cache": {"ttl_s": 600} | cache}
    await apply_policies(
        bench.runtime.database, [parse_policy(document)], source="person", reason="a cache"
    )


async def test_policy_without_a_cache_asks_every_time(bench: Bench) -> None:
    results = [await bench.route() for _ in range(2)]
    assert (bench.asked, [result.cached for result in results]) == (2, [False, False])


async def test_equal_request_gets_the_kept_answer_for_nothing(bench: Bench) -> None:
    await with_cache(bench)
    first, again = [await bench.route() for _ in range(2)]
    assert (bench.asked, first.cached, again.cached) == (1, False, True)
    assert (again.content, again.model, again.message) == (
        first.content,
        first.model,
        first.message,
    )
    assert (again.cost_usd, again.estimated_cost_usd, again.attempts) == (0, 0, [])
    assert again.reasons[-1].startswith(f"answered from the cache of decision {first.decision_id}")
    assert await bench.rows(again.decision_id) == []  # nothing held
    assert await bench.balance() == (bench.true_spend, Decimal(0))


async def test_hit_is_explained_and_replayed_as_any_decision(bench: Bench) -> None:
    await with_cache(bench)
    first, again = [await bench.route() for _ in range(2)]
    explained = await explained_decision(bench.runtime, again.decision_id)
    assert explained["reused_from"] == first.decision_id
    assert explained["considered"]
    report = await replay_decisions(bench.runtime, again.decision_id)
    assert (report.replayed, report.identical) == (1, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "Another bug."},
        {"temperature": 0.3},
        {"max_tokens": 77},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"extra_body": {"seed": 7}},
        {"accept": {"min_chars": 2}},
        {"model": SECOND},
        {"worker_id": "w2"},
        {"tenant": "another key"},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_request_that_differs_is_asked(bench: Bench, fields: dict[str, Any]) -> None:
    await with_cache(bench)
    await bench.route()
    assert not (await bench.route(**fields)).cached
    assert bench.asked == 2


@pytest.mark.parametrize(
    "fields",
    [{"metadata": {"mine": 1}}, {"priority": 5}, {"deadline_s": 60}, {"idempotency_key": "k"}],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_shapes_no_answer_makes_no_difference(
    bench: Bench, fields: dict[str, Any]
) -> None:
    await with_cache(bench)
    await bench.route()
    assert (await bench.route(**fields)).cached


async def test_workers_share_answers_only_where_the_policy_says_so(bench: Bench) -> None:
    await with_cache(bench, shared=True)
    await bench.route()
    assert (await bench.route(worker_id="w2", tenant="another key")).cached
    assert bench.asked == 1


async def test_changed_policy_forgets_its_answers(bench: Bench) -> None:
    await with_cache(bench)
    await bench.route()
    await with_cache(bench, ttl_s=601)
    assert not (await bench.route()).cached


async def test_answer_for_any_model_serves_when_another_model_would_be_asked(bench: Bench) -> None:
    await with_cache(bench)
    first = await bench.route()
    await _rest(bench, FIRST)
    again = await bench.route()
    assert (again.cached, again.model) == (True, first.model)


async def test_answer_bound_to_its_model_serves_only_while_that_is_first(bench: Bench) -> None:
    await with_cache(bench, scope="model")
    assert [(await bench.route()).cached for _ in range(2)] == [False, True]
    await _rest(bench, FIRST)
    again = await bench.route()
    assert (again.cached, again.model) == (False, SECOND)


async def _rest(bench: Bench, model_id: str) -> None:
    await bench.runtime.database.execute(
        "UPDATE model_catalogue SET suspended_reason = 'a test' WHERE model_id = %s", (model_id,)
    )


async def test_hit_needs_no_budget(bench: Bench) -> None:
    from models.budget import parse_budget

    await with_cache(bench)
    await bench.route()
    spent = {"budget_type": "global", "budget_period": "daily", "budget_amount": "0.000001"}
    await bench.runtime.ledger.set_budget(parse_budget(spent))
    assert (await bench.route()).cached
    assert (await bench.route("Another bug.")).status == "rejected"


async def test_answer_ends_with_its_time_and_is_swept(bench: Bench) -> None:
    await with_cache(bench)
    await bench.route()
    await bench.runtime.database.execute(
        "UPDATE cached_answers SET expires_at = now() - interval '1 second'"
    )
    assert not (await bench.route("Another bug.")).cached
    assert await store.sweep_answers(bench.runtime.database, bytes_max=10**9) == 1
    assert not (await bench.route()).cached


async def test_sweep_keeps_the_newest_that_fit(bench: Bench) -> None:
    await with_cache(bench)
    prompts = ["Bug 1: fix it.", "Bug 2: fix it.", "Bug 3: fix it."]
    for prompt in prompts:
        await bench.route(prompt)
    sizes = await bench.runtime.database.fetch_all(
        "SELECT bytes FROM cached_answers ORDER BY created_at DESC"
    )
    room = sizes[0]["bytes"] + sizes[1]["bytes"]
    assert await store.sweep_answers(bench.runtime.database, bytes_max=room) == 1
    assert [(await bench.route(prompt)).cached for prompt in prompts[1:]] == [True, True]
    assert not (await bench.route(prompts[0])).cached


async def test_purge_drops_the_answers_of_one_policy(bench: Bench) -> None:
    await with_cache(bench)
    await bench.route()
    assert await store.purge_answers(bench.runtime.database, "ops") == 0
    assert await store.purge_answers(bench.runtime.database, "code") == 1
    assert not (await bench.route()).cached


async def test_statistics_count_answers_and_hits(bench: Bench) -> None:
    await with_cache(bench)
    for _ in range(3):
        await bench.route()
    found = await store.answer_statistics(bench.runtime.database)
    assert (found["entries"], found["hits"], found["in_flight"]) == (1, 2, 0)
    assert found["policies"][0]["policy"] == "code"
    assert found["bytes"] > 0


async def test_answer_that_was_cut_is_not_kept(bench: Bench) -> None:
    await with_cache(bench)
    cut = await bench.route(max_tokens=5)
    assert cut.finish_reason == "length"
    assert not (await bench.route(max_tokens=5)).cached


async def test_answer_that_fails_its_check_is_not_kept(bench: Bench) -> None:
    await with_cache(bench)
    results = [await bench.route(accept={"regex": "never said 8713"}) for _ in range(2)]
    assert [(str(one.status), one.cached) for one in results] == [("failed", False)] * 2
    assert (await store.answer_statistics(bench.runtime.database))["entries"] == 0


async def test_tool_calls_are_kept_and_given_again_whole(bench: Bench) -> None:
    await with_cache(bench)
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    asked = {"tools": tools, "tool_choice": "required"}
    first, again = [await bench.route(**asked) for _ in range(2)]
    assert (first.finish_reason, again.cached) == ("tool_calls", True)
    assert first.message is not None and first.message["tool_calls"]
    assert again.message == first.message


async def test_streaming_caller_gets_a_hit_as_a_stream(bench: Bench, collected: Collected) -> None:
    await with_cache(bench)
    first = await bench.route()
    again = await bench.route(sink=collected)
    assert (again.cached, collected.text) == (True, first.content)
    assert collected.chosen_models == [first.model]


async def test_streamed_answer_is_kept_as_any(bench: Bench, collected: Collected) -> None:
    await with_cache(bench)
    await bench.route(sink=collected)
    assert (await bench.route()).content == collected.text
    assert bench.asked == 1


async def test_known_key_keeps_the_hit_it_was_answered_with(bench: Bench) -> None:
    await with_cache(bench)
    await bench.route()
    hit = await bench.route(idempotency_key="k1")
    await store.purge_answers(bench.runtime.database, None)
    assert await bench.route(idempotency_key="k1") == hit


@pytest.mark.parametrize(("score", "cached"), [("0.4", False), ("0.5", True)])
async def test_answer_that_somebody_found_bad_is_not_given_again(
    bench: Bench, score: str, cached: bool
) -> None:
    await with_cache(bench)
    await bench.route()
    hit = await bench.route()
    await save_feedback(
        bench.runtime.database,
        hit.decision_id,
        attempt_no=None,
        score=Decimal(score),
        given_by=None,
    )
    assert (await bench.route()).cached is cached


async def test_gathered_steps_share_answers_with_the_plain_ones(bench: Bench) -> None:
    await with_cache(bench)
    first = await bench.route()
    lanes = Lanes(ServeOptions(lane="ledger"), prefect_known=False)
    request = RoutingRequest.model_validate(
        {"prompt": "Bug 4: fix it.", "task_type": "fix_bug", "worker_id": "w1"}
    )
    asked = await lanes.run(request, "ledger")
    assert (asked.cached, (await bench.route("Bug 4: fix it.")).cached) == (False, True)
    same = request.model_copy(update={"prompt": PROMPT})
    hit = await lanes.run(same, "ledger")
    assert (hit.cached, hit.content, hit.cost_usd) == (True, first.content, 0)
    report = await replay_decisions(bench.runtime, None)
    assert report.identical == report.replayed == 4


async def test_hit_needs_nobodys_approval(bench: Bench) -> None:
    await with_cache(bench)
    waiting = await bench.route(approval_above_usd="0.0000001")
    assert waiting.status == "awaiting_approval"
    await bench.route()
    assert (await bench.route(approval_above_usd="0.0000001")).cached


async def test_concurrent_equal_requests_are_asked_once(bench: Bench) -> None:
    await with_cache(bench)
    results = await asyncio.gather(*(bench.route() for _ in range(12)))
    assert (len(bench.charges), bench.asked) == (1, 1)
    assert sorted(result.cached for result in results) == [False] + [True] * 11
    assert len({result.content for result in results}) == 1
