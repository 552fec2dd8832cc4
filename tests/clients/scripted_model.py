"""A model that says what a test has written down, for hosts that want one behind the agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Self

from ollama_mcp.simulator.http import Connection, HttpRequest
from ollama_mcp.simulator.response import ResponseWriter
from tests.clients.dialects import Dialect, Json, Use, dialect_of

# Yields calls and words; is sent what the host shows of the last result.
Script = Generator[Use | str, str, Any]
_ASIDE = "ok"


@dataclass(frozen=True)
class Asked:
    """A request of a host for the agent's next turn.

    Args:
        tools: Names of the tools that the host offers to the model.
        results: What it shows of each result so far, oldest first.
        body: The whole request.
    """

    tools: list[str]
    results: list[str]
    body: Json


class ScriptedModel:
    """Serves models' APIs on loopback.

    It is the proxy of its host too: what the host sends to anywhere else comes here and goes no further.

    Args:
        script: What the model says, one turn after another.
        prefix: What the host puts before a tool's name, for tools that it does not name in its request.

    Attributes:
        asked: The requests for a turn, oldest first.
    """

    def __init__(self, script: Script, prefix: str = "") -> None:
        self.asked: list[Asked] = []
        self._script, self._prefix = script, prefix
        self._said: list[Use | str] = []
        self._connections: set[Connection] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, lambda _: None, self._connections), "127.0.0.1", 0
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.reset()
        # Transports close in the next iteration of the event loop.
        await asyncio.sleep(0)

    async def _serve(self, connection: Connection, request: HttpRequest) -> None:
        response = ResponseWriter(connection, request)
        if request.headers.get("host") != self.url.removeprefix("http://"):
            response.send(403)
        elif dialect := dialect_of(request.path):
            body = json.loads(request.body)
            response.send(200, dialect.answer(body, self._answer(dialect, body)), "text/event-stream")
        else:
            response.json({}, 404 if request.method == "GET" else 200)

    def _answer(self, dialect: Dialect, body: Json) -> Use | str:
        asked = Asked(dialect.tools(body), dialect.results(body), body)
        # A request without tools is no turn of the agent: the host wants a title, or a summary.
        if not asked.tools:
            return _ASIDE
        turn = dialect.turns(body)
        # A host that asks again gets the same answer.
        if turn == len(self._said):
            self.asked.append(asked)
            self._said.append(self._script.send(asked.results[-1]) if turn else next(self._script))
        said = self._said[turn]
        if isinstance(said, str):
            return said
        hidden = self._prefix + said.tool if said.tool.startswith("ollama_") else said.tool
        return Use(next((name for name in asked.tools if name.endswith(said.tool)), hidden), said.arguments)
