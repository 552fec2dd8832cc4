"""Bundles are put to the hosts' own checkers, and Codex shows the server of its plugin."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bundles.desktop import desktop_manifest, write_desktop_extension
from bundles.manifests import PLUGIN, manifests
from tests import installed
from tests.clients.hosts import HERE as CLIENTS

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The folder of a plugin as it is in the repository."""
    folder = tmp_path / "plugin"
    for path, text in {**manifests(), "README.md": (ROOT / "README.md").read_text(encoding="utf-8")}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "skills", folder / "skills")
    return folder


def said(home: Path, pinned: Path, program: str, *arguments: str | Path) -> str:
    """What a program of npm says that succeeds in an empty home."""
    home.mkdir(exist_ok=True)
    (home / ".codex").mkdir(exist_ok=True)
    quiet = dict.fromkeys(("DISABLE_TELEMETRY", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"), "1")
    done = subprocess.run(
        [installed.from_npm(pinned) / "node_modules/.bin" / program, *arguments],
        cwd=home,
        env={**os.environ, "HOME": str(home), "CODEX_HOME": str(home / ".codex"), **quiet},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_claude_desktops_checker_takes_the_extension(tmp_path: Path):
    extension = write_desktop_extension(tmp_path / "dist", await desktop_manifest())
    shutil.unpack_archive(extension, tmp_path / "unpacked", "zip")
    pinned = Path(__file__).parent / "mcpb"
    manifest = tmp_path / "unpacked" / "manifest.json"
    assert "passes" in said(tmp_path / "home", pinned, "mcpb", "validate", manifest)
    assert PLUGIN in said(tmp_path / "home", pinned, "mcpb", "info", extension).lower()
    broken = manifest.read_text(encoding="utf-8").replace('"manifest_version": "0.4"', '"manifest_version": "0.2"')
    manifest.write_text(broken, encoding="utf-8")
    with pytest.raises(AssertionError):
        said(tmp_path / "home", pinned, "mcpb", "validate", manifest)


def test_claude_code_takes_the_plugin(plugin: Path, tmp_path: Path):
    shown = said(tmp_path / "home", CLIENTS / "claude", "claude", "plugin", "validate", plugin)
    assert f"mcpServers: {PLUGIN} stdio uv" in shown and f"skills: {PLUGIN}:" in shown
    assert "refuses a submission" not in shown


def test_gemini_cli_takes_the_extension(plugin: Path, tmp_path: Path):
    shown = said(tmp_path / "home", CLIENTS / "gemini", "gemini", "extensions", "validate", plugin)
    assert "successfully validated" in shown


def test_codex_reads_the_servers_where_the_plugin_names_them(plugin: Path, tmp_path: Path):
    codex = (tmp_path / "home", CLIENTS / "codex", "codex")
    said(*codex, "plugin", "marketplace", "add", plugin)
    said(*codex, "plugin", "add", f"{PLUGIN}@ollama-mcp-server")
    assert f"\n{PLUGIN} " in said(*codex, "mcp", "list")
