"""The routes of each generation, the router's own 404 and 405, and the Host and Origin checks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.routes import account, create, decisions, embeddings, inference, models, transfers
from ollama_mcp.simulator.server_versions import Generation

Handler = Callable[[Machine, HttpRequest, ResponseWriter], Awaitable[None]]


@dataclass(frozen=True)
class Route:
    """A handler for some methods, since a version."""

    methods: str
    handler: Handler
    since: tuple[int, ...] = (0,)


_ROUTES: dict[str, list[Route]] = {
    "/": [Route("HEAD GET", account.root)],
    "/api/version": [Route("HEAD GET", account.version)],
    "/api/status": [Route("GET", account.status, (0, 16, 2))],
    "/api/tags": [Route("HEAD GET", models.tags)],
    "/api/ps": [Route("GET", models.running)],
    "/api/show": [Route("POST", models.show)],
    "/api/generate": [Route("POST", inference.generate)],
    "/api/chat": [Route("POST", inference.chat)],
    "/api/embed": [Route("POST", embeddings.embed, (0, 2, 6))],
    "/api/embeddings": [Route("POST", embeddings.embeddings)],
    "/api/copy": [Route("POST", models.copy)],
    "/api/delete": [Route("DELETE", models.delete)],
    "/api/pull": [Route("POST", transfers.pull)],
    "/api/push": [Route("POST", transfers.push)],
    "/api/create": [Route("POST", create.create)],
    "/api/blobs/:digest": [Route("HEAD", transfers.check_blob), Route("POST", transfers.store_blob)],
    "/v1/models": [Route("GET", models.openai_models)],
    "/api/me": [Route("POST", account.me, (0, 12, 0))],
    "/api/signout": [Route("POST", account.signout, (0, 12, 1))],
    "/api/experimental/web_search": [Route("POST", account.web_search, (0, 18, 0))],
    "/api/experimental/web_fetch": [Route("POST", account.web_fetch, (0, 18, 0))],
    "/api/balance": [Route("GET", account.balance, (0, 40, 1))],
    "/api/usage": [Route("GET", account.usage, (0, 40, 1))],
    "/v1/systemone": [Route("POST", decisions.systemone, (0, 35, 0))],
    "/api/experimental/model-recommendations": [Route("GET", account.recommendations, (0, 22, 1))],
}
_BLOB = re.compile(r"/api/blobs/[^/]+")
# Origins that Ollama allows by default, for web pages on this machine and for desktop apps.
_LOCAL_ORIGINS = ("localhost", "127.0.0.1", "0.0.0.0")
_APP_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")


async def dispatch(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Serve a request, or reject it as the router does."""
    # Checked before routing, like the real server: even an unknown path gives 403.
    if not _host_allowed(request.headers.get("host", "")) or not _origin_allowed(request.headers.get("origin")):
        return response.send(403)
    routes = _routes_for(request.path, machine.generation)
    for route in routes:
        if request.method in route.methods.split():
            return await route.handler(machine, request, response)
    # Before v0.7.0 a wrong method was treated like an unknown path.
    if routes and machine.generation.has_method_not_allowed:
        allowed = ", ".join(method for route in routes for method in route.methods.split())
        return response.text(405, "405 method not allowed", headers={"Allow": allowed})
    response.text(404, "404 page not found")


def _routes_for(path: str, generation: Generation) -> list[Route]:
    # Any text is routed as a digest; its form is checked by the handler.
    path = "/api/blobs/:digest" if _BLOB.fullmatch(path) else path
    return [route for route in _ROUTES.get(path, []) if generation.since(*route.since)]


@lru_cache(maxsize=64)
def _host_allowed(header: str) -> bool:
    # An IPv6 address without a port ends with its bracket.
    host = header.rsplit(":", 1)[0] if not header.endswith("]") else header
    host = host.strip("[]").lower()
    if host in ("", "localhost") or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified


def _origin_allowed(origin: str | None) -> bool:
    if not origin:
        return True
    parts = urlsplit(origin)
    return parts.scheme in _APP_SCHEMES or (parts.hostname or "") in _LOCAL_ORIGINS
