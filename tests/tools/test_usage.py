"""What the status says of the work that was done: by which model, from whose files, here or on ollama.com."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import TextResourceContents

from ollama_mcp.simulator import Answer, Simulator
from tests.api.raw_server import by_path, chat_chunk, chat_end, response, serving, stream, version
from tests.support import connected, data, text

LLAMA, GEMMA, EMBED = "llama3.2:3b", "gemma3:4b", "nomic-embed-text"
CLOUD = "gpt-oss:120b-cloud"


async def _usage(client: Client) -> dict[str, Any]:
    return data(await client.call_tool("ollama_status", {}))["usage"]


async def _by_model(client: Client) -> dict[str, Any]:
    """The usage of this run with its models."""
    (content,) = (await client.read_resource("ollama://usage")).contents
    assert isinstance(content, TextResourceContents)
    return json.loads(content.text)["this_run"]


async def _line(client: Client) -> str:
    """What the status says after the server's version."""
    lines = text(await client.call_tool("ollama_status", {})).splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("ollama-mcp-server "))
    return "\n".join(lines[place + 1 :])


async def _chat(client: Client, model: str = LLAMA, **more: Any) -> None:
    assert not (await client.call_tool("ollama_chat", {"model": model, "prompt": "Hi", **more})).is_error


async def test_nothing_is_said_before_anything_was_done(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert await _usage(client) == {"counted": True}
        assert await _line(client) == ""


async def test_calls_and_tokens_are_counted_by_model(simulator: Simulator):
    simulator.script(LLAMA, Answer("a", tokens=1_200, prompt_tokens=30), Answer("b", tokens=100, prompt_tokens=20))
    simulator.script(GEMMA, Answer("c", tokens=5, prompt_tokens=10))
    async with connected(simulator.url) as client:
        await _chat(client)
        await _chat(client)
        await _chat(client, GEMMA)
        run = await _by_model(client)
        assert await _line(client) == "This run: 3 calls, 1,305 tokens written."
    first, second = run["local_models"]
    assert (first["model"], first["calls"], first["prompt_tokens"], first["tokens"]) == (LLAMA, 2, 50, 1_300)
    assert (second["model"], second["tokens"], second["file_tokens"]) == (GEMMA, 5, 0)
    assert run["local"]["seconds"] >= 0 and "cloud" not in run


async def test_spellings_of_one_model_are_one_row_named_by_the_busiest(simulator: Simulator):
    simulator.script(LLAMA, *(Answer("a", tokens=tokens) for tokens in (5, 90, 5)))
    async with connected(simulator.url) as client:
        for spelling in ("Llama3.2:3B", LLAMA, f"library/{LLAMA}"):
            await _chat(client, spelling)
        run = await _by_model(client)
    assert [(row["model"], row["calls"], row["tokens"]) for row in run["local_models"]] == [(LLAMA, 3, 100)]


async def test_the_status_has_sums_alone_and_each_version_under_its_own_name(simulator: Simulator):
    async with connected(simulator.url) as client:
        await _chat(client)
        status = data(await client.call_tool("ollama_status", {}))
    assert set(status["usage"]["this_run"]) == {"local"}
    assert "mcp_server_version" in status and status["hosts"][0]["ollama_version"]


async def test_the_status_tells_what_an_old_version_lacks():
    async with Simulator(version="0.5.7") as old, connected(old.url) as client:
        result = await client.call_tool("ollama_status", {})
    assert data(result)["hosts"][0]["lacks"] == ["thinking", "logprobs", "decision models"]
    assert "this version lacks thinking, logprobs, decision models" in text(result)


async def test_what_ollama_com_did_is_in_no_local_sum(simulator: Simulator):
    simulator.script(LLAMA, Answer("a", tokens=7))
    simulator.script("gpt-oss:120b", Answer("b", tokens=1_000))
    async with connected(simulator.url) as client:
        await _chat(client)
        await _chat(client, CLOUD)
        run = await _by_model(client)
        assert await _line(client) == (
            "This run: 1 call, 7 tokens written, on ollama.com 1 call, 1,000 tokens written."
        )
    assert (run["local"]["tokens"], run["cloud"]["tokens"]) == (7, 1_000)
    assert [row["model"] for row in run["cloud_models"]] == [CLOUD]
    assert [row["model"] for row in run["local_models"]] == [LLAMA]


async def test_a_model_with_a_local_name_that_ran_on_ollama_com_counts_there():
    end = {**chat_end(), "remote_host": "https://ollama.com:443", "prompt_eval_count": 5, "eval_count": 9}
    none = response('{"models": []}')
    host = by_path(
        show=response('{"capabilities": ["completion"]}'),
        tags=none,
        ps=none,
        version=version("0.33.0"),
        chat=stream(chat_chunk("Hi."), end),
    )
    async with serving(host) as raw, connected(raw.url) as client:
        await _chat(client, "m")
        run = await _by_model(client)
    assert run["cloud"]["tokens"] == 9 and "local_models" not in run


async def test_tokens_of_files_that_the_agent_never_saw_are_told(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "long.txt").write_text("seven words make some tokens here, perhaps\n" * 100)
    monkeypatch.chdir(tmp_path)
    async with connected(simulator.url) as client:
        await _chat(client, files=[str(tmp_path / "long.txt")])
        local = (await _usage(client))["this_run"]["local"]
        assert f", {local['file_tokens']:,} read from files that did not pass through you." in await _line(client)
    assert 500 < local["file_tokens"] < 2_000


async def test_a_later_run_tells_what_was_done_in_all(simulator: Simulator, tmp_path: Path):
    kept = {"path": str(tmp_path / "store.sqlite3")}
    async with connected(simulator.url, store=kept) as client:
        await _chat(client)
        before = (await _usage(client))["in_all"]
        assert before == (await _usage(client))["this_run"]
    async with connected(simulator.url, store=kept) as client:
        assert await _usage(client) == {"counted": True, "in_all": before}
        assert (await _line(client)).startswith("In all: 1 call, ")
        await _chat(client)
        usage = await _usage(client)
        assert (usage["this_run"]["local"]["calls"], usage["in_all"]["local"]["calls"]) == (1, 2)
        line = await _line(client)
    assert line.startswith("This run: 1 call, ") and "; in all: 2 calls, " in line and "\n" not in line


async def test_switched_off_it_says_so_and_nothing_is_kept(simulator: Simulator, tmp_path: Path):
    kept = {"path": str(tmp_path / "store.sqlite3")}
    async with connected(simulator.url, store={**kept, "usage": False}) as client:
        await _chat(client)
        assert await _usage(client) == {"counted": False}
        assert await _line(client) == "Usage is not counted (setting store.usage)."
    async with connected(simulator.url, store=kept) as client:
        assert await _usage(client) == {"counted": True}


async def test_embedding_counts_what_it_read(simulator: Simulator):
    async with connected(simulator.url, tools={"toolsets": ["all"]}) as client:
        await client.call_tool("ollama_embed", {"model": EMBED, "input": ["a cat on a sofa", "stocks fell"]})
        one = (await _usage(client))["this_run"]["local"]
        await client.call_tool("ollama_embeddings", {"model": EMBED, "prompt": "a cat on a sofa"})
        both = (await _usage(client))["this_run"]["local"]
    assert one["calls"] == 1 and one["prompt_tokens"] > 4 and one["tokens"] == 0
    assert both["calls"] == 2 and both["prompt_tokens"] > one["prompt_tokens"]


async def test_a_failed_call_counts_nothing(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", {"model": "absent", "prompt": "Hi"})
        assert await _usage(client) == {"counted": True}


async def test_of_very_many_models_the_busiest_are_named_and_all_are_in_the_sum(simulator: Simulator):
    async with connected(simulator.url) as client:
        for number in range(25):
            name = f"copy{number}"
            await client.call_tool("ollama_copy_model", {"source": LLAMA, "destination": name})
            simulator.script(name, Answer("a", tokens=number + 1))
            await _chat(client, name)
        run = await _by_model(client)
    assert [row["model"] for row in run["local_models"]] == [f"copy{number}" for number in range(24, 4, -1)]
    assert (run["local"]["calls"], run["local"]["tokens"]) == (25, 325)


@pytest.mark.parametrize("broken", ["garbage", "folder", "file_for_a_folder"])
async def test_the_status_answers_while_the_store_is_broken(simulator: Simulator, tmp_path: Path, broken: str):
    path = tmp_path / "store.sqlite3"
    if broken == "garbage":
        path.write_bytes(b"no database at all" * 1_000)
    elif broken == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"")
        path = path / "store.sqlite3"
    async with connected(simulator.url, store={"path": str(path)}) as client:
        await _chat(client)
        result = await client.call_tool("ollama_status", {})
    assert data(result)["hosts"][0]["reachable"]
    assert data(result)["usage"]["this_run"]["local"]["calls"] == 1
