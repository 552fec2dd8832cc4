"""Every command that a message names works as this process was started: in any folder, by the terminal's PATH alone."""

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.cli.support import run

CALL = "from ollama_mcp.cli import main; raise SystemExit(main())"
_COMMAND = re.compile(r"`([^`]+)`")


async def follow(advice: str, folder: Path, **variables: str) -> tuple[int, str]:
    """Run the command that a message names, as a user's terminal would."""
    named = _COMMAND.search(advice)
    assert named is not None, advice
    words = shlex.split(named[1])
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), **variables}
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.slow
async def test_the_way_to_list_the_settings_can_be_followed(tmp_path: Path):
    said = await run("--set", "zzz=1", "config", "check")
    code, shown = await follow(said.err, tmp_path)
    assert code == 0 and "defaults.model = " in shown


@pytest.mark.slow
async def test_the_way_to_list_the_tools_can_be_followed(tmp_path: Path):
    said = await run("call", "zzz")
    assert said.err.startswith("[invalid_argument] Unknown tool: 'zzz'. ")
    code, shown = await follow(said.err, tmp_path)
    assert code == 0 and "ollama_chat " in shown


@pytest.mark.slow
@pytest.mark.parametrize("with_config", [False, True])
async def test_the_way_to_allow_a_folder_can_be_followed(tmp_path: Path, with_config: bool):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "a.txt").write_text("blue", encoding="utf-8")
    config = tmp_path / "my config.json"
    config.write_text("{}", encoding="utf-8")
    options = ["--config", str(config)] if with_config else []
    call = [*options, "call", "ollama_chat", "model=m", "prompt=x", f"files={elsewhere / 'a.txt'}"]
    variables = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:9"}
    refused = await run(*call, **variables)
    assert refused.err.startswith("[not_allowed]")
    # A path that is too long to show stands there as FOLDER.
    code, said = await follow(refused.err.replace(" FOLDER", f" {shlex.quote(str(elsewhere))}"), tmp_path)
    assert code == 0, said
    assert not (await run(*call, **variables)).err.startswith("[not_allowed]")


@pytest.mark.slow
async def test_a_script_on_the_path_of_another_installation_is_not_named(tmp_path: Path):
    other = tmp_path / "ollama-mcp-server"
    other.write_text("#!/bin/sh\nexit 7\n", encoding="utf-8")
    other.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALL, "--set", "zzz=1", env={**os.environ, "PATH": path}, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    code, shown = await follow(said.decode(), tmp_path)
    assert code == 0, shown
