"""Installs the third-party clients, once per lock file, into the user's cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.installed import CACHE, unavailable

_HERE = Path(__file__).parent
_MODULES = "node_modules/@modelcontextprotocol"


@cache
def installed() -> Path:
    """The folder they are installed in; skips the test without npm or network, but fails it where CI is true."""
    lock = (_HERE / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    if (folder / "complete").exists():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_HERE / name, folder)
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False, timeout=500
    )
    if done.returncode:
        unavailable(f"npm ci failed: {done.stderr[-300:]}")
    (folder / "complete").touch()
    return folder


def conformance(*arguments: str) -> list[str]:
    """Command line of the official conformance suite."""
    return _command("conformance/dist/index.js", *arguments)


def inspector(*arguments: str) -> list[str]:
    """Command line of the MCP Inspector."""
    script = installed() / "node_modules/.bin/mcp-inspector"
    return [_node(), str(script.resolve()), "--cli", *arguments]


def _command(script: str, *arguments: str) -> list[str]:
    return [_node(), str(installed() / _MODULES / script), *arguments]


def _node() -> str:
    return str(installed() / "node_modules/node/bin/node")
