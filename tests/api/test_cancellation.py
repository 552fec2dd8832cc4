"""A call that is cancelled, at whichever moment, leaves no connection open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from ollama_mcp.api import GenerateRequest, OllamaClient
from tests.api.raw_server import error, generate_chunk, generate_end, serving, stream

if TYPE_CHECKING:
    from tests.api.certificates import Authority
    from tests.api.raw_server import Script

ANSWERS = {
    "stream": stream(generate_chunk("a"), generate_end("b")),
    "error": error("model 'm' not found", 404),
}


async def call(client: OllamaClient, scope: anyio.CancelScope) -> bool:
    """Make a call within the scope; whether it ran to its end."""
    with scope:
        async with client.generate(GenerateRequest(model="m", prompt="hi")) as pieces:
            async for _ in pieces:
                pass
    return not scope.cancelled_caught


@pytest.mark.parametrize("by", ["task", "task, twice", "scope"])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_a_call_cancelled_at_any_moment_up_to_its_last_leaves_no_connection(
    authority: Authority, answer: Script, tls: bool, by: str
) -> None:
    async with serving(answer, tls=authority.server() if tls else None) as server:
        async with OllamaClient(server.url, ca_file=str(authority.ca)) as client:
            # The HTTP library is imported and the CA read before it counts.
            await asyncio.gather(call(client, anyio.CancelScope()), return_exceptions=True)
            ended, turns = False, 0
            while not ended:
                scope = anyio.CancelScope()
                running = asyncio.create_task(call(client, scope))
                for _ in range(turns):
                    await asyncio.sleep(0)
                for _ in range(2 if by == "task, twice" else 1):
                    if by == "scope":
                        scope.cancel()
                    else:
                        running.cancel()
                    await asyncio.sleep(0)
                (outcome,) = await asyncio.gather(running, return_exceptions=True)
                ended = not isinstance(outcome, asyncio.CancelledError) and outcome is not False
                assert client.requests_in_flight == 0
                turns += 1
        async with asyncio.timeout(30):
            for connection in server.connections:
                await connection.gone.wait()
    assert len(server.connections) > 5
