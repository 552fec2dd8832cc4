"""ollama.com on loopback: the same endpoints behind a key, with its web search, its limits and its bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.cards import CLOUD
from ollama_mcp.simulator.encoding import as_object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.account import fetched_page, search_results
from ollama_mcp.simulator.runner import Latency
from ollama_mcp.simulator.server import Simulator

Standing = Literal["good", "unpaid", "limited"]
_OPEN = ("/", "/api/version")
_RETRY_AFTER = 30


class CloudSimulator(Simulator):
    """A simulated ollama.com. All but the front page wants `Authorization: Bearer KEY`.

    Args:
        keys: Keys and how they stand: "good", "unpaid" (402) or "limited" (429 with Retry-After).
        models: Models that run there, by name; None is a choice of them.
        port: As in Simulator.
        latency: As in Simulator.
    """

    def __init__(
        self,
        keys: Mapping[str, Standing] | None = None,
        models: Iterable[str] | None = None,
        *,
        port: int = 0,
        latency: float | Latency = 0.0,
    ) -> None:
        super().__init__("latest", models or (), port=port, latency=latency)
        self.keys: dict[str, Standing] = dict(keys or {"simulated-key": "good"})
        if models is None:
            for card in CLOUD:
                self.store.install(card)
        self.machine.scheduler.max_loaded = 1_000

    async def _answer(self, request: Request, reply: Reply) -> None:
        try:
            if request.path not in _OPEN:
                self._check_key(request)
        except Failure as failure:
            limited = failure.status == 429
            headers = {"Retry-After": str(_RETRY_AFTER)} if limited else None
            return reply.json(failure.body, failure.status, headers=headers)
        if not self._served_here(request, reply):
            await super()._answer(request, reply)

    def _check_key(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        standing = self.keys.get(key) if scheme.lower() == "bearer" else None
        if standing is None:
            raise Failure(401, "unauthorized")
        if standing == "unpaid":
            raise Failure(402, "payment required: this model needs a subscription, see https://ollama.com/upgrade")
        if standing == "limited":
            raise Failure(429, "you have reached your usage limit, please wait or upgrade")

    def _served_here(self, request: Request, reply: Reply) -> bool:
        """Answer what the local server does not have under that path."""
        match request.method, request.path:
            case "POST", "/api/web_search":
                body = as_object(decoding.parse(request.body))
                reply.json(search_results(str(body.get("query", "")), int(body.get("max_results") or 5)))
            case "POST", "/api/web_fetch":
                reply.json(fetched_page(str(as_object(decoding.parse(request.body)).get("url", ""))))
            case _:
                return False
        return True
