"""Where the results of each token go: to its own folder, and never to another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.server.auth.personal import own_folder_name
from ollama_mcp.simulator import Simulator
from tests.security.team import team_at
from tests.support import error, texts

MODEL = "llama3.2:3b"
BATCH: dict[str, Any] = {"model": MODEL, "input": ["a", "b"], "prompt": "Say {text}"}
COMPARE: dict[str, Any] = {"models": [MODEL, "qwen3:4b"], "prompt": "Hi"}
MORE = {name: ["use", "files"] for name in ("ann", "bob", "Ann", "con", "eve")}


async def write(team: Any, name: str, output: str, tool: str = "ollama_batch") -> tuple[bool, str]:
    """Whether somebody's call wrote results, and what it said."""
    async with team.client(name) as client:
        given = BATCH if tool == "ollama_batch" else COMPARE
        result = await client.call_tool(tool, {**given, "output": output})
        return not result.is_error, "\n".join(texts(result))


def written(folder: Path) -> set[str]:
    """What there is below a folder, without the folders of the team."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["write.folders", "a star"])
async def test_results_go_to_ones_own_folder_and_to_no_other(simulator: Simulator, tmp_path: Path, how: str) -> None:
    results = tmp_path / "results"
    results.mkdir()
    given: dict[str, Any] = {"read": {"over_http": True}, "write": {"folders": [str(results)]}}
    if how == "a star":
        given = {"principals": {"*": {"output_folder": str(results)}}}
    async with team_at(simulator.url, tmp_path, more=MORE, **given) as team:
        for name in MORE:
            assert (await write(team, name, "same.jsonl"))[0], name
        own = {name: f"{own_folder_name(name)}/same.jsonl" for name in MORE}
        assert written(results) == set(own.values()) and len({path.lower() for path in own.values()}) == len(MORE)
        assert (results / own["ann"]).parent.stat().st_mode & 0o77 == 0
        assert (await write(team, "ann", str(results / "ann" / "b.md"), "ollama_compare"))[0]
        for output in (
            str(results / "bob" / "x.jsonl"),
            "../bob/x.jsonl",
            f"file://{results}/bob/x.jsonl",
            str(results / "x.jsonl"),
            "../x.jsonl",
            str(tmp_path / "x.jsonl"),
            "~/x.jsonl",
        ):
            for tool in ("ollama_batch", "ollama_compare"):
                said = await write(team, "ann", output, tool)
                assert not said[0] and "[not_allowed]" in said[1], output
        over = {**BATCH, "output": str(results / "bob" / "same.jsonl"), "overwrite": True}
        async with team.client("ann") as client:
            error(await client.call_tool("ollama_batch", over), "not_allowed")
        # A link in one's own folder leads nowhere either.
        (results / "ann" / "there").symlink_to(results / "bob")
        assert not (await write(team, "ann", "there/x.jsonl"))[0]
        assert written(results) == {*own.values(), "ann/b.md"}


async def test_a_folder_that_is_named_is_the_own_one(simulator: Simulator, tmp_path: Path) -> None:
    results, shared = tmp_path / "of-eve", tmp_path / "shared"
    for folder in (results, shared):
        folder.mkdir()
    given: dict[str, Any] = {
        "principals": {"eve": {"output_folder": str(results)}, "bob": {"folders": [str(shared)]}},
        "write": {"folders": [str(shared)]},
    }
    async with team_at(simulator.url, tmp_path, more=MORE, **given) as team:
        assert (await write(team, "eve", "a.jsonl"))[0] and (await write(team, "bob", "a.jsonl"))[0]
        assert not (await write(team, "bob", str(results / "b.jsonl")))[0]
        assert not (await write(team, "eve", str(shared / "bob" / "b.jsonl")))[0]
        # Without folders of its own, and read.over_http off, nothing may be named.
        assert not (await write(team, "ann", "a.jsonl"))[0]
        assert written(results) == {"a.jsonl"} and written(shared) == {"bob/a.jsonl"}


async def test_an_output_folder_opens_nothing_for_reading(simulator: Simulator, tmp_path: Path) -> None:
    results, texts_folder = tmp_path / "results", tmp_path / "texts"
    for folder in (results, texts_folder):
        folder.mkdir()
        (folder / "note.txt").write_text("CANARY", encoding="utf-8")
    limits: dict[str, Any] = {"principals": {"ann": {"output_folder": str(results)}}}
    for over_http in (False, True):
        read = {"over_http": over_http, "text_folders": [str(texts_folder)]}
        async with (
            team_at(simulator.url, tmp_path / str(over_http), more=MORE, read=read, **limits) as team,
            team.client("ann") as client,
        ):
            for folder, may in ((results, False), (texts_folder, over_http)):
                given = {"model": MODEL, "prompt": "Sum up", "files": [str(folder / "note.txt")]}
                assert (await client.call_tool("ollama_chat", given)).is_error is not may


@pytest.mark.parametrize("name", ["Ann", "a.b", "..", "con", "名前", "https://id.example.com|1", "x" * 500, "", ".hid"])
def test_names_that_file_systems_confuse_have_a_digest(name: str) -> None:
    found = own_folder_name(name)
    assert found != name and len(found) < 64 and found == own_folder_name(name)
    assert found[0] not in "._" and not set(found) & set("/\\:|")
    assert own_folder_name(name + "x") != found
