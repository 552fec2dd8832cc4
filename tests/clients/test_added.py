"""What the pages say to type, and what this repository offers hosts to install, in the hosts themselves."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.hosts import Claude, Codex, Gemini, Home, Host
from tests.packaging.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVER = str(Path(sys.executable).with_name("ollama-mcp-server"))
# Nothing listens there: hosts have to do without the rest of the world.
NOWHERE = "http://127.0.0.1:9"
OFFERED = (".claude-plugin", ".codex-plugin", ".agents", "skills", "gemini-extension.json", "README.md")


class Shell:
    """A host's own commands, typed in an empty home."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._program, self._home = host.program(), Home(folder)
        self._home.project.mkdir()
        # Gemini CLI starts no server in a folder that its user has not said to trust.
        (folder / ".gemini").mkdir()
        (folder / ".gemini" / "trustedFolders.json").write_text(json.dumps({str(self._home.project): "TRUST_FOLDER"}))

    async def type(self, *words: str) -> str:
        """Run a command to its end; what it printed."""
        done = await asyncio.to_thread(
            subprocess.run,
            [*self._program, *words],
            cwd=self._home.project,
            env=self._home.environment(NOWHERE, {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        # Gemini CLI answers on stderr.
        said = done.stdout or done.stderr
        # What is wrong with a plugin is no reason for Claude Code to exit with an error.
        assert "✘" not in said, said
        return said


def words_of_page(program: str) -> list[str]:
    """The words that a page has after a host's program, with the installed server instead of uv and a checkout."""
    pages = [(ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/install.md")]
    (line,) = [line for page in pages for line in page.splitlines() if line.startswith(f"{program} mcp add ")]
    words = shlex.split(line)
    return [*words[1 : words.index("uv")], SERVER]


@pytest.fixture
def offered(tmp_path: Path) -> str:
    """A folder with what the repository offers, and without what only a checkout has."""
    folder = tmp_path / "offered"
    folder.mkdir()
    for name in OFFERED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return str(folder)


async def test_claude_code_adds_and_reaches_it_and_installs_the_plugin(tmp_path: Path, offered: str) -> None:
    shell = Shell(Claude(), tmp_path)
    await shell.type(*words_of_page("claude"))
    assert f"ollama: {SERVER}  - ✔ Connected" in await shell.type("mcp", "list")
    assert "skills: ollama:local-models" in await shell.type("plugin", "validate", offered)
    await shell.type("plugin", "marketplace", "add", offered)
    await shell.type("plugin", "install", "ollama@ollama-mcp-server")
    assert "ollama@ollama-mcp-server" in await shell.type("plugin", "list")


async def test_codex_adds_it_and_installs_the_plugin(tmp_path: Path, offered: str) -> None:
    shell = Shell(Codex(), tmp_path)
    await shell.type(*words_of_page("codex"))
    added = json.loads(await shell.type("mcp", "get", "ollama", "--json"))["transport"]
    assert (added["command"], added["env"]) == (SERVER, {"OLLAMA_HOST": "http://127.0.0.1:11434"})
    await shell.type("mcp", "remove", "ollama")
    await shell.type("plugin", "marketplace", "add", offered)
    await shell.type("plugin", "add", "ollama@ollama-mcp-server")
    assert "uvx" in await shell.type("mcp", "list")


async def test_gemini_cli_adds_and_reaches_it_and_takes_the_extension(tmp_path: Path, offered: str) -> None:
    shell = Shell(Gemini(), tmp_path)
    await shell.type(*words_of_page("gemini"))
    assert f"✓ ollama: {SERVER}  (stdio) - Connected" in await shell.type("mcp", "list")
    await shell.type("extensions", "validate", offered)
