"""`install`, `update` and `uninstall` as a person types them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import Ran, environment, run
from tests.packaging.conftest import ROOT, offered_tools, path_with_uv


def is_empty(folder: Path) -> bool:
    """Whether nothing was made there."""
    return not list(folder.iterdir())


async def install(home: Path, *arguments: str, verb: str = "install", **variables: str) -> Ran:
    """The command in a home, with a PATH that has no host on it."""
    path = str(Path(sys.executable).parent)
    return await run(verb, *arguments, HOME=str(home), XDG_CONFIG_HOME="", PATH=path, **variables)


@pytest.mark.slow
async def test_the_command_writes_what_really_serves(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    (home / ".cursor").mkdir(parents=True)
    ran = await install(home, "cursor", "--read-only", "--folders", str(tmp_path), OLLAMA_HOST="gpu.example")
    assert ran.code == 0, ran.err
    assert "Cursor: added in" in ran.out and "then type:" in ran.out
    entry = json.loads((home / ".cursor/mcp.json").read_text())["mcpServers"]["ollama"]
    assert entry["args"] == ["--folders", str(tmp_path), "--read-only"]
    assert entry["env"] == {"OLLAMA_HOST": "http://gpu.example:11434"}
    assert os.path.isabs(entry["command"])
    offered = await offered_tools(entry["command"], *entry["args"], folder=tmp_path, variables=entry["env"])
    assert "ollama_chat" in offered and "ollama_delete_model" not in offered
    assert "is up to date" in (await install(home, verb="update")).out
    assert "Cursor: removed in" in (await install(home, "--all", verb="uninstall")).out


@pytest.mark.slow
async def test_a_server_that_does_not_start_reaches_no_host(tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir()
    ran = await install(tmp_path, "cursor", "--toolsets", "nonsense")
    assert ran.code == 2 and "nonsense" in ran.err and "no host was changed" in ran.err
    assert not list((tmp_path / ".cursor").iterdir())


@pytest.mark.slow
async def test_all_goes_on_after_a_host_that_fails(tmp_path: Path) -> None:
    for name, text in ((".cursor/mcp.json", "{"), (".lmstudio/mcp.json", "{}")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    ran = await install(tmp_path, "--all")
    assert ran.code == 1 and "LM Studio: added" in ran.out
    assert "Cursor: " in ran.err and "is left as it is" in ran.err
    assert (tmp_path / ".cursor/mcp.json").read_text() == "{"


async def test_a_dry_run_shows_only_what_would_change(tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir()
    file = tmp_path / ".cursor" / "mcp.json"
    file.write_text(
        '{\n  "mcpServers": {\n    "other": {\n      "env": {"KEY": "secret"},\n      "command": "x"\n    }\n  }\n}\n'
    )
    before = file.read_bytes()
    ran = await install(tmp_path, "cursor", "--dry-run")
    assert ran.code == 0 and "would be added" in ran.out and '+    "ollama": {' in ran.out
    assert "secret" not in ran.out and file.read_bytes() == before


@pytest.mark.parametrize("hosts", [[], ["vscode"], ["codex", "goose"]])
async def test_print_shows_what_to_add_and_changes_nothing(hosts: list[str], tmp_path: Path) -> None:
    ran = await install(tmp_path, *hosts, "--print")
    assert ran.code == 0 and "ollama" in ran.out and "http://127.0.0.1:11434" in ran.out
    assert is_empty(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cursr"], "Did you mean 'cursor'?"),
        ([], "Found here: none"),
        (["--all"], "no host was found"),
        (["cursor", "--folders", "/no/such/folder"], "is no folder"),
        (["cursor", "zed", "--file", "x.json"], "--file is one host's file"),
    ],
)
async def test_wrong_use_is_explained(arguments: list[str], said: str, tmp_path: Path) -> None:
    ran = await install(tmp_path, *arguments)
    assert ran.code == 2 and said in ran.err
    assert is_empty(tmp_path)


async def test_a_file_of_another_place_can_be_named(tmp_path: Path) -> None:
    file = str(tmp_path / "project" / "mcp.json")
    ran = await install(tmp_path, "cursor", "--file", file, "--name", "local", "--dry-run")
    assert ran.code == 0 and f"would be added in {file}" in ran.out and '+    "local": {' in ran.out
    assert is_empty(tmp_path)


@pytest.mark.slow
async def test_by_uvx_it_writes_uvx_with_where_it_came_from(tmp_path: Path) -> None:
    path = path_with_uv(tmp_path / "uv")
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    uvx = [os.path.join(path.partition(os.pathsep)[0], "uvx"), "--from", str(ROOT), "ollama-mcp-server"]
    printed = await asyncio.to_thread(
        subprocess.run,
        [*uvx, "install", "--print"],
        env={**kept, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=300,
    )
    entry = json.loads(printed.stdout)["mcpServers"]["ollama"]
    assert [entry["command"], *entry["args"]] == uvx
    assert "ollama_chat" in await offered_tools(entry["command"], *entry["args"], folder=tmp_path, variables=kept)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
async def test_on_a_terminal_it_asks_which_folders_may_be_read(tmp_path: Path) -> None:
    for name in (".cursor", "my notes", "more"):
        (tmp_path / name).mkdir()
    ours, theirs = os.openpty()
    os.write(ours, b"~/my notes; ~/more\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ollama_mcp", "install", "cursor"),
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
        env=environment(HOME=str(tmp_path), XDG_CONFIG_HOME=""),
    )
    os.close(theirs)
    out, _ = await asyncio.wait_for(process.communicate(), 150)
    asked = os.read(ours, 10_000).decode()
    os.close(ours)
    assert process.returncode == 0 and b"added" in out
    assert "Folders whose files local models may read" in asked
    entry = json.loads((tmp_path / ".cursor/mcp.json").read_text())["mcpServers"]["ollama"]
    assert entry["args"] == ["--folders", str(tmp_path / "my notes"), str(tmp_path / "more")]


async def test_without_a_home_nothing_is_changed() -> None:
    ran = await run("install", "cursor", "--dry-run", HOME="")
    assert ran.code == 1 and "There is no home folder: HOME is ''" in ran.err
