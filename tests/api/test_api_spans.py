"""OpenTelemetry spans: what a collector gets, and that nothing is loaded without one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from deployments.api.options import ServeOptions
from deployments.simulator import Fault, FaultMatch, FaultRule, RunningSimulator
from models.errors import InvalidConfiguration
from tasks.adapters.settings import Settings
from tasks.adapters.spans import open_spans
from tests.api.conftest import running_api

SECRET = "the-prompt-that-nobody-may-read"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(HTTPServer):
    """Takes OTLP over HTTP and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Intake)
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> dict[str, Any]:
        """Every span by its name."""
        found = {}
        for body in self.bodies:
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in group.scope_spans:
                    found.update({span.name: span for span in scope.spans})
        return found


class Intake(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        assert self.path == "/v1/traces"
        self.server.bodies.append(self.rfile.read(length))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attributes(span: Any) -> dict[str, Any]:
    def plain(value: AnyValue) -> Any:
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [plain(one) for one in value.array_value.values]
        return getattr(value, str(kind))

    return {pair.key: plain(pair.value) for pair in span.attributes}


def test_request_decision_and_call_are_one_trace_with_the_names_of_the_conventions(
    collector: Collector, settings: Settings, simulator: RunningSimulator
) -> None:
    traced = settings.model_copy(update={"otel_exporter_otlp_endpoint": collector.url})
    options = ServeOptions(port=0, lane="ledger", drain_s=2)
    with running_api(traced, simulator, options) as api, api.client() as client:
        answer = client.post(
            "/v1/chat/completions",
            json={
                "model": "openai/gpt-4o-mini",
                "max_tokens": 50,
                "messages": [{"role": "user", "content": SECRET}],
            },
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        )
        client.get("/healthz")
    assert answer.status_code == 200
    spans = collector.spans()
    names = ("POST /v1/chat/completions", "switchyard.decision", "chat openai/gpt-4o-mini")
    assert set(spans) == set(names)
    server, decision, call = (spans[name] for name in names)
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert (decision.parent_span_id, call.parent_span_id) == (server.span_id, decision.span_id)
    told, document = attributes(call), answer.json()
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "openai/gpt-4o-mini"
    assert told["gen_ai.request.max_tokens"] == 50
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert told["gen_ai.usage.input_tokens"] == document["usage"]["prompt_tokens"]
    assert told["gen_ai.usage.output_tokens"] == document["usage"]["completion_tokens"]
    assert told["switchyard.cost_usd"] == document["switchyard"]["cost_usd"]
    assert attributes(decision)["switchyard.status"] == "completed"
    assert attributes(server)["http.response.status_code"] == 200
    content = document["choices"][0]["message"]["content"].encode()
    for body in collector.bodies:
        assert SECRET.encode() not in body
        assert content not in body


def test_span_of_a_failed_call_tells_the_kind_of_its_error(
    collector: Collector, settings: Settings, simulator: RunningSimulator
) -> None:
    traced = settings.model_copy(update={"otel_exporter_otlp_endpoint": collector.url})
    match = FaultMatch(model="openai/gpt-4o-mini")
    simulator.add_fault(FaultRule(fault=Fault.ERROR_IN_200, match=match, message=SECRET))
    options = ServeOptions(port=0, lane="ledger", drain_s=2)
    with running_api(traced, simulator, options) as api, api.client() as client:
        body = {"prompt": "Is it up?", "model": "openai/gpt-4o-mini"}
        assert client.post("/api/routing/tasks", json=body).json()["status"] == "failed"
    span = collector.spans()["chat openai/gpt-4o-mini"]
    assert span.status.code == 2
    assert attributes(span)["error.type"]
    assert all(SECRET.encode() not in body for body in collector.bodies)


def test_nothing_of_opentelemetry_sdk_is_loaded_without_an_endpoint() -> None:
    code = (
        "import sys, deployments.api.service, tasks.adapters.runtime;"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


@pytest.mark.anyio
async def test_endpoint_without_the_packages_is_told_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    traced = settings.model_copy(update={"otel_exporter_otlp_endpoint": "http://127.0.0.1:1"})
    with pytest.raises(InvalidConfiguration, match="not installed"):
        async with open_spans(traced):
            pass
