"""docs/cli.md: each example is run as it stands there, and says what stands below it."""

import asyncio
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from ollama_mcp.cli import COMMANDS, main
from ollama_mcp.simulator import Answer, Simulator
from tests.cli.support import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
MODEL = "llama3.2:3b"
ANSWERS = ("Air scatters blue light more than red.", "The harbour opens at nine.", '{"age": 36}')


def examples() -> Iterator[tuple[str, str]]:
    """Each command of the page with what it says."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def matches(said: str, shown: str) -> bool:
    """Whether a text is what stands on the page, where dots stand for anything."""
    parts = (re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(r".*?".join(parts), said.strip(), re.DOTALL) is not None


def typed(line: str, here: Path) -> str:
    """What a line that is typed here prints, run in this process."""
    words, given = shlex.split(line), b""
    if words[0] == "cat":
        given, words = (here / words[1]).read_bytes(), words[3:]
    assert words[0] == "ollama-mcp-server"
    said, stdin = io.StringIO(), sys.stdin
    with redirect_stdout(said), redirect_stderr(said):
        sys.stdin = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")
        try:
            main(words[1:])
        except SystemExit:
            pass  # as help and the version end
        finally:
            sys.stdin = stdin
    return said.getvalue()


@pytest.mark.slow
async def test_every_example_says_what_the_page_says(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here, home / ".cursor"):
        os.makedirs(folder)
    (here / "notes.md").write_text("# Sea\n\nThe harbour opens at nine.\n", encoding="utf-8")
    (here / "words.csv").write_text("word\nsea\nbread\n", encoding="utf-8")
    monkeypatch.chdir(here)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home / name))
    for name, value in {"OLLAMA_HOST": simulator.url, "HOME": str(home), "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    simulator.script(MODEL, *map(Answer, ANSWERS))
    wrong: list[str] = []
    for line, shown in examples():
        said = await asyncio.to_thread(typed, line, here)
        if not matches(said, shown):
            wrong.append(f"$ {line}\n{said}")
    assert not wrong, "\n".join(wrong)


def test_every_command_is_on_the_page() -> None:
    named = set(re.findall(r"ollama-mcp-server ([a-z]+)", PAGE)) | set(re.findall(r"`([a-z]+)`", PAGE))
    assert named >= COMMANDS.keys() | {"simulate"}
    assert len(list(examples())) > 30
