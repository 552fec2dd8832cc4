"""Installs pinned npm packages, once per lock file, into the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import platformdirs
import pytest
from filelock import FileLock

# Looked up at import: while tests run, that folder is none that can be written.
CACHE = platformdirs.user_cache_path("ollama-mcp-server-tests")
_INSTALL_SECONDS = 500
_LOOK_SECONDS = 30


@cache
def installed(pinned: Path) -> Path:
    """The folder of the cache with the packages that a package.json and its lock file pin.

    Skips the test where npm is missing or reaches no registry; fails it where the registry answers, or CI is true.

    Args:
        pinned: The folder of package.json and package-lock.json.
    """
    lock = (pinned / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    if (folder / "complete").exists():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        for name in ("package.json", "package-lock.json"):
            shutil.copy(pinned / name, folder)
        install = [npm, "ci", "--no-audit", "--no-fund"]
        done = subprocess.run(
            install, cwd=folder, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
        )
        if done.returncode:
            reason = f"npm ci failed for {pinned.name}: {done.stderr[:300]}"
            unavailable(reason, reachable=_answers(npm, pinned))
        (folder / "complete").touch()
    return folder


def unavailable(reason: str, *, reachable: bool = False) -> NoReturn:
    """Skip the test with the reason; fail it where it should have worked."""
    if reachable or os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _answers(npm: str, pinned: Path) -> bool:
    """Whether the registry knows one of the packages at this moment."""
    name, version = next(iter(json.loads((pinned / "package.json").read_bytes())["dependencies"].items()))
    look = [npm, "view", f"{name}@{version}", "version"]
    try:
        return not subprocess.run(look, capture_output=True, check=False, timeout=_LOOK_SECONDS).returncode
    except subprocess.TimeoutExpired:
        return False
