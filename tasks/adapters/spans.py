"""OpenTelemetry spans of decisions and attempts, where an endpoint is configured.

Nothing of OpenTelemetry is imported otherwise. Names are those of the GenAI semantic conventions
(opentelemetry.io/docs/specs/semconv/gen-ai, 2026-11-20). No text of a request, an answer or an
error is in a span, and no key.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from models.errors import InvalidConfiguration, UpstreamFailed
from models.money import plain

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind

    from models.completion import Completion
    from models.decision import AttemptOrder
    from models.result import RoutingResult
    from tasks.adapters.settings import Settings

Attributes = dict[str, Any]  # what OpenTelemetry takes: texts, numbers, lists of them


class Spans:
    """Makes the spans of this process; without a provider it makes none."""

    def __init__(self, provider: TracerProvider | None = None, upstream_url: str = "") -> None:
        self._tracer = None if provider is None else provider.get_tracer("switchyard")
        self._upstream = _server(upstream_url)

    @property
    def are_wanted(self) -> bool:
        """Whether anybody collects them."""
        return self._tracer is not None

    async def attempt(self, order: AttemptOrder, call: Awaitable[Completion]) -> Completion:
        """Make the call inside a client span that tells model, tokens and cost."""
        if self._tracer is None:
            return await call
        from opentelemetry.trace import SpanKind

        attributes = _asked(order) | self._upstream
        name = f"chat {order.candidate.model_id}"
        with self._span(name, SpanKind.CLIENT, attributes) as span:
            completion = await call
            span.set_attributes(_answered(completion))
            return completion

    async def decision(self, trace: str, run: Awaitable[RoutingResult]) -> RoutingResult:
        """Run a decision inside a span that tells what it came to."""
        if self._tracer is None:
            return await run
        from opentelemetry.trace import SpanKind

        lane = {"switchyard.trace": trace}
        with self._span("switchyard.decision", SpanKind.INTERNAL, lane) as span:
            result = await run
            span.set_attributes(_decided(result))
            return result

    @contextlib.contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """Yield the server span of an HTTP request, a child of the caller's own trace."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(headers)
        attributes = {"http.request.method": method}
        with self._span(method, SpanKind.SERVER, attributes, parent) as span:
            yield span

    @contextlib.contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Attributes, parent: Context | None = None
    ) -> Iterator[Span]:
        """Yield a span; an error's kind is told, its words, which may quote a prompt, are not."""
        if self._tracer is None:
            raise RuntimeError("a span is made that nobody wants")
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                _mark_failed(span, error)
                raise


def _mark_failed(span: Span, error: BaseException) -> None:
    from opentelemetry.trace import StatusCode

    kind = error.kind if isinstance(error, UpstreamFailed) else type(error).__name__
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _asked(order: AttemptOrder) -> Attributes:
    candidate = order.candidate
    asked: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": candidate.provider,
        "gen_ai.request.model": candidate.model_id,
        "gen_ai.request.max_tokens": candidate.max_tokens,
        "switchyard.decision_id": str(order.arrival.decision_id),
        "switchyard.attempt": order.attempt_no,
        "switchyard.policy": order.policy,
        "switchyard.held_usd": plain(candidate.worst_case_usd),
    }
    if order.temperature is not None:
        asked["gen_ai.request.temperature"] = order.temperature
    return asked


def _answered(completion: Completion) -> Attributes:
    answered: Attributes = {"gen_ai.response.model": completion.model_id}
    if completion.generation_id is not None:
        answered["gen_ai.response.id"] = completion.generation_id
    if completion.finish_reason is not None:
        answered["gen_ai.response.finish_reasons"] = [completion.finish_reason]
    if (usage := completion.usage) is not None:
        answered["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        answered["gen_ai.usage.output_tokens"] = usage.completion_tokens
        if usage.cost_usd is not None:
            answered["switchyard.cost_usd"] = plain(usage.cost_usd)
    return answered


def _decided(result: RoutingResult) -> Attributes:
    decided: Attributes = {
        "switchyard.decision_id": str(result.decision_id),
        "switchyard.status": result.status.value,
        "switchyard.policy": result.policy,
        "switchyard.task_type": result.task_type,
        "switchyard.attempts": len(result.attempts),
        "switchyard.cost_usd": plain(result.cost_usd),
    }
    if result.flow_run_id is not None:
        decided["switchyard.flow_run_id"] = str(result.flow_run_id)
    return decided


def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    named = {"server.address": parts.hostname, "server.port": parts.port}
    return {name: value for name, value in named.items() if value is not None}


@contextlib.asynccontextmanager
async def open_spans(settings: Settings) -> AsyncIterator[Spans]:
    """Yield what makes spans; what is not sent yet at the end is sent then.

    Raises InvalidConfiguration where an endpoint is configured and OpenTelemetry is not installed.
    """
    endpoint = settings.traces_endpoint
    if endpoint is None:
        yield Spans()
        return
    provider = _provider(endpoint, settings.otel_service_name)
    try:
        yield Spans(provider, settings.upstream_url)
    finally:
        await asyncio.to_thread(provider.shutdown)


def _provider(endpoint: str, service: str) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidConfiguration(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed:"
            " .venv/bin/pip install -e '.[otel]', or unset it"
        ) from error
    # a provider of our own: what other libraries trace is not sent with it
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider
