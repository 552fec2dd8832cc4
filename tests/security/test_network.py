"""The setting `network`: nobody beside the configured hosts is reached, whatever asks, and the ledger shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import TextResourceContents

from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from ollama_mcp.store import Store
from tests.api.raw_server import RawServer, by_path, response, serving, version
from tests.security.team import team_at
from tests.support import connected, data, error, texts

pytestmark = pytest.mark.usefixtures("quick_pulls")
MODEL = "llama3.2:3b"
CLOUD = "gpt-oss:120b-cloud"
# A user's tool that asks for everything by itself.
USER_TOOLS = '''
"""Tools of a user."""

from ollama_mcp import READS, Answer, Call, tool
from ollama_mcp.api import CreateRequest, EmbedRequest, GenerateRequest


@tool(title="Reach out", toolset="mine", hints=READS)
async def my_reach(call: Call, what: str, name: str) -> Answer:
    """Reach somebody else."""
    client = call.client
    match what:
        case "generate":
            await client.generate(GenerateRequest(model=name, prompt="CANARY")).collect()
        case "embed":
            await client.embed(EmbedRequest(model=name, input="CANARY"))
        case "search":
            await client.web_search("CANARY")
        case "page":
            await client.web_fetch("https://example.com")
        case "cloud":
            await call.hosts.cloud_client().generate(GenerateRequest(model="gpt-oss:120b", prompt="CANARY")).collect()
        case "account":
            await client.me()
        case "recommendations":
            await client.recommendations()
        case "fetch":
            await call.access.fetch(name)
        case _:
            streams = {
                "pull": lambda: client.pull(name),
                "push": lambda: client.push(name),
                "base": lambda: client.create(CreateRequest(model="mine", from_=name)),
                "remote": lambda: client.create(CreateRequest(model="mine", from_="llama3.2:3b", remote_host=name)),
                "modelfile": lambda: client.create(CreateRequest(model="mine", modelfile=f"FROM {name}")),
            }
            async with streams[what]() as events:
                async for _ in events:
                    pass
    return Answer(text="done", model="none")
'''
REACHES = [
    ("generate", CLOUD),
    ("generate", "GPT-OSS:120B-Cloud"),
    ("embed", CLOUD),
    ("search", ""),
    ("page", ""),
    ("cloud", ""),
    ("account", ""),
    ("recommendations", ""),
    ("fetch", "https://example.com/"),
    ("pull", "qwen3:8b"),
    ("pull", "{sink}/a/b"),
    ("push", MODEL),
    ("push", "{sink}/a/b"),
    ("base", "{sink}/a/b"),
    ("base", "qwen3:8b"),
    ("base", CLOUD),
    ("remote", "http://{sink}"),
    ("modelfile", "{sink}/a/b"),
]
# The endpoints by which Ollama itself reaches others.
OUTWARD = ("/api/pull", "/api/push", "/api/create", "/api/me")


@asynccontextmanager
async def a_sink() -> AsyncGenerator[tuple[str, list[bytes]]]:
    """An address that stands for everybody else, and what came there."""
    seen: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(65_536))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


def settings(folder: Path, sink: str, network: str) -> dict[str, Any]:
    """Everything else allows everything."""
    (folder / "mine").mkdir(exist_ok=True)
    (folder / "mine" / "mine.py").write_text(USER_TOOLS, encoding="utf-8")
    return {
        "network": network,
        "tools": {"toolsets": ["all"], "folders": [str(folder / "mine")]},
        "web": True,
        "urls": {"enabled": True},
        "policy": {
            **dict.fromkeys(("delete", "overwrite", "push", "pull", "unload", "cloud_files", "cloud_images"), "allow"),
            "registries": ["registry.ollama.ai", sink],
        },
        "store": {"path": str(folder / "store.sqlite3")},
        "ledger": {"enabled": True},
    }


async def reached(folder: Path) -> set[str]:
    """The addresses that the ledger has, of requests that were sent."""
    store = Store(folder / "store.sqlite3")
    try:
        store.open_ledger(Settings.model_validate({"ledger": {"enabled": True}, "store": {"path": str(store.path)}}))
        assert store.ledger is not None
        rows = [row async for row in store.ledger.entries()]
    finally:
        await store.aclose()
    return {one["address"] for row in rows for one in row["traffic"] if one["bytes_out"] or one["bytes_in"]}


def outward(simulator: Simulator) -> list[str]:
    """The requests that make Ollama reach others."""
    return [
        f"{request.method} {request.path}"
        for request in simulator.requests
        if request.path in OUTWARD
        or "web_" in request.path
        or "experimental" in request.path
        or "cloud" in request.model
    ]


async def _reach(client: Client, sink: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for what, name in REACHES:
        name = name.replace("{sink}", sink)
        result = await client.call_tool("my_reach", {"what": what, "name": name})
        said[f"{what} {name}"] = texts(result)[0]
    return said


@pytest.mark.parametrize("network", ["off", "registry"])
async def test_a_tool_of_the_user_reaches_nobody_else(simulator: Simulator, tmp_path: Path, network: str):
    async with a_sink() as (sink, seen):
        given = settings(tmp_path, sink, network)
        cloud = {"api_key": "key", "cloud_url": f"http://{sink}"}
        async with connected(simulator.url, **cloud, **given) as client:
            said = await _reach(client, sink)
        allowed = {"pull qwen3:8b", f"pull {sink}/a/b", f"base {sink}/a/b", "base qwen3:8b", f"modelfile {sink}/a/b"}
        for what, text in said.items():
            if network == "off" or what not in allowed:
                assert text.startswith("[not_allowed]") and f"network is '{network}'" in text, (what, text)
        if network == "off":
            assert outward(simulator) == []
        assert seen == []
    assert await reached(tmp_path) == {simulator.url}


async def test_without_the_setting_the_same_calls_do_reach_others(simulator: Simulator, tmp_path: Path):
    async with a_sink() as (sink, seen):
        cloud = {"api_key": "key", "cloud_url": f"http://{sink}"}
        async with connected(simulator.url, **cloud, **settings(tmp_path, sink, "full")) as client:
            await _reach(client, sink)
        assert {request.split()[1] for request in outward(simulator)} > set(OUTWARD)
        assert any(b"CANARY" in one for one in seen)
    assert f"http://{sink}" in await reached(tmp_path)


async def test_the_tools_reach_nobody_else_and_those_that_cannot_work_are_not_offered(
    simulator: Simulator, tmp_path: Path
):
    arguments: dict[str, dict[str, Any]] = {
        "ollama_chat": {"model": CLOUD, "prompt": "CANARY"},
        "ollama_generate": {"model": CLOUD, "prompt": "CANARY"},
        "ollama_compare": {"models": [CLOUD, "glm-5:cloud"], "prompt": "CANARY"},
        "ollama_batch": {"model": CLOUD, "input": ["CANARY"], "prompt": "{text}"},
        "ollama_embed": {"model": CLOUD, "input": ["CANARY"]},
        "ollama_decide": {"model": CLOUD, "texts": ["CANARY"], "questions": [{"question": "Good?"}]},
        "ollama_load_model": {"model": CLOUD},
        "ollama_pull_model": {"model": "qwen3:8b"},
        "ollama_push_model": {"model": MODEL},
        "ollama_create_model": {"model": "mine", "from": "qwen3:8b"},
        "ollama_web_search": {"query": "CANARY"},
        "ollama_web_fetch": {"url": "https://example.com"},
    }
    async with a_sink() as (sink, seen):
        cloud = {"api_key": "key", "cloud_url": f"http://{sink}"}
        async with connected(simulator.url, **cloud, **settings(tmp_path, sink, "off")) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert not names & {"ollama_pull_model", "ollama_push_model", "ollama_web_search", "ollama_web_fetch"}
            for name in sorted(names | arguments.keys()):
                result = await client.call_tool(name, arguments.get(name, {}))
                if name in arguments and name not in ("ollama_compare", "ollama_batch", "ollama_create_model"):
                    assert "network" in error(result, "not_allowed"), name
            chat = {"model": "gemma3:4b", "prompt": "Hi", "images": ["https://example.com/a.png"]}
            assert "network is 'off'" in error(await client.call_tool("ollama_chat", chat), "not_allowed")
            assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
        assert (outward(simulator), seen) == ([], [])
    assert await reached(tmp_path) == {simulator.url}


async def test_a_model_that_the_host_says_runs_elsewhere_gets_nothing():
    card = {"capabilities": ["completion"], "remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"}
    none = response('{"models": []}')
    host = by_path(show=response(json.dumps(card)), tags=none, ps=none, version=version("0.33.0"))
    async with serving(host) as raw, connected(raw.url, network="off") as client:
        for tool in ("ollama_chat", "ollama_generate"):
            said = error(await client.call_tool(tool, {"model": "mine", "prompt": "CANARY"}), "not_allowed")
            assert "ollama.com" in said and "network" in said
        assert _inference(raw) == []


def _inference(raw: RawServer) -> list[str]:
    return [request.path for request in raw.requests if request.path in ("/api/chat", "/api/generate")]


async def test_a_host_that_is_ollama_com_is_not_asked():
    async with connected("https://ollama.com", network="off") as client:
        said = error(await client.call_tool("ollama_list_models", {}), "not_allowed")
    assert "ollama.com" in said and "network" in said


async def test_it_holds_over_http_for_every_token(simulator: Simulator, tmp_path: Path):
    async with a_sink() as (sink, seen), team_at(simulator.url, tmp_path, **settings(tmp_path, sink, "off")) as team:
        for era in ("legacy", "2026-07-28"):
            async with team.client("admin", era) as client:
                for text in (await _reach(client, sink)).values():
                    assert text.startswith("[not_allowed]"), text
        assert (outward(simulator), seen) == ([], [])


async def test_a_pull_from_a_listed_registry_works_under_registry(simulator: Simulator):
    async with connected(simulator.url, network="registry", policy={"pull": "allow"}) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert data(await client.call_tool("ollama_pull_model", {"model": "qwen3:8b"}))
        said = error(await client.call_tool("ollama_pull_model", {"model": "example.com/a/b"}), "not_allowed")
        assert "policy.registries" in said
    assert "ollama_pull_model" in names and "ollama_push_model" not in names


async def test_the_guides_do_not_promise_what_is_off(simulator: Simulator):
    async with connected(simulator.url, network="off", urls={"enabled": True}) as client:
        (content,) = (await client.read_resource("ollama://guides/vision")).contents
    assert isinstance(content, TextResourceContents)
    assert "are off in the settings" in content.text
