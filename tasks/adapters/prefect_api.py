"""Prefect's REST API, as far as waiting work and alerts need it; Prefect is not imported here."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from models.errors import NotFound, PrefectFailed
from tasks.adapters.settings import Settings

TIMEOUT_S = 10.0
DEPLOYMENT = ("route-request", "default")
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


@dataclass(frozen=True, slots=True)
class RunState:
    """What Prefect says of a flow run; a run that is gone has the type `GONE`."""

    type: str

    @property
    def is_suspended(self) -> bool:
        """Whether the run waits to be resumed."""
        return self.type == "PAUSED"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of the run."""
        return self.type in FINAL or self.type == "GONE"


class PrefectApi:
    """A few calls; every failure is a PrefectFailed."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._deployment_id: str | None = None

    async def run_state(self, run_id: UUID) -> RunState:
        """Return the state of a flow run."""
        try:
            document = await self._call("GET", f"/flow_runs/{run_id}")
        except NotFound:
            return RunState("GONE")
        return RunState(str(document.get("state_type")))

    async def resume(self, run_id: UUID, run_input: dict[str, Any] | None) -> bool:
        """Resume a suspended run; False when Prefect refuses, say because it is not suspended."""
        answer = await self._call("POST", f"/flow_runs/{run_id}/resume", {"run_input": run_input})
        return answer.get("status") == "ACCEPT"

    async def trigger(self, decision_id: UUID, *, key: str) -> UUID:
        """Make a run of `route-request/default` that goes on with the decision; once per key.

        Raises NotFound where that deployment does not exist.
        """
        if self._deployment_id is None:
            found = await self._call("GET", "/deployments/name/{}/{}".format(*DEPLOYMENT))
            self._deployment_id = str(found["id"])
        run = await self._call(
            "POST",
            f"/deployments/{self._deployment_id}/create_flow_run",
            {
                "parameters": {"request_id": str(decision_id)},
                "idempotency_key": key,
                "state": {"type": "SCHEDULED", "message": "released"},
                "tags": ["released"],
            },
        )
        return UUID(run["id"])

    async def emit(self, events: list[dict[str, Any]]) -> None:
        """Record events."""
        await self._call("POST", "/events", events)

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            response = await self._client.request(method, path, json=body)
            if response.status_code == httpx.codes.NOT_FOUND:
                raise NotFound(f"Prefect knows no {path}")
            response.raise_for_status()
            document = response.json() if response.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise PrefectFailed(f"Prefect's API failed: {type(error).__name__}: {error}") from error
        return document if isinstance(document, dict) else {}


@contextlib.asynccontextmanager
async def open_prefect_api(settings: Settings) -> AsyncIterator[PrefectApi | None]:
    """Yield Prefect's API, or None where no server is configured."""
    if settings.prefect_api_url is None:
        yield None
        return
    async with httpx.AsyncClient(
        base_url=settings.prefect_api_url.rstrip("/"),
        timeout=TIMEOUT_S,
        headers=_headers(settings),
        # making a TLS context takes 30 ms of the loop; a server on loopback needs none
        verify=settings.prefect_api_url.startswith("https:"),
    ) as client:
        yield PrefectApi(client)


def _headers(settings: Settings) -> dict[str, str]:
    if settings.prefect_api_auth_string is not None:
        text = settings.prefect_api_auth_string.get_secret_value()
        return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}
    if settings.prefect_api_key is not None:
        return {"Authorization": f"Bearer {settings.prefect_api_key.get_secret_value()}"}
    return {}
