"""What belongs to one token stays with it: sessions, questions to the user, confirmations, what is kept for all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from mcp import MCPError
from mcp.types import CallToolResult, InputRequiredResult

from ollama_mcp.server.auth.token_file import revoke_token
from ollama_mcp.simulator import Answer, Simulator
from tests.confirmation.user import YES, User, one_round
from tests.security.team import ERAS, EVERYTHING, Era, team_at
from tests.support import error, until
from tests.transports.wire import call, initialize

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


@pytest.mark.parametrize("era", ERAS)
async def test_a_revoked_token_ends_its_calls_and_streams(simulator: Simulator, tmp_path: Path, era: Era) -> None:
    """Also where no other request makes the server look at the file again."""
    async with team_at(simulator.url, tmp_path) as team:
        simulator.script(MODEL, *[Answer(text="never", hold="gate")] * 2)
        peer = team.peer
        form = "modern"
        if era == "legacy":
            form = "legacy"
            peer.session = (await peer.post(initialize(), **team.headers("user"))).header("mcp-session-id")
        given = {"model": MODEL, "prompt": "Hi"}
        revoked = peer.post(call(1, "ollama_generate", era=form, **given), form, **team.headers("user"))
        kept = team.peer.post(call(1, "ollama_generate", era="modern", **given), "modern", **team.headers("other"))
        calling, other = asyncio.create_task(revoked), asyncio.create_task(kept)
        await until(lambda: sum(seen.path == "/api/generate" for seen in simulator.requests) == 2)
        revoke_token(team.file, "user")
        await until(lambda: len(simulator.disconnects) == 1)
        answer = await calling
        assert answer.status in (200, 503) and b"result" not in answer.body
        assert not other.done() and len(simulator.disconnects) == 1
        other.cancel()
