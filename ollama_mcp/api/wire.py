"""One host's HTTP: headers, time limits, repeats, and an error of this project for everything that is no 2xx."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import TYPE_CHECKING, TypeVar

from ollama_mcp.api import broken, failures
from ollama_mcp.api.address import checked_headers, checked_url
from ollama_mcp.api.exchange import Call, Exchange, Timeouts
from ollama_mcp.api.failures import Where
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.text import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx
    from pydantic import BaseModel

    from ollama_mcp.api.transport import FreeListTransport

    M = TypeVar("M", bound=BaseModel)

_MAX_ERROR_BODY = 64 * 2**10
_IN_THREAD = 64 * 2**10
_CONNECT_ATTEMPTS = 3
_PAUSE_SECONDS = 0.1
_KEPT_URLS = 32


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
        self._headers = checked_headers(headers, api_key)
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
        page = failures.described_page(status, headers) if call.method == "HEAD" else ""
        if 200 <= status < 300 and encoding == "identity" and not page:
            return exchange
        try:
            if encoding != "identity":
                what = f"the answer is compressed ({failures.shown_body(encoding.encode())}), which was not asked for"
                raise failures.not_ollama(exchange.where, what, status)
            if page:
                raise failures.not_ollama(exchange.where, f"status {status} for {page}", status)
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
