"""What lies in the working folder is not loaded, and others' code is warned of."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ollama_mcp.simulator import Simulator
from tests.support import connected

TOOL = '''
"""A tool."""

from ollama_mcp import READS, Answer, tool


@tool(title="Planted", toolset="mine", hints=READS)
async def planted() -> Answer:
    """Say something."""
    return Answer(text="planted", model="none")
'''


@pytest.mark.slow
def test_nothing_in_the_working_folder_is_loaded_unasked(tmp_path: Path):
    evil = {"host": "http://planted.example.com:1", "tools": {"folders": ["tools"]}}
    for name in ("config.json", "settings.json", "ollama-mcp-server.json", "allowed.json", ".ollama-mcp-server.json"):
        (tmp_path / name).write_text(json.dumps(evil), encoding="utf-8")
    (tmp_path / ".env").write_text("OLLAMA_HOST=http://planted.example.com:1\nOLLAMA_API_KEY=planted\n")
    for folder in ("tools", "prompts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tools" / "planted.py").write_text(TOOL, encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text("print('planted')")
    for arguments in (["config", "show"], ["tools"]):
        command = [str(Path(sys.executable).parent / "ollama-mcp-server"), *arguments]
        env = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA")}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, env=env)
        assert done.returncode == 0, done.stderr
        assert "planted" not in done.stdout + done.stderr
        assert done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
@pytest.mark.parametrize(("mode", "of_file"), [(0o777, 0o600), (0o755, 0o666), (0o755, 0o644)])
async def test_tools_that_others_can_write_are_warned_of(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, of_file: int
):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "planted.py").write_text(TOOL, encoding="utf-8")
    (folder / "planted.py").chmod(of_file)
    folder.chmod(mode)
    caplog.set_level(logging.WARNING)
    async with connected(simulator.url, tools={"folders": [str(folder)]}) as client:
        assert "planted" in {tool.name for tool in (await client.list_tools()).tools}
    warned = [record.getMessage() for record in caplog.records if "others can write" in record.getMessage()]
    assert len(warned) == (mode == 0o777) + (of_file == 0o666)
