"""`install` with the real hosts: what it writes, by their own command, is what they start."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ollama_mcp.cli.install.files import BACKUP_SUFFIX
from ollama_mcp.simulator import Simulator
from tests import installed
from tests.clients.hosts import HERE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_SECONDS = 200


@dataclass(frozen=True)
class Case:
    """A host.

    Args:
        program: Its program, and its folder with package.json.
        key: Its name for `install`.
        file: Its configuration in a home.
        before: What its user has written there.
        listed: What it says of a server that it has started, or would start.
    """

    program: str
    key: str
    file: str
    before: str
    listed: str


CASES = [
    Case("claude", "claude-code", ".claude.json", '{"mine": 1}', "Connected"),
    Case("codex", "codex", ".codex/config.toml", '# mine\nmodel = "x"\n', "enabled"),
    Case("gemini", "gemini-cli", ".gemini/settings.json", '{\n  // mine\n  "ui": {}\n}\n', "Connected"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_a_host_starts_what_was_installed_and_forgets_what_was_removed(
    case: Case, simulator: Simulator, tmp_path: Path
) -> None:
    programs = installed.from_npm(HERE / case.program) / "node_modules" / ".bin"
    node = os.path.dirname(installed.node())
    home = tmp_path / "a home"
    file = home / case.file
    file.parent.mkdir(parents=True)
    file.write_text(case.before)
    variables = {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(programs), node, "/usr/bin", "/bin"]),
        "OLLAMA_HOST": simulator.url,
        "GEMINI_API_KEY": "no-key",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command,
            env=variables,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    own = (sys.executable, "-m", "ollama_mcp")
    said = run(*own, "install", case.key, "--read-only", "--folders", str(home))
    assert f"by `{case.program} mcp add`" in said
    assert file.with_name(file.name + BACKUP_SUFFIX).read_text() == case.before
    assert "is up to date" in run(*own, "update")
    shown = run(case.program, "mcp", "list")
    assert "ollama" in shown and case.listed in shown
    assert f"by `{case.program} mcp remove`" in run(*own, "uninstall", case.key)
    assert "ollama" not in file.read_text() and "mine" in file.read_text()
