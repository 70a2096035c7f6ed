"""The automations in a real Prefect server: kept once, brought up to date, left disabled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import BlockDocumentCreate
from prefect.events.schemas.automations import AutomationCore

from deployments import automations
from deployments.automations import ALERTS, DEAD_RUNS, keep_automations
from deployments.ports import free_port
from deployments.postgres import PostgresServer
from deployments.prefect_server import running_prefect_server
from models.errors import InvalidConfiguration
from tasks.adapters.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def api_url(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    settings = Settings(switchyard_home=tmp_path_factory.mktemp("automations"))
    with running_prefect_server(settings, postgres_server, port=free_port()) as url:
        yield url


async def notification_block(client: PrefectClient, name: str) -> UUID:
    block_type = await client.read_block_type_by_slug("custom-webhook")
    schema = await client.get_most_recent_block_schema_for_block_type(block_type.id)
    assert schema is not None
    document = BlockDocumentCreate(
        name=name,
        data={"name": "ops", "url": "http://127.0.0.1:9/hook", "secrets": {}},
        block_schema_id=schema.id,
        block_type_id=block_type.id,
    )
    return (await client.create_block_document(document)).id


async def test_automations_are_kept_once_and_updated_in_place(api_url: str) -> None:
    async with PrefectClient(api_url) as client:
        assert [one.change for one in await keep_automations(client, None)] == ["created"]
        assert [one.change for one in await keep_automations(client, None)] == ["unchanged"]
        (kept,) = await client.read_automations_by_name(DEAD_RUNS)
        await client.update_automation(
            kept.id,
            AutomationCore(
                **{
                    **kept.model_dump(exclude={"id", "owner_resource"}),
                    "description": "changed",
                }
            ),
        )
        assert [one.change for one in await keep_automations(client, None)] == ["updated"]
        assert len(await client.read_automations_by_name(DEAD_RUNS)) == 1


async def test_automation_that_a_person_disabled_stays_disabled(api_url: str) -> None:
    async with PrefectClient(api_url) as client:
        await keep_automations(client, None)
        (kept,) = await client.read_automations_by_name(DEAD_RUNS)
        await client.pause_automation(kept.id)
        await keep_automations(client, None)
        (kept,) = await client.read_automations_by_name(DEAD_RUNS)
        assert not kept.enabled
        await client.resume_automation(kept.id)


async def test_alerts_go_to_the_block_that_is_named(api_url: str) -> None:
    async with PrefectClient(api_url) as client:
        block_id = await notification_block(client, "ops")
        await keep_automations(client, "custom-webhook/ops")
        (kept,) = await client.read_automations_by_name(ALERTS)
        assert kept.actions[0].block_document_id == block_id


@pytest.mark.parametrize("named", ["nothing", "custom-webhook/none", "/", "a/"])
async def test_block_that_does_not_exist_is_refused(api_url: str, named: str) -> None:
    async with PrefectClient(api_url) as client:
        with pytest.raises(InvalidConfiguration, match="SWITCHYARD_NOTIFY_BLOCK"):
            await keep_automations(client, named)


async def test_silent_run_is_crashed_and_one_that_ended_under_our_name_is_not(
    api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sent a heartbeat; then one fell silent, the other ended as "Rejected"."""
    monkeypatch.setattr(automations, "SILENCE", timedelta(seconds=10))
    async with PrefectClient(api_url) as client:
        await keep_automations(client, None)
        from prefect import flow
        from prefect.states import Completed, Running

        @flow
        async def beating() -> None: ...

        dead, ended = [await client.create_flow_run(beating, state=Running()) for _ in range(2)]
        for run in (dead, ended):
            await client._client.post("/events", json=[heartbeat(run.id)])
        await client.set_flow_run_state(ended.id, Completed(name="Rejected"))
        for _ in range(600):
            run = await client.read_flow_run(dead.id)
            if run.state_type == "CRASHED":
                break
            await asyncio.sleep(0.1)
        assert run.state_type == "CRASHED"
        assert (await client.read_flow_run(ended.id)).state_name == "Rejected"
    monkeypatch.undo()


def heartbeat(flow_run_id: UUID) -> dict[str, object]:
    from datetime import UTC, datetime
    from uuid import uuid4

    return {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}"},
        "related": [],
        "payload": {},
    }
