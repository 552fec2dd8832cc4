"""Access to one temporary folder, and a helper that writes files into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ollama_mcp.access import Access, ReadRules, RuntimeEnvironment
from ollama_mcp.settings.access import ReadSettings, UrlSettings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def access(home: Path) -> Access:
    facts = RuntimeEnvironment(home=str(home), working_folder=str(home))
    return Access(ReadRules(ReadSettings(), facts), UrlSettings())


Put = Callable[[str, bytes], str]


@pytest.fixture
def put(home: Path) -> Put:
    def write(name: str, data: bytes) -> str:
        path = home / name
        path.write_bytes(data)
        return str(path)

    return write
