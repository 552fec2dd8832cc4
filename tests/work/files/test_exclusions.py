"""Texts of `files` that begin with '!': what they leave out, as in .gitignore."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Simulator
from tests.support import connected, data, error, texts

MODEL = "llama3.2:3b"
NAMES: tuple[str, ...] = ("a.py", "test_a.py", "gen/b.py", "src/c.py", "src/gen/d.py", "src/gen/deep/test_e.py")
CASES: list[tuple[list[str], Set[str]]] = [
    (["**/*.py", "!test_*"], {"a.py", "gen/b.py", "src/c.py", "src/gen/d.py"}),
    (["!test_*.py", "**/*.py"], {"a.py", "gen/b.py", "src/c.py", "src/gen/d.py"}),
    (["**/*.py", "!gen"], {"a.py", "test_a.py", "src/c.py"}),
    (["**/*.py", "!gen/"], {"a.py", "test_a.py", "src/c.py"}),
    (["**/*.py", "!a.py/"], set(NAMES)),
    (["**/*.py", "!src/gen"], {"a.py", "test_a.py", "gen/b.py", "src/c.py"}),
    (["**/*.py", "! ./src/gen/**"], {"a.py", "test_a.py", "gen/b.py", "src/c.py"}),
    (["**/*.py", "!src/**/test_*"], set(NAMES) - {"src/gen/deep/test_e.py"}),
    (["**/*.py", "!**/deep/**", "!a.py"], {"test_a.py", "gen/b.py", "src/c.py", "src/gen/d.py"}),
    (["**/*.py", "!{folder}/src"], {"a.py", "test_a.py", "gen/b.py"}),
    (["**/*.py", "!{folder}/s*/gen"], {"a.py", "test_a.py", "gen/b.py", "src/c.py"}),
    (["src", "!gen"], {"src/c.py"}),
    (["src/c.py", "a.py:1-1", "!a.py"], {"src/c.py"}),
    (["**/*.py", "!nothing", "!root"], set(NAMES)),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that may be read, below others whose names some patterns match."""
    root = tmp_path / "root" / "gen"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"text of {name}\n", encoding="utf-8")
    return root


def _settings(folder: Path) -> dict[str, Any]:
    return {"read": {"text_folders": [str(folder)]}}


def _specs(files: list[str], folder: Path) -> list[str]:
    # Tests run in another folder, so that what is read is named from the root, and only what is excluded is relative.
    specs = [spec.replace("{folder}", str(folder)) for spec in files]
    return [spec if spec.startswith("!") else f"{folder}/{spec}" for spec in specs]


@pytest.mark.parametrize(("files", "expected"), CASES)
async def test_files_are_left_out(simulator: Simulator, folder: Path, files: list[str], expected: Set[str]):
    async with connected(simulator.url, **_settings(folder)) as client:
        arguments = {"model": MODEL, "prompt": "Sum up.", "files": _specs(files, folder)}
        result = await client.call_tool("ollama_chat", arguments)
    assert not result.is_error, texts(result)
    prompt = str(simulator.requests[-1].json["messages"])
    read = {name for name in NAMES if f"text of {name}\\n" in prompt}
    assert read == expected


async def test_what_is_excluded_does_not_count(simulator: Simulator, folder: Path):
    files = _specs(["**/*.py", "!src", "!gen"], folder)
    async with connected(simulator.url, **_settings(folder), limits={"files": 3}) as client:
        asked = {"questions": [{"question": "Is it code?"}], "files": files, "model": MODEL}
        rows = data(await client.call_tool("ollama_decide", asked))["rows"]
        more = await client.call_tool("ollama_decide", {**asked, "files": files[:1]})
    assert sorted(os.path.basename(row["input"]) for row in rows) == ["a.py", "test_a.py"]
    assert "6 files were given; at most 3" in error(more, "invalid_argument")


async def test_exclusions_that_leave_nothing_are_refused(simulator: Simulator, folder: Path):
    async with connected(simulator.url, **_settings(folder)) as client:
        for files, why in (
            (["!gen"], "files only says what to exclude"),
            (["**/*.py", "!*"], "are excluded"),
            (["**/*.py", "!"], "excludes nothing"),
        ):
            arguments = {"model": MODEL, "prompt": "Hi", "files": _specs(files, folder)}
            assert why in error(await client.call_tool("ollama_chat", arguments), "invalid_argument")
