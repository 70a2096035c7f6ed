"""The hourly flow judges policy versions on trial, and leaves why."""

from __future__ import annotations

import pytest

from models.policy import Policy
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.canaries import start_canary
from tasks.adapters.store.policies import read_policy
from tests.tasks.canary_rows import recorded

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("prefect_api_url"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket"),
]


async def test_recompute_priorities_rolls_a_regression_back(runtime: Runtime) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    from flows.recompute_priorities import recompute_priorities

    policy = await read_policy(runtime.database, "code")
    changed = Policy.model_validate(policy.model_dump(mode="json") | {"max_tokens": 77})
    await start_canary(runtime.database, changed, 0.5, "test")
    await recorded(runtime, version=1, right=60, wrong=0)
    await recorded(runtime, version=2, right=10, wrong=60)

    found = await recompute_priorities()
    assert found["canaries"] == ["code v2: rolled_back"]
    assert (await read_policy(runtime.database, "code")).max_tokens != 77
    async with get_client() as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["policy-canaries"]))
        (artifact,) = await client.read_artifacts(artifact_filter=wanted, limit=1)
    assert "rolled" in artifact.data and "surely lower" in artifact.data
