"""Attacks of our own on what keeps principals apart: allowed steps in a chain, and what is kept for all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Simulator
from tests.observation.test_ledger import exported
from tests.security.team import EVERYTHING, Vouched, team_at
from tests.support import error, served, texts
from tests.transports.wire import HttpPeer, call

MODEL, OTHER, EMBEDDER = "llama3.2:3b", "qwen3:4b", "nomic-embed-text"
BATCH: dict[str, Any] = {"model": MODEL, "input": ["a", "b", "c"], "prompt": "Say {text}"}


def denying(**more: Any) -> dict[str, Any]:
    """Settings by which `user` may not use a model."""
    return {"principals": {"user": {"denied_models": [MODEL, EMBEDDER]}}, **more}


async def everything_shown(client: Client) -> dict[str, str]:
    """What a client is shown without asking for a model."""
    shown: dict[str, str] = {}
    for tool in ("ollama_list_models", "ollama_list_running", "ollama_status", "ollama_job"):
        shown[tool] = (await client.call_tool(tool, {})).model_dump_json()
    # What is proposed in the place of what does not exist.
    for tool in ("ollama_chat", "ollama_show_model", "ollama_generate"):
        shown[f"{tool} of another"] = (
            await client.call_tool(
                tool, {"model": "llama3.2:4b", "prompt": "Hi"} if "show" not in tool else {"model": "llama3.2:4b"}
            )
        ).model_dump_json()
    shown["chosen"] = (await client.call_tool("ollama_chat", {"prompt": "Hi"})).model_dump_json()
    shown["rank"] = (await client.call_tool("ollama_rank", {"query": "a", "texts": ["a", "b"]})).model_dump_json()
    for resource in (await client.list_resources()).resources:
        # Guides and skills are the same for everybody.
        if str(resource.uri).count("/") == 2:
            shown[str(resource.uri)] = (await client.read_resource(resource.uri)).model_dump_json()
    for prompt in (await client.list_prompts()).prompts[:2]:
        given = {one.name: "x" for one in prompt.arguments or [] if one.required}
        shown[prompt.name] = (await client.get_prompt(prompt.name, given)).model_dump_json()
    return shown


async def test_what_others_did_with_a_denied_model_shows_nowhere(simulator: Simulator, tmp_path: Path) -> None:
    """B01: its name is in no list, sum, proposal, prompt or resource of who may not use it."""
    async with team_at(simulator.url, tmp_path, **denying()) as team:
        async with team.client("other") as client:
            await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
            await client.call_tool("ollama_embed", {"model": EMBEDDER, "input": ["a", "b"]})
            shown = await everything_shown(client)
            assert MODEL in shown["ollama://usage"] and MODEL in shown["ollama://running"]
        async with team.client("user") as client:
            for where, said in (await everything_shown(client)).items():
                assert MODEL not in said and EMBEDDER not in said, where


SLY = '''
"""A tool of a user."""

from ollama_mcp import READS, Answer, Call, tool
from ollama_mcp.api import CreateRequest


@tool(title="Sly", toolset="mine", hints=READS)
async def sly(call: Call, modelfile: str) -> Answer:
    """Create a model."""
    async with call.client.create(CreateRequest(model="mine", modelfile=modelfile)) as events:
        async for _ in events:
            pass
    return Answer(text="done", model="none")
'''


@pytest.mark.parametrize(
    "line", ["FROM {}", "from\t{}", 'FROM "{}"', 'FROM """{}"""', "FROM library/{}", "# FROM x\n  FROM   {}"]
)
async def test_a_modelfile_for_an_old_server_names_a_denied_model(tmp_path: Path, line: str) -> None:
    """B02: servers before v0.5.5 read the Modelfile themselves; its base is judged all the same, whoever sends it."""
    (tmp_path / "sly.py").write_text(SLY, encoding="utf-8")
    given: dict[str, Any] = {"principals": {"boss": {"denied_models": [MODEL]}}, "tools": {"folders": [str(tmp_path)]}}
    async with (
        Simulator(version="0.5.1") as old,
        team_at(old.url, tmp_path / "team", more={"boss": EVERYTHING}, **given) as team,
        team.client("boss") as client,
    ):
        modelfile = f"{line.format(MODEL)}\nSYSTEM x\n"
        # To the tool that is shipped the model does not exist.
        assert (await client.call_tool("ollama_create_model", {"model": "mine", "modelfile": modelfile})).is_error
        assert "may not use the model" in error(await client.call_tool("sly", {"modelfile": modelfile}), "not_allowed")
        assert not [one for one in old.requests if one.path == "/api/create"]


async def test_the_code_of_another_token(simulator: Simulator, tmp_path: Path) -> None:
    """B08: a code that one token was given confirms nothing for another, however clients call themselves."""
    file = tmp_path / "secret"
    file.write_text("a" * 64 + "\n", encoding="utf-8")
    given: dict[str, Any] = {"state": {"secret": f"file:{file}"}}
    more = {"second": EVERYTHING}
    async with (
        team_at(simulator.url, tmp_path / "team", more=more, stateless=True, **given) as team,
        team.client("admin") as first,
        team.client("second") as second,
    ):
        asked = error(await first.call_tool("ollama_delete_model", {"model": MODEL}), "needs_confirmation")
        code = asked.partition("confirm='")[2].partition("'")[0]
        confirmed = {"model": MODEL, "confirm": code}
        error(await second.call_tool("ollama_delete_model", confirmed), "needs_confirmation")
        error(await first.call_tool("ollama_delete_model", {**confirmed, "model": OTHER}), "needs_confirmation")
        assert not [one for one in simulator.requests if one.path == "/api/delete"]
        assert not (await first.call_tool("ollama_delete_model", confirmed)).is_error
        assert (await first.call_tool("ollama_delete_model", confirmed)).is_error


async def test_links_between_the_folders_of_two(simulator: Simulator, tmp_path: Path) -> None:
    """B09: neither a link nor a result leads from the folders of one into those of another."""
    folders = {name: tmp_path / name for name in ("ann", "bob")}
    for name, folder in folders.items():
        (folder / "out").mkdir(parents=True)
        (folder / "note.txt").write_text(f"CANARY of {name}", encoding="utf-8")
    limits = {
        name: {"folders": [str(folder)], "output_folder": str(folder / "out")} for name, folder in folders.items()
    }
    more: dict[str, Any] = {name: ["use", "files"] for name in folders}
    os.symlink(folders["bob"] / "note.txt", folders["ann"] / "link.txt")
    os.symlink(folders["bob"], folders["ann"] / "folder")
    os.symlink(folders["bob"] / "out", folders["ann"] / "out" / "theirs")
    async with (
        team_at(simulator.url, tmp_path / "team", more=more, principals=limits) as team,
        team.client("ann") as client,
    ):
        for name in ("link.txt", "folder/note.txt", "../bob/note.txt", "*/note.txt", "**/*.txt"):
            chat = {"model": OTHER, "prompt": "Hi", "files": [str(folders["ann"] / name)]}
            await client.call_tool("ollama_chat", chat)
        for output in (folders["ann"] / "out/theirs/a.jsonl", folders["bob"] / "out/a.jsonl"):
            result = await client.call_tool("ollama_batch", {**BATCH, "model": OTHER, "output": str(output)})
            error(result, "not_allowed")
    assert "CANARY of bob" not in str([one.body for one in simulator.requests])
    assert not list((folders["bob"] / "out").iterdir())


async def test_answers_and_vectors_that_others_paid_for(simulator: Simulator, tmp_path: Path) -> None:
    """B10: the same call of who may not use the model gets no answer, though each is kept already."""
    given = denying(store={"path": str(tmp_path / "store")})
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ollama_embed", {"model": EMBEDDER, "input": ["a", "b"]}),
        ("ollama_rank", {"model": EMBEDDER, "query": "a", "texts": ["a", "b"]}),
        ("ollama_batch", BATCH),
        ("ollama_compare", {"models": [MODEL, OTHER], "prompt": "Hi"}),
        ("ollama_show_model", {"model": MODEL}),
    ]
    async with team_at(simulator.url, tmp_path / "team", **given) as team:
        async with team.client("other") as client:
            for tool, arguments in calls:
                assert not (await client.call_tool(tool, arguments)).is_error, tool
        simulator.log.clear()
        async with team.client("user") as client:
            for tool, arguments in calls:
                said = await client.call_tool(tool, arguments)
                if tool == "ollama_compare":
                    assert MODEL not in str([one.json.get("model") for one in simulator.requests])
                else:
                    assert said.is_error and "may not use the model" in texts(said)[0], (tool, said)
            with pytest.raises(MCPError):
                await client.read_resource(f"ollama://models/{MODEL}")


async def test_subjects_that_would_break_a_line_of_the_ledger(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """B12: each row is one line of JSON with the name as it is, and no line of the log is forged."""
    path = tmp_path / "store.sqlite3"
    names = ['a"}\n{"who": "admin"}', "a\r\nERROR forged", "\u2028\u202e", "token user", "everybody", "session 0", "*"]
    async with served(simulator.url, auth=Vouched(), store={"path": str(path)}, ledger={"enabled": True}) as url:
        peer = HttpPeer(int(url.split(":")[2].split("/")[0]))
        for name in names:
            header = {"Authorization": f"Bearer {name.encode().hex()}"}
            chat = call(1, "ollama_chat", era="modern", model=MODEL, prompt="Hi")
            assert (await peer.post(chat, "modern", **header)).status == 200
    rows = [row for row in exported(path) if row["tool"]]
    assert sorted(row["who"] for row in rows) == sorted(names)
    assert not [line for line in caplog.text.splitlines() if line.startswith(("ERROR forged", '{"who'))]


async def test_names_that_only_begin_like_an_allowed_model(simulator: Simulator, tmp_path: Path) -> None:
    """B16: a namespace or a host whose name begins as a pattern is no model that the pattern allows."""
    found = simulator.store.find(OTHER)
    assert found is not None
    names = ["qwen3evil/x", "qwen3.example/evil/x", "registry.ollama.ai/qwen3evil/x"]
    for name in names:
        simulator.store.add(found.renamed(parse_name(name)))
    allowed = {"user": {"models": ["qwen3*", "re*", "hf.co/*"]}, "other": {"models": ["*"]}}
    async with team_at(simulator.url, tmp_path, principals=allowed) as team:
        async with team.client("user") as client:
            for name in (*names, MODEL, f"registry.ollama.ai/library/{MODEL}", "hf.co.evil/a/b", "hf.com/a/b"):
                said = await client.call_tool("ollama_generate", {"model": name, "prompt": "Hi"})
                assert "may not use the model" in error(said, "not_allowed"), name
            assert not (await client.call_tool("ollama_generate", {"model": OTHER, "prompt": "Hi"})).is_error
        async with team.client("other") as client:
            for name in (names[0], MODEL):
                assert not (await client.call_tool("ollama_generate", {"model": name, "prompt": "Hi"})).is_error


async def test_hosts_that_others_use(simulator: Simulator, tmp_path: Path) -> None:
    """B17: no name, address or model of them is in a list, an error or a proposal, whether they answer or not."""
    async with Simulator() as gone:
        url = gone.url
    async with Simulator(version="latest", models=("gemma3:4b", EMBEDDER)) as second:
        hosts = {"one": {"url": simulator.url}, "two": {"url": second.url}, "three": {"url": url}}
        limits = {"user": {"hosts": ["two"]}}
        async with team_at("", tmp_path, hosts=hosts, principals=limits) as team, team.client("user") as client:
            said = await everything_shown(client)
            for name in ("one", "three"):
                chat = {"model": MODEL, "prompt": "Hi", "host": name}
                said[f"chat at {name}"] = (await client.call_tool("ollama_chat", chat)).model_dump_json()
    assert second.url.removeprefix("http://") in str(said)
    for where, text in said.items():
        for address in (simulator.url, url):
            assert address.removeprefix("http://") not in text, where
        assert OTHER not in text, (where, text)
    assert not [one for one in simulator.requests if one.path in ("/api/chat", "/api/generate", "/api/embed")]
