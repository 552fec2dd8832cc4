"""OpenTelemetry: one client span for each request to a host, below the SDK's own span of the call.

Names and attributes follow the conventions for generative AI; prompts and answers are in none of them. The variables
OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and so on configure it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_mcp import __version__
from ollama_mcp._command import how_to_install
from ollama_mcp.settings import SettingsError

if TYPE_CHECKING:
    from ollama_mcp.api.metering import Exchange
    from ollama_mcp.store.ledger import LedgerRow

_OPERATIONS = {
    "/api/chat": "chat",
    "/api/generate": "text_completion",
    "/api/embed": "embeddings",
    "/api/embeddings": "embeddings",
    "/v1/systemone": "decide",
}
# The end of the process waits so long for spans that were not sent yet, and the log has one line a minute of trouble.
_FLUSH_SECONDS, _WARNING_SECONDS = 0.5, 60.0


class Tracing:
    """Makes the spans and sends them.

    Raises:
        SettingsError: The library is not installed.
    """

    def __init__(self) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise SettingsError(
                "setting tracing needs the OpenTelemetry SDK, which is not installed.",
                next_step=how_to_install("otel"),
            ) from None
        resource = Resource({SERVICE_NAME: "ollama-mcp-server"}).merge(OTELResourceDetector().detect())
        # At the end of the process its own hook would wait for a collector that does not answer.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        logging.getLogger("opentelemetry").addFilter(_OncePerMinute())
        for name in ("opentelemetry.sdk._shared_internal", "opentelemetry.exporter.otlp.proto.http.trace_exporter"):
            logging.getLogger(name).addFilter(_OncePerMinute())
        # The MCP SDK takes the provider of the process for the span of a call.
        trace.set_tracer_provider(self._provider)
        self._tracer = self._provider.get_tracer("ollama-mcp-server", __version__)

    def begin(self, exchange: Exchange) -> None:
        """Begin the span of a request, below that of the call."""
        from opentelemetry.trace import SpanKind

        place = urlsplit(exchange.address)
        attributes: dict[str, str | int] = {"server.address": place.hostname or "", "server.port": place.port or 443}
        operation = _OPERATIONS.get(exchange.path)
        if operation is None:
            path = "/api/blobs" if exchange.path.startswith("/api/blobs/") else exchange.path
            name = f"{exchange.method} {path}"
            attributes |= {"http.request.method": exchange.method, "url.path": path}
        else:
            name = f"{operation} {exchange.model}"
            attributes |= {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": "ollama",
                "gen_ai.request.model": exchange.model,
            }
        exchange.span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def end(self, exchange: Exchange) -> None:
        """End the span, with what the answer counted."""
        from opentelemetry.trace import StatusCode

        span = exchange.span
        if exchange.path in _OPERATIONS:
            span.set_attribute("gen_ai.usage.input_tokens", exchange.prompt_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", exchange.tokens)
        if exchange.error:
            span.set_attribute("error.type", exchange.error)
            span.set_status(StatusCode.ERROR)
        span.end()

    def called(self, row: LedgerRow) -> None:
        """The SDK has the span of the call."""

    def start(self) -> None:
        """Spans are sent from the first on."""

    def stop(self) -> None:
        """Send what is left, if the collector takes it at once."""
        thread = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        thread.start()
        thread.join(_FLUSH_SECONDS)


class _OncePerMinute(logging.Filter):
    """Lets one record of trouble pass a minute, without its traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if record.levelno < logging.WARNING:
            return True
        if time.monotonic() - self._last < _WARNING_SECONDS:
            return False
        self._last, record.exc_info = time.monotonic(), None
        return True
