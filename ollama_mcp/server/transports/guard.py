"""The outermost layer of the HTTP transports: every request passes it, whatever its path.

The SDK (mcp 2.3.0, `TransportSecurityMiddleware`) checks Host and Origin on its own routes, takes the first of several
such headers, and has no limits per client. Obsolete when `test_http_guard.py` and `test_http_limits.py` pass with the
SDK's `TransportSecuritySettings` in place of `Guard`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from ollama_mcp.server.auth.authenticator import Authenticator, AuthUnavailable, Unauthenticated, bearer_token
from ollama_mcp.server.auth.challenge import challenge, resource_metadata, resource_metadata_paths
from ollama_mcp.server.transports import MAX_MESSAGE_BYTES
from ollama_mcp.server.transports.asgi import (
    PRINCIPAL_KEY,
    ASGIApp,
    ClientGone,
    Receive,
    Refused,
    Route,
    Scope,
    Send,
    client_address,
    client_of,
    headers,
    read_body,
    route_of,
    send_text,
)
from ollama_mcp.server.transports.cancellation import CancellableRequest
from ollama_mcp.server.transports.client_limits import Client, Clients
from ollama_mcp.server.transports.origin import host_is_allowed, origin_is_allowed
from ollama_mcp.server.transports.page import is_asked, page
from ollama_mcp.settings.model import HttpSettings

_log = logging.getLogger("ollama_mcp.http")
_READY_SECONDS = 5.0
_REVOKED_SECONDS = 1.0


class Guard:
    """An ASGI application that lets only what is allowed, and within limits, through to another one.

    Args:
        app: The application inside.
        settings: Names, origins and limits.
        ready: Asked by /readyz.
        auth: Finds out who sends a request; None lets everybody in.
        endpoint: Path of the MCP endpoint.
        routes: What is served beside it, by path.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: HttpSettings,
        ready: Callable[[], Awaitable[bool]],
        auth: Authenticator | None = None,
        endpoint: str = "/mcp",
        routes: Mapping[str, Route] = {},
    ) -> None:
        self._app = app
        self._routes = routes
        self._auth = auth
        self._endpoint = endpoint
        self._settings = settings
        self._ready = ready
        self._clients = Clients()
        self._requests: set[CancellableRequest] = set()
        self._is_stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] in ("/healthz", "/readyz"):
            await self._probe(scope, send)
            return
        try:
            self._check_headers(scope)
            if self._auth is not None and not self._is_preflight(scope):
                if scope["path"] in resource_metadata_paths(self._auth, self._endpoint):
                    await self._send_resource_metadata(self._auth, scope, send)
                    return
                await self._authenticate(self._auth, scope)
            elif self._auth is None and route_of(self._routes, scope["path"]) is not None:
                raise Refused(403, f"{scope['path']!r:.100} is for tokens only, and this server has none")
            with self._clients.client(client_of(scope)) as client:
                await self._admit(client, scope, receive, send)
        except ClientGone:
            return
        except Refused as refused:
            _log.warning("%s: %s", _log_line(scope, refused.status), refused.reason)
            # What is left of the body is not read, so the connection can't serve another request.
            fields = ((b"connection", b"close"), *refused.fields, *self._readable_by_page(scope))
            await send_text(send, refused.status, refused.text, fields)

    def stop(self) -> None:
        """End all responses, also event streams, and refuse new requests."""
        self._is_stopping = True
        for request in list(self._requests):
            request.stop()

    async def end_revoked(self) -> None:
        """End what is open for tokens that were revoked since, again and again, until cancelled."""
        while self._auth is not None:
            await asyncio.sleep(_REVOKED_SECONDS)
            for request in list(self._requests):
                if request.principal is not None and not await self._auth.still_counts(request.principal):
                    _log.warning("the token %r was revoked: its request is ended", request.principal.name)
                    request.revoke()

    async def _probe(self, scope: Scope, send: Send) -> None:
        # Whatever the Host: a load balancer or an orchestrator probes by address, and the answer reveals nothing.
        if scope["method"] not in ("GET", "HEAD"):
            await send_text(send, 405, "Method Not Allowed", ((b"allow", b"GET, HEAD"),))
        elif scope["path"] == "/healthz" or await self._is_ready():
            await send_text(send, 200, "ok")
        else:
            await send_text(send, 503, "not ready")

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await self._ready()
        except Exception as error:
            _log.warning("the readiness check failed: %.200r", error)
            return False

    def _check_headers(self, scope: Scope) -> None:
        if self._is_stopping:
            raise Refused(503, "the server is stopping")
        if not scope["path"].startswith("/"):
            raise Refused(400, f"request target {scope['path']!r:.100} is not a path")
        # Where both are given, two programs may read two different bodies (request smuggling).
        if headers(scope, b"content-length") and headers(scope, b"transfer-encoding"):
            raise Refused(400, "both Content-Length and Transfer-Encoding")
        hosts = headers(scope, b"host")
        if len(hosts) > 1:
            raise Refused(400, f"{len(hosts)} Host headers")
        if not hosts or not host_is_allowed(hosts[0], [*self._settings.allowed_hosts, *_own_address(scope)]):
            reason = f"Host {hosts[0]!r:.100} is not allowed" if hosts else "no Host header"
            raise Refused(421, reason, text=f"{reason}; http.allowed_hosts lists those that are")
        for origin in headers(scope, b"origin"):
            if not origin_is_allowed(origin, self._settings.allowed_origins):
                raise Refused(403, f"Origin {origin!r:.100} is not allowed")

    async def _authenticate(self, auth: Authenticator, scope: Scope) -> None:
        """Let the request go on with its principal.

        Raises:
            Refused: 401 without a token that counts, 403 where it may do nothing here.
        """
        try:
            principal = await auth.authenticate(bearer_token(headers(scope, b"authorization")))
        except Unauthenticated as error:
            text = page(scope, self._endpoint, needs_token=True) if is_asked(scope, self._endpoint) else ""
            raise Refused(401, error.reason, challenge(auth, scope, self._endpoint, error.code), text=text) from None
        except AuthUnavailable as error:
            raise Refused(503, str(error)) from None
        route = route_of(self._routes, scope["path"])
        if not principal.may("read" if route is None else route.scope):
            needed = "read use" if route is None else route.scope
            fields = challenge(auth, scope, self._endpoint, "insufficient_scope", needed)
            what = "scope to read or use" if route is None else f"scope {route.scope!r}, which this address needs"
            raise Refused(403, f"{principal.name!r:.100} has no {what}", fields)
        scope[PRINCIPAL_KEY] = principal
        # The SDK binds sessions to it.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=principal.name, scopes=[]))

    async def _send_resource_metadata(self, auth: Authenticator, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "Method Not Allowed", ((b"allow", b"GET, HEAD"),))
        body = resource_metadata(auth, scope, self._endpoint)
        await send_text(send, 200, body, self._readable_by_page(scope), content_type=b"application/json")

    def _readable_by_page(self, scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
        """The CORS headers that let a listed page read a refusal, and what token it asks for."""
        origins = headers(scope, b"origin")
        if len(origins) != 1 or not origin_is_allowed(origins[0], self._settings.allowed_origins):
            return ()
        return (
            (b"access-control-allow-origin", origins[0].encode("latin-1")),
            (b"access-control-expose-headers", b"www-authenticate"),
            (b"vary", b"Origin"),
        )

    def _is_preflight(self, scope: Scope) -> bool:
        """Whether a browser asks if a page may send a request; it sends no token with that, and CORS answers it."""
        asked = bool(headers(scope, b"origin") and headers(scope, b"access-control-request-method"))
        return scope["method"] == "OPTIONS" and asked and bool(self._settings.allowed_origins)

    async def _admit(self, client: Client, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._settings
        if scope["method"] == "GET":
            if client["streams"] >= limits.max_streams:
                raise Refused(503, f"over {limits.max_streams} event streams of one client")
            with client.counting("streams"):
                await self._forward(client, scope, receive, send, None)
        elif scope["method"] == "POST":
            if client.calls >= limits.max_calls:
                raise Refused(429, f"over {limits.max_calls} calls of one client in flight")
            if client["unfinished"] >= limits.max_unfinished:
                raise Refused(503, f"over {limits.max_unfinished} unfinished requests of one client")
            if (route := route_of(self._routes, scope["path"])) is not None and route.takes_body:
                with client.counting("unfinished"):
                    await self._forward(client, scope, receive, send, None)
                return
            with client.counting("unfinished"):
                body = await read_body(scope, receive, limit=MAX_MESSAGE_BYTES, seconds=limits.body_seconds)
            with client.counting("posts"):
                await self._forward(client, scope, receive, send, body)
        else:
            await self._forward(client, scope, receive, send, None)

    async def _forward(self, client: Client, scope: Scope, receive: Receive, send: Send, body: bytes | None) -> None:
        request = CancellableRequest(client, self._settings.gone_seconds, scope.get(PRINCIPAL_KEY))
        self._requests.add(request)
        try:
            await request.serve(self._app, scope, receive, send, body)
        except Refused:
            raise
        except Exception as error:
            # The traceback may hold what a user wrote, so it is for those who debug.
            _log.error("%s", _log_line(scope, 500), exc_info=error if _log.isEnabledFor(logging.DEBUG) else None)
            if request.status is None:
                await send_text(send, 500, "Internal Server Error")
            return
        finally:
            self._requests.discard(request)
        if request.status is not None and request.status >= 400:
            _log.warning("%s", _log_line(scope, request.status))


def _own_address(scope: Scope) -> list[str]:
    """The address that the client connected to. As a Host header no web page can choose it: that takes a name."""
    server: tuple[str, int | None] | None = scope.get("server")
    # As a socket for both versions of IP has it where the client used version 4.
    address = server[0].lower().removeprefix("::ffff:") if server is not None else ""
    return [f"[{address}]" if ":" in address else address]


def _log_line(scope: Scope, status: int) -> str:
    # The path comes from the client: quoted and cut, so that it can't forge or flood the log.
    principal = scope.get(PRINCIPAL_KEY)
    name = f" ({principal.name!r:.100})" if principal is not None else ""
    return f"{status} to {scope['method']:.10} {scope['path']!r:.100} from {client_address(scope)}{name}"
