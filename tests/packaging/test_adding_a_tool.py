"""Adding a tool is one file, one test, and `make docs golden`: CONTRIBUTING's own example, tried in a copy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

pytestmark = pytest.mark.slow

COPIED = ("ollama_mcp", "tools", "prompts", "tests", "docs", "skills")
NOT_COPIED = shutil.ignore_patterns("__pycache__", "recordings", "node_modules")


def run(copy: Path, *arguments: str, **environment: str) -> None:
    """Run Python in the copy, with the copy's modules."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_example_of_contributing_becomes_a_tool_by_its_file_alone(tmp_path: Path):
    copy = tmp_path / "copy"
    for folder in COPIED:
        shutil.copytree(ROOT / folder, copy / folder, ignore=NOT_COPIED)
    for file in ROOT.iterdir():
        if file.is_file() and not file.is_symlink():
            shutil.copy(file, copy)
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", contributing, re.DOTALL) if "@tool(" in code]
    (copy / "tools/version.py").write_text(f'"""An example."""\n\n{example}', encoding="utf-8")
    golden = ("-m", "pytest", "-q", "-n0", "tests/golden")
    run(copy, *golden, UPDATE_GOLDEN="1")
    run(copy, "docs/generate.py")
    run(copy, *golden)
    assert "| `ollama_version` |" in (copy / "docs/tools.md").read_text(encoding="utf-8")
    result = json.loads((copy / "tests/golden/results/ollama_version.json").read_text(encoding="utf-8"))
    assert result["structuredContent"]["version"]
