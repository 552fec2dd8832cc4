"""Forms over real streamable HTTP: the question reaches the user and the answer comes back, in both eras."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitResult

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.transports.http import serve_http
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from tests.confirmation.user import NO, YES, User
from tests.support import error, texts

MODEL = "llama3.2:3b"
DELETE: dict[str, Any] = {"model": MODEL}


@asynccontextmanager
async def _served(simulator: Simulator, *, stateless: bool = False) -> AsyncGenerator[str]:
    """The URL of a server on a free port, on this test's event loop."""
    chosen = Settings.model_validate({"host": simulator.url, "store": {"path": ":memory:"}})
    server = OllamaServer(chosen)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_http(
            server,
            kind="http",
            host="127.0.0.1",
            port=0,
            uds=None,
            stateless=stateless,
            settings=chosen.http,
            ready=server.hosts.ready,
            listening=url.set_result,
        )
    )
    await asyncio.wait([serving, url], return_when=asyncio.FIRST_COMPLETED)
    try:
        if serving.done():
            await serving
        yield await url
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def _deleted(simulator: Simulator) -> bool:
    return any(seen.path == "/api/delete" for seen in simulator.requests)


@pytest.mark.parametrize(("mode", "stateless"), [("legacy", False), ("2026-07-28", False), ("2026-07-28", True)])
@pytest.mark.parametrize("answer", [YES, NO])
async def test_what_the_user_answers_over_http_is_what_happens(
    simulator: Simulator, mode: str, stateless: bool, answer: ElicitResult
):
    user = User(answer)
    async with (
        _served(simulator, stateless=stateless) as url,
        Client(url, mode=mode, elicitation_callback=user) as client,
    ):
        result = await client.call_tool("ollama_delete_model", DELETE)
    assert len(user.forms) == 1 and MODEL in user.questions[0]
    assert _deleted(simulator) is (answer is YES)
    if answer is YES:
        assert not result.is_error, texts(result)
    else:
        error(result, "declined")


async def test_a_handshake_without_a_session_has_nobody_to_ask(simulator: Simulator):
    user = User(YES)
    async with (
        _served(simulator, stateless=True) as url,
        Client(url, mode="legacy", elicitation_callback=user) as client,
    ):
        error(await client.call_tool("ollama_delete_model", DELETE), "needs_confirmation")
    assert not user.forms and not _deleted(simulator)
