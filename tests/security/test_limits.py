"""What each principal may use, and how much: models, hosts, files, images, calls and tokens."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from PIL import Image

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings, SettingsError
from ollama_mcp.simulator import Answer, Simulator
from tests.security.team import EVERYTHING, team_at
from tests.support import data, error, texts, until

MODEL, OTHER = "llama3.2:3b", "qwen3:4b"


async def listed(client: Client) -> set[str]:
    return {model["name"] for model in data(await client.call_tool("ollama_list_models", {}))["models"]}


def principals(**limits: dict[str, Any]) -> dict[str, Any]:
    return {"principals": limits, "policy": {"overwrite": "allow", "delete": "allow"}}


NAMES_OF_ONE = [MODEL, MODEL.upper(), f"library/{MODEL}", f"registry.ollama.ai/library/{MODEL}", f"https://{MODEL}"]


@pytest.mark.parametrize("pattern", ["llama3.2*", "LLAMA3.2:3b", "llama3.2", "registry.ollama.ai/library/llama3.2:*"])
async def test_a_denied_model_is_neither_shown_nor_used_under_any_of_its_names(
    simulator: Simulator, tmp_path: Path, pattern: str
) -> None:
    given = principals(user={"denied_models": [pattern]})
    async with team_at(simulator.url, tmp_path, **given) as team:
        async with team.client("other") as client:
            everything = await listed(client)
            assert MODEL in everything
        async with team.client("user") as client:
            assert MODEL not in await listed(client)
            for name in NAMES_OF_ONE:
                said = await client.call_tool("ollama_chat", {"model": name, "prompt": "Hi"})
                assert said.is_error and "may not use the model" in texts(said)[0], name
            assert (await client.call_tool("ollama_show_model", {"model": MODEL})).is_error
            chosen = await client.call_tool("ollama_chat", {"prompt": "Hi"})
            assert not any(MODEL in line for line in texts(chosen))
            values = (await client.read_resource("ollama://models")).contents
            assert MODEL not in str(values)
        # What was shown to one is not what the next is shown.
        async with team.client("other") as client:
            assert await listed(client) == everything


async def test_only_allowed_models_are_used(simulator: Simulator, tmp_path: Path) -> None:
    given = principals(user={"models": ["llama3.2"]})
    async with team_at(simulator.url, tmp_path, **given) as team, team.client("user") as client:
        assert await listed(client) and all(name.startswith("llama3.2:") for name in await listed(client))
        assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
        for tool in ("ollama_chat", "ollama_generate"):
            said = error(await client.call_tool(tool, {"model": OTHER, "prompt": "Hi"}), "not_allowed")
            assert f"'user' may not use the model '{OTHER}'" in said
        batch = await client.call_tool("ollama_batch", {"model": OTHER, "input": ["a", "b"], "prompt": "Say {text}"})
        assert batch.is_error


async def test_a_copy_of_a_denied_model_and_what_is_made_from_one_are_denied(
    simulator: Simulator, tmp_path: Path
) -> None:
    given = principals(user={"denied_models": [MODEL]}, boss={"denied_models": [MODEL]})
    async with team_at(simulator.url, tmp_path, more={"boss": EVERYTHING}, **given) as team:
        async with team.client("admin") as client:
            copied = {"source": MODEL, "destination": "innocent"}
            assert not (await client.call_tool("ollama_copy_model", copied)).is_error
            for name, base in {"child": MODEL, "grandchild": "child", "of-copy": "innocent"}.items():
                made = await client.call_tool("ollama_create_model", {"model": name, "from": base, "system": name})
                assert not made.is_error, texts(made)
        async with team.client("user") as client:
            assert "innocent:latest" not in await listed(client)
            for name in ("innocent", "child", "grandchild", "of-copy"):
                said = await client.call_tool("ollama_generate", {"model": name, "prompt": "Hi"})
                assert "may not use the model" in error(said, "not_allowed"), name
        async with team.client("boss") as client:
            for made in ({"from": MODEL, "system": "x"}, {"modelfile": f"FROM {MODEL}\nSYSTEM x"}):
                assert (await client.call_tool("ollama_create_model", {"model": "mine", **made})).is_error
            assert (await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": "mine"})).is_error
            assert "mine:latest" not in await listed(client)


async def test_hosts_are_for_those_who_may_use_them(simulator: Simulator, tmp_path: Path) -> None:
    async with Simulator(version="latest") as second:
        hosts = {"one": {"url": simulator.url}, "two": {"url": second.url}}
        async with team_at("", tmp_path, hosts=hosts, **principals(user={"hosts": ["two"]})) as team:
            async with team.client("user") as client:
                for _ in range(3):
                    assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
                named = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi", "host": "one"})
                assert "There is no host 'one'" in error(named, "invalid_argument")
                shown = str((await client.read_resource("ollama://hosts")).contents)
                assert "two" in shown and simulator.url not in shown
                assert simulator.url not in str(await client.call_tool("ollama_status", {}))
            assert not [one for one in simulator.requests if one.path == "/api/chat"]
            async with team.client("other") as client:
                named = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi", "host": "one"})
                assert not named.is_error


async def test_calls_at_once_are_counted_over_all_sessions_with_their_jobs(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with team_at(simulator.url, tmp_path, **principals(user={"calls": 2})) as team:
        simulator.script(MODEL, Answer(text="held", hold="gate"))
        call = {"model": MODEL, "prompt": "Hi", "background": True}
        async with team.client("user") as first, team.client("user") as second:
            jobs = [(await one.call_tool("ollama_generate", call)).meta for one in (first, second)]
            await until(lambda: sum(one.path == "/api/generate" for one in simulator.requests) == 2)
            for client in (first, second):
                said = error(await client.call_tool("ollama_generate", call), "busy")
                assert "'user' has 2 calls running, its limit." in said
                # Looking after them is free.
                assert not (await client.call_tool("ollama_job", {"action": "list"})).is_error
            async with team.client("other") as other:
                assert not (await other.call_tool("ollama_chat", {"model": OTHER, "prompt": "Hi"})).is_error
            for job in jobs:
                cancel = {"action": "cancel", "id": (job or {})["ollama-mcp-server/job"]["id"]}
                await first.call_tool("ollama_job", cancel)
            assert not (await second.call_tool("ollama_generate", {"model": OTHER, "prompt": "Hi"})).is_error


async def test_calls_in_a_minute_are_counted_over_all_sessions(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path, **principals(user={"calls_per_minute": 3})) as team:
        call = {"model": MODEL, "prompt": "Hi"}
        async with team.client("user") as first, team.client("user") as second:
            for client in (first, second, first):
                assert not (await client.call_tool("ollama_chat", call)).is_error
            said = await asyncio.gather(*(client.call_tool("ollama_chat", call) for client in (first, second)))
            for one in said:
                assert "'user' has made 3 calls in a minute" in error(one, "busy")
            assert not (await first.call_tool("ollama_status", {})).is_error


async def test_tokens_of_a_day_are_counted_over_all_sessions_and_within_a_batch(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with team_at(simulator.url, tmp_path, **principals(user={"tokens_per_day": 40})) as team:
        async with team.client("user") as first, team.client("user") as second:
            assert not (await first.call_tool("ollama_chat", {"model": MODEL, "prompt": "word " * 60})).is_error
            said = error(await second.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}), "busy")
            assert "tokens today; its limit is 40. A new day begins at 00:00 UTC" in said
        async with team.client("other") as client:
            assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
    limits = principals(reset={"tokens_per_day": 40})
    second = team_at(simulator.url, tmp_path / "second", more={"reset": ["use"]}, work={"parallel": 1}, **limits)
    async with second as team, team.client("reset") as client:
        simulator.log.clear()
        rows = {"model": MODEL, "input": [f"word {number} " * 30 for number in range(20)], "prompt": "Say {text}"}
        assert "tokens today; its limit is 40" in error(await client.call_tool("ollama_batch", rows), "busy")
        assert sum(one.path == "/api/chat" for one in simulator.requests) == 1


async def test_files_are_for_those_who_have_the_scope_in_their_own_folders(
    simulator: Simulator, tmp_path: Path
) -> None:
    ours, theirs, output = tmp_path / "ours", tmp_path / "theirs", tmp_path / "results"
    for folder in (ours, theirs, output):
        folder.mkdir()
        (folder / "note.txt").write_text(f"CANARY of {folder.name}", encoding="utf-8")
    limits = {"folders": [str(ours)], "output_folder": str(output)}
    given = principals(filer=limits, user=limits, second={"folders": [str(theirs)]})
    more: dict[str, list[str]] = {name: ["use", "files"] for name in ("filer", "second", "plain")}
    async with team_at(simulator.url, tmp_path, more=more, **given) as team:

        def reading(folder: Path) -> dict[str, Any]:
            return {"model": MODEL, "prompt": "Sum up", "files": [str(folder / "note.txt")]}

        async with team.client("filer") as client:
            assert not (await client.call_tool("ollama_chat", reading(ours))).is_error
            for path in (theirs, tmp_path, Path("/etc")):
                assert (await client.call_tool("ollama_chat", reading(path))).is_error
            batch: dict[str, Any] = {"model": MODEL, "input": ["a", "b"], "prompt": "Say {text}"}
            written = await client.call_tool("ollama_batch", {**batch, "output": str(output / "a.jsonl")})
            assert not written.is_error, texts(written)
            elsewhere = await client.call_tool("ollama_batch", {**batch, "output": str(ours / "a.jsonl")})
            assert elsewhere.is_error and not (ours / "a.jsonl").exists()
        async with team.client("second") as client:
            assert (await client.call_tool("ollama_chat", reading(ours))).is_error
            assert not (await client.call_tool("ollama_chat", reading(theirs))).is_error
        for name in ("user", "plain", "admin"):
            async with team.client(name) as client:
                said = error(await client.call_tool("ollama_chat", reading(ours)), "not_allowed")
                assert "clients on HTTP may not name files" in said
        assert "CANARY of results" not in str([one.body for one in simulator.requests])


async def test_images_are_limited_by_principal(simulator: Simulator, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    async with team_at(simulator.url, tmp_path, **principals(user={"images": 0})) as team:
        image = {"model": "gemma3:4b", "prompt": "What is it?", "images": [encoded]}
        async with team.client("user") as client:
            assert "images" in error(await client.call_tool("ollama_chat", image), "invalid_argument")
        async with team.client("other") as client:
            assert not (await client.call_tool("ollama_chat", image)).is_error


async def test_a_star_stands_for_all_others(simulator: Simulator, tmp_path: Path) -> None:
    given: dict[str, Any] = {"principals": {"*": {"denied_models": [MODEL]}, "admin": {}}}
    async with team_at(simulator.url, tmp_path, **given) as team:
        async with team.client("user") as client:
            assert MODEL not in await listed(client)
        async with team.client("admin") as client:
            assert MODEL in await listed(client)


async def test_a_call_may_not_ask_for_more_than_the_policy_allows(simulator: Simulator, tmp_path: Path) -> None:
    policy = {"num_predict": 50, "num_ctx": 4_096, "keep_alive": "10m"}
    async with team_at(simulator.url, tmp_path, policy=policy) as team, team.client("admin") as client:
        for argument in (
            {"options": {"num_predict": 51}},
            {"options": {"num_predict": -1}},
            {"options": {"num_ctx": 8_192}},
            {"keep_alive": "1h"},
            {"keep_alive": -1},
            {"keep_alive": "-5s"},
            {"keep_alive": 601},
        ):
            for tool in ("ollama_chat", "ollama_generate"):
                said = error(await client.call_tool(tool, {"model": MODEL, "prompt": "Hi", **argument}), "not_allowed")
                assert "is more than setting policy." in said, argument
        assert not [one for one in simulator.requests if one.path in ("/api/chat", "/api/generate")]
        most = {"options": {"num_predict": 50, "num_ctx": 4_096}, "keep_alive": 600}
        for argument in (most, {}, {"keep_alive": 0}):
            assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi", **argument})).is_error
        long = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "word " * 9_000})
        assert "num_ctx" in error(long, "too_long")
        for sent in [one.json for one in simulator.requests if one.path == "/api/chat"]:
            options: dict[str, Any] = sent["options"]
            assert options["num_predict"] == 50 and options.get("num_ctx", 0) <= 4_096


@pytest.mark.parametrize(
    "given",
    [
        {"policy": {"num_predict": 50}, "defaults": {"options": {"num_predict": 100}}},
        {"policy": {"keep_alive": "10m"}, "defaults": {"keep_alive": "1h"}},
        {"policy": {"keep_alive": "soon"}},
    ],
)
def test_defaults_beyond_the_policy_stop_the_start(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"setting (defaults|policy)\."):
        OllamaServer(Settings.model_validate({"store": {"path": ":memory:"}, **given}))
