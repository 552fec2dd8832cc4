"""ollama.com on a loopback address: the same endpoints behind a key, with web search, limits and billing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from ollama_mcp.simulator import go_json
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import as_object
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.library import CLOUD_MODELS
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.routes.account import simulated_page, simulated_search
from ollama_mcp.simulator.scheduler import Latency
from ollama_mcp.simulator.server import Simulator

KeyState = Literal["good", "unpaid", "limited"]
_PUBLIC_PATHS = ("/", "/api/version")
_RETRY_AFTER_SECONDS = 30


class CloudSimulator(Simulator):
    """A simulated ollama.com. All endpoints except `/` and `/api/version` require `Authorization: Bearer KEY`.

    Args:
        keys: Keys and their state: "good", "unpaid" (402) or "limited" (429 with Retry-After).
        models: Models that run there, by name; None is a selection.
        port: As in Simulator.
        latency: As in Simulator.
    """

    def __init__(
        self,
        keys: Mapping[str, KeyState] | None = None,
        models: Iterable[str] | None = None,
        *,
        port: int = 0,
        latency: float | Latency = 0.0,
    ) -> None:
        super().__init__("latest", models or (), port=port, latency=latency)
        self.keys: dict[str, KeyState] = dict(keys or {"simulated-key": "good"})
        if models is None:
            for model in CLOUD_MODELS:
                self.store.install(model)
        # Effectively unlimited: the cloud does not evict models.
        self.machine.scheduler.max_loaded = 1_000

    async def _respond(self, request: HttpRequest, response: ResponseWriter) -> None:
        try:
            if request.path not in _PUBLIC_PATHS:
                self._check_key(request)
        except ErrorResponse as error:
            limited = error.status == 429
            headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if limited else None
            return response.json(error.body, error.status, headers=headers)
        if not self._serve_web(request, response):
            await super()._respond(request, response)

    def _check_key(self, request: HttpRequest) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        state = self.keys.get(key) if scheme.lower() == "bearer" else None
        if state is None:
            raise ErrorResponse(401, "unauthorized")
        if state == "unpaid":
            raise ErrorResponse(
                402, "payment required: this model needs a subscription, see https://ollama.com/upgrade"
            )
        if state == "limited":
            raise ErrorResponse(429, "you have reached your usage limit, please wait or upgrade")

    def _serve_web(self, request: HttpRequest, response: ResponseWriter) -> bool:
        """Serve web search and fetch, which have other paths on a local server; returns whether it did."""
        match request.method, request.path:
            case "POST", "/api/web_search":
                body = as_object(go_json.parse(request.body))
                response.json(simulated_search(str(body.get("query", "")), int(body.get("max_results") or 5)))
            case "POST", "/api/web_fetch":
                response.json(simulated_page(str(as_object(go_json.parse(request.body)).get("url", ""))))
            case _:
                return False
        return True
