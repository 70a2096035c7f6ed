"""The learning loop as real flow runs: from the ledger's rows to whom the next request asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.recompute_priorities import recompute_priorities
from tasks.adapters.runtime import Runtime
from tests.flows.test_upkeep_flows import artifact
from tests.tasks.ledger_rows import OTHER, USUAL, ask, save_two_models, use_model

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("prefect_api_url"),
    # Prefect's own client leaves a keep-alive socket behind when a flow run ends
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket"),
]


async def test_model_that_halves_silently_is_demoted_within_100_of_its_requests_and_comes_back(
    runtime: Runtime,
) -> None:
    database, start = runtime.database, datetime.now(UTC) - timedelta(hours=12)
    policy = await save_two_models(database)
    # 0.9 * 0.10 - 0.0003 = $0.0897 against at most 0.95 * 0.10 - 0.005 = $0.0900: it stays
    await use_model(database, USUAL, 0.9, 300, at=start)
    assert (await recompute_priorities())["moved"] == {}
    assert (await ask()).model == USUAL
    # it halves: 63 of its 95 discounted outcomes are new, so it is at about 0.6, worth $0.06
    await use_model(database, USUAL, 0.45, 100, at=start + timedelta(hours=1))
    assert (await recompute_priorities())["moved"] == {"code": policy.version + 1}
    assert (await ask()).model == OTHER
    # the other one serves meanwhile; the demoted one recovers where it is the fallback
    await use_model(database, OTHER, 0.9, 100, at=start + timedelta(hours=2))
    await use_model(database, USUAL, 0.95, 300, at=start + timedelta(hours=3))
    assert (await recompute_priorities())["moved"] == {"code": policy.version + 2}
    assert (await ask()).model == USUAL


async def test_recompute_priorities_leaves_an_artifact_of_what_moved_and_every_estimate(
    runtime: Runtime,
) -> None:
    await save_two_models(runtime.database)
    await use_model(runtime.database, USUAL, 0.3, 100, at=datetime.now(UTC))
    await recompute_priorities()
    report = (await artifact("learned-priorities")).data.replace("\\", "")
    assert "1 of 4 policies have a new version" in report
    assert f"{OTHER} before {USUAL}" in report
    assert "| moderate fix_bug | 1 | openai/gpt-4o |" in report
    assert "MMLU" in report  # where the prior is from
