"""What belongs to one token stays with it: sessions, questions to the user, confirmations, what is kept for all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from mcp import MCPError
from mcp.types import CallToolResult, InputRequiredResult

from ollama_mcp.simulator import Simulator
from tests.confirmation.user import YES, User, one_round
from tests.security.team import EVERYTHING, team_at
from tests.support import error
from tests.transports.wire import call

MODEL = "llama3.2:3b"
DELETE = "ollama_delete_model"
SECOND = {"second": EVERYTHING}


def deletions(simulator: Simulator) -> int:
    return [seen.path for seen in simulator.requests].count("/api/delete")


async def test_the_question_of_one_token_is_not_answered_by_another(simulator: Simulator, tmp_path: Path) -> None:
    async with (
        team_at(simulator.url, tmp_path, more=SECOND) as team,
        team.client("admin", "2026-07-28", elicitation_callback=User(YES)) as first,
        team.client("second", "2026-07-28", elicitation_callback=User(YES)) as second,
    ):
        asked = await one_round(first, DELETE, {"model": MODEL})
        assert isinstance(asked, InputRequiredResult)
        with pytest.raises(MCPError) as refused:
            await one_round(second, DELETE, {"model": MODEL}, answer=YES, state=asked.request_state)
        assert refused.value.error.code == -32602
        assert not deletions(simulator)
        done = await one_round(first, DELETE, {"model": MODEL}, answer=YES, state=asked.request_state)
        assert isinstance(done, CallToolResult) and not done.is_error
        assert deletions(simulator) == 1


@pytest.mark.parametrize("stateless", [False, True])
async def test_what_one_token_was_asked_no_other_confirms(
    simulator: Simulator, tmp_path: Path, stateless: bool
) -> None:
    async with (
        team_at(simulator.url, tmp_path, more=SECOND, stateless=stateless) as team,
        team.client("admin") as first,
        team.client("admin") as again,
        team.client("second") as second,
    ):
        confirmed = {"model": MODEL, "confirm": True}
        error(await first.call_tool(DELETE, {"model": MODEL}), "needs_confirmation")
        error(await second.call_tool(DELETE, confirmed), "needs_confirmation")
        assert not deletions(simulator)
        # It is the same principal, whichever session it uses.
        assert not (await again.call_tool(DELETE, confirmed)).is_error


async def test_an_event_stream_takes_messages_of_its_token_alone(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path, kind="sse") as team:
        head = f"GET /sse HTTP/1.1\nHost: localhost\nAuthorization: Bearer {team.secrets['user']}\n"
        reader, writer = await team.peer.open(head)
        async with asyncio.timeout(30):
            await reader.readuntil(b"event: endpoint")
            path = (await reader.readuntil(b"\r\n\r\n")).decode().split("data: ")[1].split()[0]

            async def status(name: str) -> int:
                body = json.dumps(call(1, "ollama_status")).encode()
                fields = f"Host: localhost\nContent-Type: application/json\nContent-Length: {len(body)}\n"
                token = f"Authorization: Bearer {team.secrets[name]}\n"
                return (await team.peer.raw(f"POST {path} HTTP/1.1\n{fields}{token}", body)).status

            assert (await status("admin"), await status("other"), await status("user")) == (404, 404, 202)
        writer.close()
