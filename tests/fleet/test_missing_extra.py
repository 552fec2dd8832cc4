"""A store in a database, where what the extra `fleet` brings is not installed: each command says how to install it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ollama_mcp._command import how_to_install
from ollama_mcp.cli import main

URL = "--set=store.url=postgresql://h/d"


@pytest.mark.parametrize("library", ["psycopg", "procrastinate"])
@pytest.mark.parametrize(
    "command",
    [
        ["worker", URL],
        ["store", "upgrade", URL],
        ["store", "show", URL],
        ["serve", "--transport", "http", "--port", "0", "--set=fleet.work=true", URL],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_it_is_refused_with_the_command_that_installs_it(
    command: list[str],
    library: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(folder, str(tmp_path))
    monkeypatch.setitem(sys.modules, library, None)
    assert main(command) in (1, 2)
    said = capsys.readouterr().err
    assert "extra `fleet`" in said and how_to_install("fleet") in said and "Traceback" not in said


def test_what_is_too_old_is_replaced() -> None:
    assert "--upgrade" in how_to_install("fleet", newest=True)
