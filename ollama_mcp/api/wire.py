"""One host's HTTP: headers, time limits, repeats, and an error of this project for everything that is no 2xx."""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from ollama_mcp import __version__
from ollama_mcp.api import broken, failures
from ollama_mcp.api.failures import Where
from ollama_mcp.errors import ApiError, InvalidArgument
from ollama_mcp.formats.text import escape

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

    import httpx
    from pydantic import BaseModel

    from ollama_mcp.api.transport import FreeListTransport

    M = TypeVar("M", bound=BaseModel)

MAX_DOCUMENT = 64 * 2**20
_MAX_ERROR_BODY = 64 * 2**10
_IN_THREAD = 64 * 2**10
_CONNECT_ATTEMPTS = 3
_PAUSE_SECONDS = 0.1
_KEPT_URLS = 32


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; None is no limit.

    Attributes:
        connect: TCP and TLS.
        first_byte: From the request to the head of the answer. Ollama says nothing while it loads a model.
        idle: Between two lines of a stream, or two pieces of another answer.
        total: Calls that run no model, from begin to end.
    """

    connect: float | None = 5.0
    first_byte: float | None = None
    idle: float | None = 300.0
    total: float | None = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request to send. `idempotent` ones are sent again when the connection breaks before an answer."""

    method: str
    path: str
    body: bytes | AsyncIterable[bytes] | None = None
    model: str | None = None
    idempotent: bool = False
    size: int | None = None


class Wire:
    """Sends calls to one host over connections of its own."""

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        api_key: str | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        verify: bool,
        ca_file: str | None,
    ) -> None:
        self.base_url = checked_url(base_url)
        self.name = name
        self.timeouts = timeouts
        self.in_flight = 0
        self._verify = verify
        self._ca_file = ca_file
        self._headers = _checked_headers(headers, api_key)
        self._transport: FreeListTransport | None = None
        self._sent_headers: httpx.Headers | None = None
        self._urls: dict[str, httpx.URL] = {}
        self._limits: dict[str, float | None] = {
            "connect": timeouts.connect,
            "read": timeouts.first_byte,
            "write": timeouts.idle,
            "idle": timeouts.idle,
        }

    def where(self, call: Call) -> Where:
        """What errors of the call name."""
        return Where(self.base_url, self.name, call.method, call.path, call.model)

    async def send(self, call: Call) -> Exchange:
        """Send a call and return its answer, of which so far only the head was read.

        Raises:
            ApiError: No connection, or a status other than 2xx.
        """
        self.in_flight += 1
        try:
            response = await self._attempts(call)
        except BaseException:
            self.in_flight -= 1
            raise
        exchange = Exchange(self, call, response)
        status, headers = response.status_code, response.headers
        encoding = headers.get("content-encoding", "identity")
        if 200 <= status < 300 and encoding == "identity":
            return exchange
        try:
            if encoding != "identity":
                what = f"the answer is compressed ({failures.shown_body(encoding.encode())}), which was not asked for"
                raise failures.not_ollama(exchange.where, what, status)
            raise failures.from_status(exchange.where, status, headers, await exchange.beginning(_MAX_ERROR_BODY))
        finally:
            await exchange.aclose()

    async def document(self, call: Call, model: type[M], *, limited: bool = True) -> M:
        """Send a call whose answer is one JSON object, and read it.

        Args:
            call: The call.
            model: What the answer is.
            limited: Whether the total limit holds: not for calls that run a model.
        """
        return await self.read(call, await self.bytes(call, limited=limited), model)

    async def read(self, call: Call, body: bytes, model: type[M]) -> M:
        """The body of a call's answer as what it is; BadAnswer where it is something else."""
        try:
            if len(body) > _IN_THREAD:
                return await asyncio.to_thread(model.model_validate_json, body)
            return model.model_validate_json(body)
        except ValueError:
            what = f"{failures.shown_body(body)} is not the JSON that belongs there" if body.strip() else "nothing came"
            raise failures.not_ollama(self.where(call), what, 200) from None

    async def bytes(self, call: Call, *, limited: bool = True) -> bytes:
        """Send a call and return the body of its answer; see `document`."""
        limit = self.timeouts.total if limited else None
        try:
            async with asyncio.timeout(limit):
                exchange = await self.send(call)
                try:
                    return await exchange.all()
                finally:
                    await exchange.aclose()
        except TimeoutError:
            raise broken.silent(self.where(call), limit) from None

    async def aclose(self) -> None:
        """Close the idle connections."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _attempts(self, call: Call) -> httpx.Response:
        """The one place where something is sent again.

        A connection that did not come about: three attempts for every call, since nothing was sent. One that broke
        before the answer: idempotent calls once more. Anything else is never repeated.
        """
        import httpx

        transport, attempt = self._transport or self._open(), 0
        while True:
            attempt += 1
            try:
                return await transport.handle_async_request(self._request(call))
            except httpx.ReadTimeout:
                raise broken.silent(self.where(call), self.timeouts.first_byte) from None
            except (httpx.ConnectError, httpx.ConnectTimeout, socket.gaierror, UnicodeError) as error:
                final = attempt >= _CONNECT_ATTEMPTS or not isinstance(error, httpx.ConnectError)
                if final or broken.is_tls_error(error):
                    raise broken.connect_error(self.where(call), error, self.timeouts.connect) from error
                await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS * 2**attempt))
            except httpx.TransportError as error:
                if not call.idempotent or attempt > 1:
                    raise broken.lost_before_answer(self.where(call), error) from error

    def _request(self, call: Call) -> httpx.Request:
        import httpx

        assert self._sent_headers is not None
        headers = self._sent_headers
        if call.size is not None:
            headers = httpx.Headers({**headers, "Content-Length": str(call.size)})
        return httpx.Request(
            call.method,
            self._url(call.path),
            headers=headers,
            content=call.body,
            extensions={"timeout": self._limits},
        )

    def _url(self, path: str) -> httpx.URL:
        """The URL of a path; kept, since parsing one costs as much as sending a small request."""
        import httpx

        url = self._urls.get(path)
        if url is None:
            url = httpx.URL(self.base_url + path)
            if len(self._urls) < _KEPT_URLS:
                self._urls[path] = url
        return url

    def _open(self) -> FreeListTransport:
        """Import and build the HTTP machinery, which a process that makes no call never pays for."""
        import httpx

        from ollama_mcp.api.tls import context
        from ollama_mcp.api.transport import FreeListTransport

        try:
            host = httpx.URL(self.base_url).netloc.decode("ascii")
        except httpx.InvalidURL as error:
            raise InvalidArgument(f"Host address {escape(self.base_url, 80)!r} is no URL: {error}.") from None
        self._sent_headers = httpx.Headers({"Host": host, **self._headers})
        self._transport = FreeListTransport(lambda: context(verify=self._verify, ca_file=self._ca_file))
        return self._transport


class Exchange:
    """An answer in progress; closing it early closes its connection."""

    def __init__(self, wire: Wire, call: Call, response: httpx.Response) -> None:
        self.where = wire.where(call)
        self._wire = wire
        self._response = response
        self._parts = aiter(cast("httpx.AsyncByteStream", response.stream))

    async def part(self) -> bytes | None:
        """The next bytes as they come; None at the end."""
        import httpx

        try:
            return await anext(self._parts, None)
        except httpx.TimeoutException:
            raise broken.silent(self.where, self._wire.timeouts.idle, began=True) from None
        except httpx.TransportError as error:
            raise broken.lost_within_answer(self.where) from error

    async def all(self, limit: int = MAX_DOCUMENT) -> bytes:
        """The whole body; BadAnswer where it exceeds the limit."""
        body = bytearray()
        while (part := await self.part()) is not None:
            body += part
            if len(body) > limit:
                raise failures.not_ollama(self.where, f"the answer exceeds {limit // 2**20} MB")
        return bytes(body)

    async def beginning(self, limit: int) -> bytes:
        """At most the first `limit` bytes; what goes wrong on the way ends it early, since the status is the error."""
        body = bytearray()
        try:
            while len(body) < limit and (part := await self.part()) is not None:
                body += part
        except ApiError:
            pass
        return bytes(body[:limit])

    async def aclose(self) -> None:
        """Give the connection back where the answer was read to its end, else close it."""
        self._wire.in_flight -= 1
        await self._response.aclose()


def checked_url(text: str) -> str:
    """The base URL without a trailing slash.

    Raises:
        InvalidArgument: Not an http or https URL, or one with a password, query or fragment.
    """
    parts = urlsplit(text.strip())
    try:
        port_reads = parts.port is None or parts.port > 0
    except ValueError:
        port_reads = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_reads:
        raise InvalidArgument(
            f"Host address {escape(text, 80)!r} is no http:// or https:// URL.",
            next_step="It looks like 'http://127.0.0.1:11434'.",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidArgument(
            f"The address of host {parts.hostname!r} holds a user, a query or a fragment.",
            next_step="Give credentials as a header of that host in the settings instead.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _checked_headers(headers: Mapping[str, str], api_key: str | None) -> dict[str, str]:
    sent = {
        "User-Agent": f"ollama-mcp-server/{__version__}",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    for name, value in headers.items():
        # Ollama refuses an Origin that it does not know, and a non-browser has none.
        if name.lower() == "origin" or not (name + value).isascii() or not (name + value).isprintable():
            raise InvalidArgument(f"Header {escape(name, 40)!r} can't be sent to an Ollama host.")
        sent[name] = value
    if api_key:
        sent["Authorization"] = f"Bearer {api_key}"
    return sent
