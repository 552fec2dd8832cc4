"""Attacks of our own on the setting `network`, and by a host that sends requests elsewhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.hosts import network_guard
from ollama_mcp.simulator import Simulator
from tests.api.raw_server import Connection, RawRequest, by_path, response, serving, stream, version
from tests.security.test_chained_attacks import SLY
from tests.support import connected, error

MODEL, EMBEDDER = "llama3.2:3b", "nomic-embed-text"


@pytest.mark.parametrize(
    "line", ["FROM qwen3:8b", "from\tqwen3:8b", 'FROM "qwen3:8b"', 'FROM """qwen3:8b"""', "\ufeffFROM qwen3:8b"]
)
async def test_a_users_tool_has_a_base_downloaded_by_a_modelfile(tmp_path: Path, line: str) -> None:
    """B03: `network` off holds however the Modelfile writes it; one that cannot be read is not sent."""
    (tmp_path / "sly.py").write_text(SLY, encoding="utf-8")
    async with (
        Simulator(version="0.5.1") as old,
        connected(old.url, network="off", tools={"folders": [str(tmp_path)]}) as client,
    ):
        assert (await client.call_tool("sly", {"modelfile": f"{line}\nSYSTEM x\n"})).is_error
        assert not [one for one in old.requests if one.path == "/api/create"]


CLOUD_SPELLINGS = [
    "https://ollama.com.",
    "https://OLLAMA.com",
    "https://www.ollama.com/",
    "http://ollama.com:80/x",
    "ollama.com:443",
]


@pytest.mark.parametrize("address", CLOUD_SPELLINGS)
async def test_the_cloud_under_another_spelling(simulator: Simulator, tmp_path: Path, address: str) -> None:
    """B04: `network` off refuses it, files stay, and `auto` does not choose it."""
    async with connected(address, network="off") as client:
        said = error(await client.call_tool("ollama_list_models", {}), "not_allowed")
        assert "would go to ollama.com" in said
    (tmp_path / "note.txt").write_text("CANARY", encoding="utf-8")
    async with connected(address, read={"text_folders": [str(tmp_path)]}) as client:
        chat = {"model": MODEL, "prompt": "Hi", "files": [str(tmp_path / "note.txt")]}
        assert "policy.cloud_files" in error(await client.call_tool("ollama_chat", chat), "not_allowed")
    hosts = {"far": {"url": address}, "near": {"url": simulator.url}}
    async with connected("", hosts=hosts) as client:
        for _ in range(3):
            assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
    assert sum(one.path == "/api/chat" for one in simulator.requests) == 3


REDIRECTS = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_host_that_sends_every_request_elsewhere(status: int) -> None:
    """B14: with the key and the body of a request, nothing goes where a host points."""
    heard: list[bytes] = []

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            await reader.readexactly(length)
            place = b"Location: http://127.0.0.1:%d/\r\n" % there.sockets[0].getsockname()[1]
            writer.write(b"HTTP/1.1 %d Elsewhere\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, place))
            writer.close()
            return

    async with (
        await asyncio.start_server(sink, "127.0.0.1", 0) as there,
        await asyncio.start_server(host, "127.0.0.1", 0) as server,
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        given: dict[str, Any] = {"api_key": "CANARY", "headers": {"X-Key": "CANARY"}, "web": True}
        async with connected(url, cloud_url=url, **given, policy={"pull": "allow", "push": "allow"}) as client:
            for tool, arguments in (
                ("ollama_chat", {"model": MODEL, "prompt": "Hi"}),
                ("ollama_list_models", {}),
                ("ollama_pull_model", {"model": MODEL}),
                ("ollama_push_model", {"model": f"me/{MODEL}"}),
                ("ollama_embed", {"model": EMBEDDER, "input": ["a"]}),
                ("ollama_web_search", {"query": "a"}),
                ("ollama_copy_model", {"source": MODEL, "destination": "mine"}),
            ):
                result = await client.call_tool(tool, arguments)
                assert result.is_error and "CANARY" not in result.model_dump_json(), tool
    assert heard == []


async def test_a_model_that_moves_to_the_cloud_once_it_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """B15: under `network` off the name that was local a moment ago gets nothing more."""
    card: dict[str, Any] = {"capabilities": ["completion"], "details": {"family": "llama"}, "model_info": {}}

    async def show(request: RawRequest, connection: Connection) -> None:
        await response(json.dumps(card))(request, connection)

    none = response('{"models": []}')
    chunk = {"model": MODEL, "created_at": "2026-11-21T02:39:24.32Z", "message": {"role": "assistant", "content": "Hi"}}
    chat = stream({**chunk, "done": True, "done_reason": "stop"})
    host = by_path(show=show, tags=none, ps=none, version=version("0.33.0"), chat=chat)
    async with serving(host) as raw, connected(raw.url, network="off") as client:
        assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
        card["remote_host"] = "https://ollama.com:443"
        # A card counts for a second.
        monkeypatch.setattr(network_guard, "_CARD_SECONDS", 0.0)
        sent = len(raw.requests)
        said = error(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "CANARY"}), "not_allowed")
        assert "network" in said
        assert "CANARY" not in str([one.body for one in raw.requests])
        assert not [one for one in raw.requests[sent:] if one.path == "/api/chat"]
