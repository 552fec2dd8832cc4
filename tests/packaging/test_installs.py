"""The ways of installing that README names, each into an environment of its own; they need a package index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Built, offered_tools
from tests.packaging.test_wheel import tools_of_the_checkout

pytestmark = pytest.mark.slow


def environment(folder: Path, *install: str) -> Path:
    """Make a virtual environment, install into it, and return its folder."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *install]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="names programs as POSIX does")
@pytest.mark.parametrize("way", ["wheel", "sdist", "folder", "editable"])
async def test_it_installs_and_serves(way: str, built: Built, tmp_path: Path) -> None:
    what = {
        "wheel": [str(built.wheel)],
        "sdist": [str(built.sdist)],
        "folder": [str(ROOT)],
        "editable": ["-e", str(ROOT)],
    }
    venv = environment(tmp_path / "venv", *what[way])
    neutral = tmp_path / "neutral"
    neutral.mkdir()
    listed = await offered_tools(str(venv / "bin" / "ollama-mcp-server"), folder=neutral, variables={})
    assert listed == await tools_of_the_checkout()
    (site,) = venv.glob("lib/python3*/site-packages")
    top = {entry.name for entry in site.iterdir()}
    ours = {name for name in top if "ollama" in name and not name.endswith(".dist-info")}
    assert ours == (
        {"_editable_impl_ollama_mcp_server.pth"} if way == "editable" else {"ollama_mcp", "ollama_mcp_server.py"}
    )
    assert not top & {"tools", "prompts", "config.json", "tests", "hatch_build.py"}
