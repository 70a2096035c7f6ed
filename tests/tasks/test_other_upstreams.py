"""An OpenAI-compatible upstream that states tokens but no cost, and lists no prices."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from deployments.lanes import run_in_lane
from deployments.preparation import prepared_runtime
from models.request import RoutingRequest
from tasks.adapters.settings import Settings

pytestmark = pytest.mark.anyio

ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Done."}}
    ],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}


CACHED = {"prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 0}}


class Plain(BaseHTTPRequestHandler):
    """Answers every chat the same, from its cache when asked again; lists no prices."""

    asked: ClassVar[set[bytes]] = set()

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]})

    def do_POST(self) -> None:
        prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"]
        key = json.dumps(prompt).encode()
        cached = CACHED if key in self.asked else {}
        self.asked.add(key)
        self._answer(ANSWER | {"usage": ANSWER["usage"] | cached})

    def _answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def plain_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


async def test_cost_comes_from_the_catalogue_when_the_upstream_states_none(
    plain_url, database_url, tmp_path
):
    settings = Settings(
        openrouter_api_key=SecretStr("sk-test-other-upstream"),
        openrouter_base_url=plain_url,
        database_url=SecretStr(database_url),
        switchyard_home=tmp_path,
        switchyard_simulator_url=None,
        prefect_api_url=None,
    )
    request = RoutingRequest(prompt="Fix it.", task_type="fix_bug")
    async with prepared_runtime(settings) as opened:
        result, again = [await run_in_lane(request, "ledger") for _ in range(2)]
        rows = await opened.database.fetch_all("SELECT * FROM model_selections")
        audit = await opened.ledger.audit()
    # openai/gpt-4o: 1,000 tokens at $2.50/M and 100 at $10/M
    assert result.cost_usd == Decimal("0.0035")
    # the second time 400 of them were cached: 600 at $2.50/M, 400 at $1.25/M, 100 at $10/M
    assert again.cost_usd == Decimal("0.003")
    assert {(row["settle_source"], row["actual_cost"]) for row in rows} == {
        ("catalogue", Decimal("0.0035")),
        ("catalogue", Decimal("0.003")),
    }
    assert result.simulated is False
    assert audit.is_clean
