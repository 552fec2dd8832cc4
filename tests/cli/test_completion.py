"""What a shell completes: the scripts are put to the shells themselves, by the keys that a person presses."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from ollama_mcp.cli.completion import table
from ollama_mcp.cli.options import build_parser
from ollama_mcp.simulator import Simulator
from tests.cli.support import environment, run

TOOLS = ("ollama_chat", "ollama_job")
BASH = """
source "$1"
compopt() { :; }  # works only while readline completes
COMP_LINE="$2" COMP_POINT=${#2}
_ollama_mcp_server
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Shows what zsh would insert in place of inserting it.
ZSH = """
compdef() { :; }
source "$1"
compadd() { shift; print -l -- "${(@M)@:#$PREFIX*}"; }
_files() { print -l -- $PREFIX*(N); }
words=("${(@s: :)2}"); CURRENT=$#words; PREFIX=$words[-1]
_ollama_mcp_server
"""
FISH = 'source $argv[1]; complete -C $argv[2] | string replace -r "\\t.*" ""'
SHELLS = {"bash": ("-c", BASH, "bash"), "zsh": ("-fc", ZSH, "zsh"), "fish": ("-N", "-c", FISH)}
missing = {shell: pytest.mark.skip(reason=f"{shell} is not on PATH") for shell in SHELLS if not shutil.which(shell)}
installed = [
    pytest.param(shell, marks=[pytest.mark.slow, *([missing[shell]] if shell in missing else [])]) for shell in SHELLS
]


async def completed(shell: str, folder: Path, url: str, typed: str) -> list[str]:
    """What a shell offers after a line."""
    script = folder / f"script.{shell}"
    if not script.exists():
        script.write_text((await run("completion", shell)).out, encoding="utf-8")
        # The program by its name, as on a user's PATH.
        program = folder / "ollama-mcp-server"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ollama_mcp "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *(str(shutil.which(shell)), *SHELLS[shell], str(script), typed),
        cwd=folder,
        env=environment(OLLAMA_HOST=url, HOME=str(folder), PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 150)
    assert not err, err.decode()
    return sorted(out.decode().split())


@pytest.mark.parametrize("shell", installed)
async def test_commands_options_and_their_words_are_completed(simulator: Simulator, tmp_path: Path, shell: str):
    (tmp_path / "notes.md").touch()

    async def offers(typed: str) -> list[str]:
        return await completed(shell, tmp_path, simulator.url, f"ollama-mcp-server {typed}")

    assert await offers("conf") == ["config"]
    assert await offers("config sh") == ["show"]
    assert await offers("--set limits.listed=3 models p") == ["pull"]
    assert await offers("config get limits.lis") == ["limits.listed"]
    assert await offers("--transport ht") == ["http"]
    assert await offers("batch --ov") == ["--overwrite"]
    assert await offers("call ollama_co") == ["ollama_compare", "ollama_copy_model"]
    assert await offers("install --dry-run co") == ["codex", "continue", "copilot-cli"]
    assert await offers("ask -f no") == ["notes.md"]
    assert await offers("batch no") == ["notes.md"]
    assert await offers("completion zs") == ["zsh"]
    assert await offers("ask 'what") == []


@pytest.mark.parametrize("shell", installed)
async def test_installed_models_are_completed(simulator: Simulator, tmp_path: Path, shell: str):
    async def offered(typed: str) -> list[str]:
        # Nobody who types waits for long: on a busy machine the models come with a later try.
        for _ in range(20):
            if found := await completed(shell, tmp_path, simulator.url, f"ollama-mcp-server {typed}"):
                return found
        return []

    # What bash replaces begins after a colon.
    rest = "3b" if shell == "bash" else "llama3.2:3b"
    assert await offered("ask -m lla") == ["llama3.2:3b"]
    assert await offered("models rm llama3.2:") == [rest]
    assert await completed(shell, tmp_path, "http://127.0.0.1:9", "ollama-mcp-server ask -m lla") == []


def test_every_command_and_option_is_in_the_table():
    commands = {command.name: command for command in table(TOOLS)}
    assert {"", "serve", "ask", "config", "completion"} <= commands.keys()
    for name in commands.keys() - {"", "simulate"}:
        shown = [names for option in commands[name].options for names in option.names]
        with pytest.raises(SystemExit) as end:
            build_parser().parse_args([name, *(["x"] if name == "help" else []), "--help"])
        assert end.value.code == 0 and "--help" in shown
    assert commands["call"].arguments[0].words == TOOLS


def test_an_option_of_one_name_takes_the_same_in_all_commands():
    """A script looks at the option alone."""
    takes: dict[str, set[tuple[bool, str]]] = {}
    for command in table(TOOLS):
        for option in command.options:
            for name in option.names:
                kind = option.values.kind if option.values else ""
                takes.setdefault(name, set()).add((option.values is not None, kind))
    assert not {name: kinds for name, kinds in takes.items() if len(kinds) > 1}
