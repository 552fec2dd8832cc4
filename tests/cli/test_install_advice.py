"""The advice to install an extra works as this process was started: it is executed, where it can be without a trace."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ollama_mcp._command import how_to_install
from tests.packaging.conftest import ROOT, path_with_uv

EXTRAS = ["docs", "fleet", "heic", "metrics", "otel", "rank", "search"]
ASK = "from ollama_mcp._command import how_to_install; print(how_to_install('docs'))"
IMPORT = "import pypdf, docx, selectolax"


def run(*command: str, folder: Path, **variables: str) -> str:
    """What a command prints; it succeeds."""
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV")}
    done = subprocess.run(
        command, cwd=folder, env={**kept, **variables}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def named(advice: str) -> str:
    (command,) = re.findall(r"`([^`]+)`", advice)
    return command


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_command_is_one_of_this_environment_which_has_all_of_them(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An environment made by uv has no pip, and without uv the advice is to install it, which would leave a trace.
    monkeypatch.setenv("PATH", path_with_uv(tmp_path / "uv"))
    done = subprocess.run(
        ["/bin/sh", "-c", named(how_to_install(extra))], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    # Nothing is downloaded, since the packages are here.
    assert done.returncode == 0 and "Installed" not in done.stdout + done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("way", ["uv venv", "uv run", "uv tool", "venv"])
def test_followed_it_makes_the_extra_available(way: str, tmp_path: Path) -> None:
    venv, variables = tmp_path / "venv", {"PATH": path_with_uv(tmp_path / "uv")}
    match way:
        case "uv run":
            variables["UV_PROJECT_ENVIRONMENT"] = str(venv)
            start = ["uv", "run", "--no-dev", "--project", str(ROOT), "python", "-c"]
        case "uv tool":
            variables |= {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
            run("uv", "tool", "install", "--quiet", str(ROOT), folder=tmp_path, **variables)
            start = [str(tmp_path / "tools" / "ollama-mcp-server" / "bin" / "python"), "-c"]
        case _:
            maker = ["uv", "venv", "--quiet"] if way == "uv venv" else [sys.executable, "-m", "venv"]
            run(*maker, str(venv), folder=tmp_path, **variables)
            python = str(venv / "bin" / "python")
            pip = ["uv", "pip", "install", "--quiet", "--python", python]
            run(*pip, str(ROOT), folder=tmp_path, **variables)
            start = [python, "-c"]
    advice = run(*start, ASK, folder=tmp_path, **variables)
    run("/bin/sh", "-c", named(advice), folder=tmp_path, **variables)
    run(*start, IMPORT, folder=tmp_path, **variables)


@pytest.mark.slow
def test_uvx_gets_the_options_that_are_named(tmp_path: Path) -> None:
    path = path_with_uv(tmp_path / "uv")
    options = shlex.split(named(run("uvx", "--from", str(ROOT), "python", "-c", ASK, folder=tmp_path, PATH=path)))
    run("uvx", *options, "--from", str(ROOT), "python", "-c", IMPORT, folder=tmp_path, PATH=path)
