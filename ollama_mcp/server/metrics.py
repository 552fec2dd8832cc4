"""Figures for Prometheus: calls, errors, tokens, queues and times, on a loopback port of their own or for tokens.

Labels are bounded, and none of them has a user's name or anything that a call said.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ollama_mcp._command import how_to_install
from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.server.transports.asgi import Receive, Refused, Scope, Send, send_text
from ollama_mcp.server.transports.origin import is_loopback
from ollama_mcp.settings import SettingsError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.core import Metric

    from ollama_mcp.api.metering import Exchange
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.store.ledger import LedgerRow

F = TypeVar("F", "Counter", "Histogram")

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
PATH = "/metrics"
# Clients choose names and their spelling.
MAX_MODELS = 64
OTHER = "(other)"
_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800)
_IDLE_SECONDS = 5.0


class Metrics:
    """Counts what it is told, and serves the figures while it runs.

    Args:
        hosts: Their queues are looked at when the figures are asked for.
        port: Where they are served on 127.0.0.1; 0 is any free port, None serves none.

    Raises:
        SettingsError: The library is not installed.
    """

    def __init__(self, hosts: HostPool, port: int | None) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Histogram
        except ImportError:
            raise SettingsError(
                "setting metrics needs prometheus-client, which is not installed.",
                next_step=how_to_install("metrics"),
            ) from None
        self._port = port
        self._server: WSGIServer | None = None
        self.registry = registry = CollectorRegistry()
        self._models: set[str] = set()
        # As many as there are labels, which are bounded.
        self._labelled: dict[tuple[Any, tuple[str, ...]], Any] = {}
        counter = partial(Counter, namespace="ollama_mcp", registry=registry)
        timed = partial(Histogram, namespace="ollama_mcp", registry=registry, buckets=_SECONDS)
        self._calls = counter("calls", "Calls of tools, by outcome", ["tool", "outcome"])
        self._call_seconds = timed("call_seconds", "Time of calls", ["tool"])
        self._requests = counter("requests", "Requests to hosts, by outcome", ["host", "endpoint", "outcome"])
        self._request_seconds = timed("request_seconds", "Time of requests", ["host", "endpoint"])
        self._queue_seconds = timed("queue_seconds", "Time before a request is sent", ["host"])
        self._first = timed("first_token_seconds", "From sending to the first token", ["host", "model"])
        self._tokens = counter("tokens", "Tokens read and written by models", ["host", "model", "kind"])
        self._bytes = counter("bytes", "Bytes of bodies to and from hosts", ["host", "direction"])
        registry.register(_Queues(hosts))

    def begin(self, exchange: Exchange) -> None:
        """Nothing is counted before the end."""

    def end(self, exchange: Exchange) -> None:
        """Count an exchange with a host."""
        host, endpoint = exchange.host, "/api/blobs" if exchange.path.startswith("/api/blobs/") else exchange.path
        of = self._of
        of(self._requests, host, endpoint, exchange.error or "ok").inc()
        of(self._request_seconds, host, endpoint).observe(exchange.ended - exchange.started)
        of(self._bytes, host, "out").inc(exchange.bytes_out)
        of(self._bytes, host, "in").inc(exchange.bytes_in)
        if exchange.path not in MODEL_PATHS:
            return
        model = self._label(exchange.model)
        if exchange.sent is not None:
            of(self._queue_seconds, host).observe(exchange.sent - exchange.started)
            if exchange.first_byte is not None and exchange.is_streamed:
                of(self._first, host, model).observe(exchange.first_byte - exchange.sent)
        of(self._tokens, host, model, "read").inc(exchange.prompt_tokens)
        of(self._tokens, host, model, "written").inc(exchange.tokens)

    def called(self, row: LedgerRow) -> None:
        """Count a call."""
        self._of(self._calls, row.tool, row.outcome).inc()
        self._of(self._call_seconds, row.tool).observe(row.seconds)

    def start(self) -> None:
        """Serve the figures; where the port is taken, the log says so and the server works without."""
        if self._port is None:
            return
        try:
            self._server = make_server(ADDRESS, self._port, _application(self.registry), _Server, _Handler)
        except OSError as error:
            log.warning("no metrics: port %s cannot be used (%s)", self._port, error.strerror)
            return
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics at http://%s:%s%s", ADDRESS, self._server.server_port, PATH)

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the figures, as an ASGI application.

        Raises:
            Refused: It is none for the figures.
        """
        if scope["path"] != PATH:
            raise Refused(404, "Not Found")
        if scope["method"] != "GET":
            raise Refused(405, "Method Not Allowed", ((b"allow", b"GET"),))
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        page = await asyncio.to_thread(generate_latest, self.registry)
        await send_text(send, 200, page.decode(), content_type=CONTENT_TYPE_LATEST.encode())

    @property
    def port(self) -> int | None:
        """Where the figures are served now."""
        return self._server.server_port if self._server is not None else None

    def _of(self, figure: F, *labels: str) -> F:
        """A figure with its labels; the library takes longer to find it again than to count."""
        found: F | None = self._labelled.get((figure, labels))
        if found is None:
            found = self._labelled[figure, labels] = figure.labels(*labels)
        return found

    def _label(self, model: str) -> str:
        if len(self._models) < MAX_MODELS:
            self._models.add(model)
        return model if model in self._models else OTHER


class _Queues:
    """The queues of the hosts as they are when they are asked for."""

    def __init__(self, hosts: HostPool) -> None:
        self._hosts = hosts

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        found = GaugeMetricFamily("ollama_mcp_queue", "Requests that run a model", labels=["host", "state"])
        for one in self._hosts.members:
            found.add_metric([one.config.name, "sent"], one.queue.sent)
            found.add_metric([one.config.name, "waiting"], one.queue.waiting)
        yield found


class _Server(WSGIServer):
    # The name of this machine would be looked up, which may take seconds.
    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = ADDRESS, self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a scrape is no event."""


def _application(registry: CollectorRegistry) -> Callable[..., Iterable[bytes]]:
    """The figures at /metrics, for requests that name this machine: a web page under another name gets nothing."""
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", "")).rsplit(":", 1)[0]
        if not is_loopback(host) or environ.get("PATH_INFO") != PATH:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Not found\n"]
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
        return [generate_latest(registry)]

    return answer
