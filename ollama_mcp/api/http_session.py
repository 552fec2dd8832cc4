"""The HTTP side of one Ollama host: requests, retries, responses read in pieces, and an ApiError for every failure."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from ollama_mcp.api import error_mapping
from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.api.host_config import (
    ClientTimeouts,
    build_headers,
    create_tls_context,
    normalize_base_url,
    secret_forms,
)
from ollama_mcp.api.retries import Retries
from ollama_mcp.errors import ApiError, Busy, InvalidArgument, NotInTime
from ollama_mcp.formats.escaping import escape

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Mapping

    import httpx

    from ollama_mcp.api.admission import Admission, Ticket
    from ollama_mcp.api.events import Stats
    from ollama_mcp.api.read_only import Guard
    from ollama_mcp.api.responses import JsonResponse
    from ollama_mcp.api.transport import FreeListTransport, Reply

    M = TypeVar("M", bound=JsonResponse)

MAX_BODY = 64 * 2**20
MAX_ERROR_LENGTH = 400
_MAX_ERROR_BODY = 64 * 2**10
# Bytes from which a body is parsed in a thread, so that the event loop is not blocked.
_PARSE_IN_THREAD = 64 * 2**10
_MAX_CACHED_URLS = 32


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to send.

    Attributes:
        method: HTTP method.
        path: Path below the host's base URL.
        body: JSON or a file, at once or in pieces.
        model: The model that errors name.
        idempotent: Whether it is sent again when the connection breaks before a response.
        size: Bytes of a body that comes in pieces, where known.
        unverified: Whether it uses features that a server of unknown version may silently ignore.
        keep_alive: The keep_alive of a body that has one.
        attempts: How often it is sent at most; None is as often as the rules allow.
        within: Seconds from the end of the request within which the head of the response must come, else it fails with
            NotInTime; None leaves it to the host's limits.
    """

    method: str
    path: str
    body: bytes | AsyncIterable[bytes] | None = None
    model: str | None = None
    idempotent: bool = False
    size: int | None = None
    unverified: bool = False
    keep_alive: float | str | None = None
    attempts: int | None = None
    within: float | None = None


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What errors say about a request: the host by URL and name, the endpoint, the model."""

    base_url: str
    host_name: str
    method: str
    path: str
    model: str | None = None

    @property
    def endpoint(self) -> str:
        """Method and path: "POST /api/chat"."""
        return f"{self.method} {self.path}"

    @property
    def host_label(self) -> str:
        """The host as messages show it: "local (http://127.0.0.1:11434)"."""
        return f"{self.host_name} ({self.base_url})"

    def error(
        self,
        kind: type[ApiError],
        message: str,
        next_step: str = "",
        *,
        status: int | None = None,
        detail: str = "",
        retry_after: float | None = None,
    ) -> ApiError:
        """An error of this request; the message is cut so that it and the next step fit into MAX_ERROR_LENGTH."""
        room = MAX_ERROR_LENGTH - len(next_step) - 1
        return kind(
            message if len(message) <= room else message[: room - 1] + "…",
            host=self.base_url,
            endpoint=self.endpoint,
            model=self.model,
            status=status,
            next_step=next_step,
            detail=detail,
            retry_after=retry_after,
        )


class ApiResponse:
    """A response whose body is still to be read; closing it early closes its connection."""

    def __init__(
        self, session: HttpSession, request: ApiRequest, response: Reply, ticket: Ticket | None = None
    ) -> None:
        self.request = request
        self.ticket = ticket
        self.stats: Stats | None = None
        self._error: BaseException | None = None
        self._peeked: bytes | None = None
        self.request_info = session.describe(request)
        self._session = session
        self._response = response

    async def raise_for_status(self) -> None:
        """Return for a 2xx response as Ollama sends it; raise the ApiError of any other."""
        status, headers = self._response.status, self._response.headers
        encoding = headers.get("content-encoding", "identity")
        if encoding != "identity":
            shown = error_mapping.quote_body(encoding.encode())
            what = f"the response is compressed ({shown}), which was not requested"
            raise error_mapping.unexpected_response(self.request_info, what, status)
        # A response to HEAD has no body to judge by, so its headers must look like Ollama's.
        if self.request.method == "HEAD" and (page := error_mapping.describe_head_body(status, headers)):
            raise error_mapping.unexpected_response(self.request_info, f"status {status} for {page}", status)
        if not 200 <= status < 300:
            body = await self.read_prefix(_MAX_ERROR_BODY)
            shown = {name: self.without_secrets(value.encode()).decode() for name, value in headers.items()}
            raise error_mapping.error_from_status(self.request_info, status, shown, body)

    @property
    def content_type(self) -> str:
        """The media type that the response claims, or ""."""
        return self._response.headers.get("content-type", "")

    @property
    def is_at_end(self) -> bool:
        """Whether all of it has been received, so that the next `read_chunk` returns None without waiting."""
        return self._peeked is None and self._response.is_at_end

    async def read_chunk(self) -> bytes | None:
        """The next bytes as they come; None at the end."""
        import httpx

        if (chunk := self._peeked) is not None:
            self._peeked = None
            return chunk
        try:
            return await anext(self._response, None)
        except httpx.TimeoutException as error:
            self._error = error
            raise error_mapping.timeout_error(self.request_info, self._session.timeouts.idle, started=True) from None
        except httpx.TransportError as error:
            self._error = error
            raise error_mapping.disconnected_during_response(self.request_info) from error

    async def peek(self) -> None:
        """Wait for the first bytes of the body, which the next `read_chunk` returns."""
        self._peeked = await self.read_chunk()

    async def read_all(self, limit: int = MAX_BODY) -> bytes:
        """The whole body; BadAnswer where it exceeds the limit."""
        body = bytearray()
        while (chunk := await self.read_chunk()) is not None:
            body += chunk
            if len(body) > limit:
                what = f"the response exceeds {limit // 2**20} MB"
                raise error_mapping.unexpected_response(self.request_info, what)
        return bytes(body)

    async def read_prefix(self, limit: int) -> bytes:
        """At most the first `limit` bytes of an error's body."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._session.timeouts.idle):
                while len(body) < limit and (chunk := await self.read_chunk()) is not None:
                    body += chunk
        except (ApiError, TimeoutError):
            # The status is the error to report, not a connection that broke or stalled after it.
            pass
        return self.without_secrets(bytes(body[:limit]))

    def without_secrets(self, data: bytes) -> bytes:
        """What a message may quote of the response."""
        return self._session.without_secrets(data)

    async def discard(self) -> None:
        """Close a response that is an error; the request itself goes on to count as in flight."""
        await self._response.aclose()

    async def aclose(self) -> None:
        """Return the connection for reuse where the response was read to its end, else close it."""
        self._session.in_flight -= 1
        if self.ticket is not None:
            self.ticket.leave(self._error)
        await self._response.aclose()


class HttpSession:
    """Sends requests to one host over connections of its own; see OllamaClient for the arguments."""

    response_type = ApiResponse
    _streamed: Callable[[ApiRequest, AsyncIterable[bytes]], AsyncIterable[bytes]] | None = None
    """Passes on a body that is streamed, for whoever counts its bytes."""

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        api_key: str | None,
        headers: Mapping[str, str],
        timeouts: ClientTimeouts,
        verify: bool,
        ca_file: str | None,
        guard: Guard | None = None,
        admission: Admission | None = None,
        revive: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self.base_url = normalize_base_url(base_url)
        self.name = name
        self.timeouts = timeouts
        self.in_flight = 0
        self._verify = verify
        self._ca_file = ca_file
        self.guard = guard
        self._admission = admission
        self._revive = revive
        self._retries = Retries()
        self._secrets = secret_forms(api_key or "", *headers.values())
        self._headers: Mapping[str, str] = build_headers(headers, api_key)
        self._transport: FreeListTransport | None = None
        self._urls: dict[str, httpx.URL] = {}
        idle = timeouts.idle
        # The transport replaces `read` by `idle` once the head has come.
        limits = {"connect": timeouts.connect, "read": timeouts.first_byte, "write": idle, "idle": idle}
        self._extensions = {"timeout": limits}

    def describe(self, request: ApiRequest) -> RequestInfo:
        """What errors of the request name."""
        return RequestInfo(self.base_url, self.name, request.method, request.path, request.model)

    def without_secrets(self, body: bytes) -> bytes:
        """What a message may quote: a proxy may repeat the headers that it got."""
        for secret in self._secrets:
            body = body.replace(secret, b"(hidden)")
        return body

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request and return its response, of which only the head has been read.

        A request is repeated here and nowhere else; `ollama_mcp.api.retries` holds the rules.

        Raises:
            ApiError: No connection, or a status other than 2xx.
            NotAllowed: The guard refuses it; nothing was sent.
        """
        ticket, is_sent = None, False
        try:
            if self.guard is not None:
                await self.guard.check(request)
            if self._admission is not None and request.path in MODEL_PATHS:
                ticket = await self._admission.enter(request)
            is_sent = True
            return await self._send(request, ticket)
        except BaseException as error:
            if ticket is not None:
                ticket.leave(error)
            self._note_failure(request, is_sent=is_sent)
            raise

    def _note_failure(self, request: ApiRequest, *, is_sent: bool) -> None:
        """Called where `send` raises, with whether the request had its turn."""

    async def _send(self, request: ApiRequest, ticket: Ticket | None) -> ApiResponse:
        import httpx

        self.in_flight += 1
        self._retries.requests += 1
        attempt, limits = 0, self._limits(request)
        try:
            transport = self._transport or self._open_transport()
            while True:
                attempt += 1
                started = monotonic()
                try:
                    url = self._urls.get(request.path) or self._build_url(request.path)
                    body = request.body
                    if self._streamed is not None and not (body is None or isinstance(body, bytes)):
                        body = self._streamed(request, body)
                    message = transport.build_request(request.method, url, self._headers, body, request.size, limits)
                    answer = self.response_type(self, request, await transport.send(message), ticket)
                    try:
                        await answer.raise_for_status()
                    except BaseException:
                        await answer.discard()
                        raise
                    return answer
                # httpcore passes the errors of names that do not resolve or cannot be encoded on as they are.
                except (httpx.TransportError, socket.gaierror, UnicodeError, Busy) as error:
                    if limits is not self._extensions and isinstance(error, httpx.ReadTimeout):
                        raise NotInTime from None
                    if self._revive is not None and error_mapping.is_refused(error) and await self._revive():
                        continue
                    info, seconds = self.describe(request), monotonic() - started
                    await self._retries.wait(request, info, error, attempt, self.timeouts, seconds=seconds)
        except BaseException:
            self.in_flight -= 1
            raise

    async def fetch_model(self, request: ApiRequest, model: type[M], *, limited: bool = True) -> M:
        """Send a request whose response is one JSON object, and parse it.

        Args:
            request: The request.
            model: The pydantic model of the response.
            limited: Whether the total time limit applies: not for calls that run a model.
        """
        return await self.parse_body(request, await self.fetch_bytes(request, limited=limited), model)

    async def parse_body(self, request: ApiRequest, body: bytes, model: type[M]) -> M:
        """The body of a response as a pydantic model; BadAnswer where it does not validate."""
        try:
            if len(body) > _PARSE_IN_THREAD:
                return await asyncio.to_thread(model.from_body, body)
            return model.from_body(body)
        except ValueError as error:
            shown, place = error_mapping.quote_body(self.without_secrets(body)), error_mapping.place_of(error)
            shown = f"{shown} is not the expected JSON{place}"
            what = shown if body.strip() else "the response is empty"
            raise error_mapping.unexpected_response(self.describe(request), what, 200) from None

    async def fetch_bytes(self, request: ApiRequest, *, limited: bool = True) -> bytes:
        """Send a request and return the body of its response; arguments as in `fetch_model`."""
        limit = self.timeouts.total if limited else None
        try:
            async with asyncio.timeout(limit):
                response = await self.send(request)
                try:
                    return await response.read_all()
                finally:
                    await response.aclose()
        except TimeoutError:
            raise error_mapping.timeout_error(self.describe(request), limit) from None

    async def aclose(self) -> None:
        """Close the idle connections."""
        if self._transport is not None:
            await self._transport.aclose()

    def _build_url(self, path: str) -> httpx.URL:
        """Parse the URL of a path and cache it, since parsing costs as much as sending a small request."""
        import httpx

        url = httpx.URL(self.base_url + path)
        # Blob paths hold digests, so their number has no bound.
        if len(self._urls) < _MAX_CACHED_URLS:
            self._urls[path] = url
        return url

    def _limits(self, request: ApiRequest) -> dict[str, Any]:
        """The host's limits, with the shorter one that a request may set itself."""
        if request.within is None or request.within >= (self.timeouts.first_byte or float("inf")):
            return self._extensions
        return {"timeout": {**self._extensions["timeout"], "read": request.within}}

    def _open_transport(self) -> FreeListTransport:
        """Import and build the HTTP machinery, which a process that makes no call never pays for."""
        import httpx

        from ollama_mcp.api.transport import FreeListTransport

        try:
            host = httpx.URL(self.base_url).netloc.decode("ascii")
        except httpx.InvalidURL as error:
            raise InvalidArgument(f"Host address {escape(self.base_url, 80)!r} is not a URL: {error}.") from None
        self._headers = httpx.Headers({"Host": host, **self._headers})
        self._transport = FreeListTransport(lambda: create_tls_context(verify=self._verify, ca_file=self._ca_file))
        return self._transport
