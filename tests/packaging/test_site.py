"""The site of docs/ builds, with every link and anchor in it leading somewhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests import installed
from tests.packaging.conftest import ROOT

_SECONDS = 300


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    variables = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "env"), "NO_MKDOCS_2_WARNING": "1"}
    variables.pop("VIRTUAL_ENV", None)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=_SECONDS
        )

    made = run(find_uv_bin(), "sync", "--quiet", "--locked", "--only-group", "site")
    if made.returncode:
        installed.unavailable(f"mkdocs and its theme can't be installed, the site is not built: {made.stderr[-400:]}")
    python = next(tmp_path.glob("env/bin/python"), tmp_path / "env/Scripts/python.exe")
    built = run(str(python), "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site"))
    assert built.returncode == 0, built.stderr
    pages = {page.parent.name for page in (tmp_path / "site").glob("*/index.html")}
    assert pages >= {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert "What you can say" in (tmp_path / "site/index.html").read_text(encoding="utf-8")
