"""What was saved against the first model, kind by kind, with the arithmetic shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deployments.batches import BatchOrder, run_batch
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from models.policy import parse_policy
from models.result import RoutingResult
from tasks.adapters.settings import Settings
from tasks.adapters.store.costs import CostGroup, cost_report
from tasks.adapters.store.policies import apply_policies
from tasks.adapters.store.reports import Span
from tests.bench import PROMPT, Bench

pytestmark = pytest.mark.anyio
FIRST, CHEAP = "openai/gpt-4o", "openai/gpt-4.1-nano"
ZERO = Decimal(0)


@pytest.fixture
def right() -> dict[str, float]:
    """How likely each model answers well; a test may change it."""
    return {}


@pytest.fixture
def simulator(tmp_path: Path, right: dict[str, float]) -> Iterator[RunningSimulator]:
    config = SimulatorConfig(
        latency_scale=0, charge_log=tmp_path / "charges.jsonl", success_probability=right
    )
    with running_simulator(config) as running:
        yield running


def first_usd(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Decimal:
    """gpt-4o: 2.50 USD per million prompt tokens, 1.25 cached ones, 10 completion tokens."""
    plain = prompt_tokens - cached_tokens
    usd = plain * Decimal("2.50") + cached_tokens * Decimal("1.25") + completion_tokens * 10
    return usd / 10**6


async def policy_of(bench: Bench, *models: str, **changes: Any) -> None:
    document = {
        "name": "measured",
        "models": [{"model": name, "priority": n} for n, name in enumerate(models, start=1)],
        "max_cost_per_task": "0.10",
        "max_tokens": 500,
        "fallbacks": "any",
    }
    policies = [parse_policy(document | changes)]
    await apply_policies(bench.runtime.database, policies, source="person", reason="a test")


async def ask(bench: Bench, **fields: Any) -> RoutingResult:
    return await bench.route(**{"policy": "measured"} | fields)


async def saved(bench: Bench, group_by: CostGroup = "policy", **filters: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    span = Span(now - timedelta(hours=1), now + timedelta(hours=1), **filters)
    return await cost_report(bench.runtime.database, span, group_by, after=None, limit=100)


def only(kind: str, amount: Decimal) -> dict[str, Decimal]:
    kinds = dict.fromkeys(("downgrade", "cache", "duplicate", "escalation"), ZERO)
    return kinds | {kind: amount}


async def test_first_model_saves_nothing_whatever_it_costs(bench: Bench) -> None:
    await policy_of(bench, FIRST, CHEAP)
    await ask(bench)
    found = await saved(bench)
    assert (found["saved_usd"], found["requests"]) == (ZERO, 1)


async def test_downgrade_saves_the_difference_at_the_same_tokens(bench: Bench) -> None:
    await policy_of(bench, FIRST, CHEAP)
    bench.fail("unavailable", {"model": FIRST})
    result = await ask(bench)
    assert result.model == CHEAP
    difference = first_usd(result.prompt_tokens, result.completion_tokens) - result.cost_usd
    assert difference > 0
    found = await saved(bench)
    assert found["saved_by_kind"] == only("downgrade", difference)
    assert found["saved_usd"] == difference
    assert [group["saved_usd"] for group in found["groups"]] == [difference]


async def test_dearer_fallback_is_shown_as_what_it_lost(bench: Bench) -> None:
    await policy_of(bench, CHEAP, FIRST)
    bench.fail("unavailable", {"model": CHEAP})
    result = await ask(bench)
    # gpt-4.1-nano would have cost 0.10 and 0.40 USD per million
    nano = (
        result.prompt_tokens * Decimal("0.10") + result.completion_tokens * Decimal("0.40")
    ) / 10**6
    found = await saved(bench)
    assert found["saved_usd"] == nano - result.cost_usd < 0


async def test_answer_that_was_rejected_is_paid_for_all_the_same(bench: Bench) -> None:
    await policy_of(bench, FIRST, CHEAP)
    bench.fail("empty_answer", {"model": FIRST}, charged=True)
    result = await ask(bench)
    rows = await bench.rows(result.decision_id)
    bills = [row["actual_cost"] for row in rows]
    assert len(bills) == 2 and all(bills)
    found = await saved(bench)
    whole = first_usd(result.prompt_tokens, result.completion_tokens) - sum(bills)
    assert found["saved_usd"] == whole
    by_model = {g["key"]: g["saved_usd"] for g in (await saved(bench, "model"))["groups"]}
    assert by_model == {FIRST: ZERO, CHEAP: whole}  # with the model that answered


async def test_answer_that_was_rejected_months_ago_is_paid_for_all_the_same(bench: Bench) -> None:
    await policy_of(bench, FIRST, CHEAP)
    bench.fail("empty_answer", {"model": FIRST}, charged=True)
    result = await ask(bench)
    before = await saved(bench)
    await bench.runtime.database.execute(
        "UPDATE model_selections SET created_at = now() - interval '40 days'"
        " WHERE attempt_no = 1 AND decision_id = %s",
        (result.decision_id,),
    )
    assert (await saved(bench))["saved_usd"] == before["saved_usd"] != ZERO


async def test_hit_saves_what_the_first_model_would_have_cost(bench: Bench) -> None:
    await policy_of(bench, FIRST, CHEAP, cache={"ttl_s": 60})
    result = [await ask(bench) for _ in range(3)][-1]
    each = first_usd(result.prompt_tokens, result.completion_tokens)
    found = await saved(bench)
    assert found["saved_by_kind"] == only("cache", 2 * each)
    assert (found["requests"], found["total_cost_usd"]) == (3, bench.true_spend)
    assert (await saved(bench, model=FIRST))["saved_usd"] == 2 * each
    assert (await saved(bench, worker="nobody"))["requests"] == 0


async def test_duplicate_line_saves_what_the_first_model_would_have_cost(
    bench: Bench, settings: Settings, tmp_path: Path
) -> None:
    await policy_of(bench, FIRST, CHEAP)
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"prompt": "{PROMPT}", "policy": "measured"}}\n' * 4)
    order = BatchOrder(source, tmp_path / "out.jsonl", trace="ledger")
    await run_batch(settings, order, lambda _: None)
    (charge,) = bench.charges
    each = first_usd(charge.prompt_tokens, charge.completion_tokens)
    found = await saved(bench)
    assert found["saved_by_kind"] == only("duplicate", 3 * each)
    assert found["requests"] == 4


SUM: dict[str, Any] = {
    "prompt": "What is 17 + 25? Answer with the number only.",
    "accept": {"regex": "^42$"},
}


async def test_escalation_saves_less_by_every_answer_that_was_rejected(
    bench: Bench, right: dict[str, float]
) -> None:
    chain = {"task_type": "*", "models": [CHEAP, FIRST], "escalates": True, "check": "accept"}
    await policy_of(bench, FIRST, CHEAP, escalation="on", orders=[chain])
    right |= {CHEAP: 1.0, FIRST: 1.0}
    cheap = await ask(bench, **SUM)
    good = first_usd(cheap.prompt_tokens, cheap.completion_tokens) - cheap.cost_usd
    assert (cheap.model, good > 0) == (CHEAP, True)
    assert (await saved(bench))["saved_by_kind"] == only("escalation", good)
    right[CHEAP] = 0.0
    dear = await ask(bench, **SUM)
    assert dear.model == FIRST
    lost = (await bench.rows(dear.decision_id))[0]["actual_cost"]  # of the rejected answer
    assert (await saved(bench))["saved_by_kind"] == only("escalation", good - lost)


async def test_model_that_the_caller_names_is_what_it_is_measured_against(bench: Bench) -> None:
    await policy_of(bench, FIRST, CHEAP, cache={"ttl_s": 60})
    results = [await ask(bench, model=CHEAP) for _ in range(2)]
    found = await saved(bench)
    assert found["saved_by_kind"] == only("cache", results[0].cost_usd)


async def test_saving_is_measured_by_the_prices_of_its_day(bench: Bench) -> None:
    await policy_of(bench, FIRST, CHEAP)
    bench.fail("unavailable", {"model": FIRST})
    await ask(bench)
    before = (await saved(bench))["saved_usd"]
    await bench.runtime.database.execute(
        "UPDATE model_catalogue SET prompt_usd = 1, completion_usd = 1"
    )
    assert (await saved(bench))["saved_usd"] == before > 0


@pytest.mark.parametrize(
    ("cached_tokens", "expected"),
    [
        (0, Decimal("0.0026")),  # 1000 * 2.5e-6 + 10 * 10e-6
        (400, Decimal("0.0021")),  # 600 * 2.5e-6 + 400 * 1.25e-6 + 10 * 10e-6
        (1200, Decimal("0.00135")),  # never more cached tokens than tokens
    ],
)
async def test_cached_tokens_are_compared_at_the_first_models_own_cache_price(
    bench: Bench, cached_tokens: int, expected: Decimal
) -> None:
    price = (
        '{"prompt_usd": "0.0000025", "completion_usd": "0.00001", "cache_read_usd": "0.00000125",'
        ' "request_usd": "0"}'
    )
    row = await bench.runtime.database.fetch_one(
        "SELECT ledger.list_usd(%s::jsonb, 1000, 10, %s) AS usd", (price, cached_tokens)
    )
    assert row is not None and row["usd"] == expected
