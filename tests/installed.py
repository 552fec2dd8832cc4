"""Third-party programs that tests run: pinned packages, installed once per lock file into the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
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
_NODE = 20


def unavailable(reason: str, *, reachable: bool = False) -> NoReturn:
    """Skip the test for what cannot be had here, but fail it where CI is true, or where it should have worked."""
    if reachable or os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def node() -> str:
    """The path of Node; skips the test where it is older than what hosts need."""
    found = shutil.which("node")
    version = _run([found, "--version"], Path(), _LOOK_SECONDS).stdout.strip() if found else "none"
    if not found or int(version.removeprefix("v").partition(".")[0]) < _NODE:
        unavailable(f"Node {_NODE} or later is needed; there is {version}")
    return found


@cache
def from_npm(pinned: Path) -> Path:
    """The folder of the cache with the packages that a package.json and its lock file pin.

    Skips the test where npm is missing or reaches no registry; fails it where the registry answers, or CI is true.

    Args:
        pinned: The folder of package.json and package-lock.json.
    """
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm is not installed")
    name, version = next(iter(json.loads((pinned / "package.json").read_bytes())["dependencies"].items()))
    return _installed(
        [pinned / "package-lock.json", pinned / "package.json"],
        [[npm, "ci", "--no-audit", "--no-fund"]],
        [npm, "view", f"{name}@{version}", "version"],
    )


@cache
def from_index(pins: Path) -> Path:
    """The Python of an environment of the cache with the packages that a file of requirements pins.

    Skips the test where no index can be reached; fails it where the index answers, or CI is true.
    """
    python = "env/bin/python" if sys.platform != "win32" else "env/Scripts/python.exe"
    if uv := shutil.which("uv"):
        make, pip = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, "env"], [uv, "pip"]
        into = ["--python", python]
    else:
        make, pip, into = [sys.executable, "-m", "venv", "--clear", "env"], [python, "-m", "pip"], []
    install = [*pip, "install", "--quiet", *into]
    folder = _installed([pins], [make, [*install, "-r", pins.name]], [*install, "--dry-run", "six"], sys.version)
    return folder / python


@cache
def from_distribution(package: str, program: str) -> Path:
    """The path of a program out of the distribution's package, unpacked with the libraries that are not here.

    Nothing is installed, so that no rights are needed; `libraries_of` says how it finds its libraries. Skips the test
    where there is no apt-get, or it cannot download the package.

    Args:
        package: Its name, such as "postgresql"; what it needs that is named after it is unpacked too.
        program: The pattern of the program's path in the package.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        unavailable(f"there is no {package} here, and no apt-get to download it")
    # Where tests run as root, some programs run as another user, who cannot enter root's folder.
    folder = (Path("/var/cache") / CACHE.name if os.getuid() == 0 else CACHE) / package
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "complete").exists():
            _unpack(package, folder)
        found = sorted(folder.glob(program))
        if not found:
            unavailable(f"the package {package} has no {program}")
        (folder / "complete").touch()
    return found[-1]


def libraries_of(program: Path) -> dict[str, str]:
    """The environment of a program from `from_distribution`; that of these tests for any other."""
    root = next((parent for parent in program.parents if (parent / "complete").exists()), None)
    if root is None:
        return dict(os.environ)
    folders = {str(library.parent) for library in root.glob("usr/lib/*-linux-*/*.so*")}
    folders |= {str(library.parent) for library in root.glob("lib/*-linux-*/*.so*")}
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(sorted(folders))}


def _unpack(package: str, folder: Path) -> None:
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    command = ["apt-cache", "depends", "--recurse", *(f"--no-{kind}" for kind in kinds), package]
    needed = {line for line in _run(command, folder, _LOOK_SECONDS).stdout.splitlines() if line[:1].isalnum()}
    status = ["dpkg-query", "--show", "--showformat", "${binary:Package} ${db:Status-Status}\n"]
    lines = _run(status, folder, _LOOK_SECONDS).stdout.splitlines()
    here = {line.partition(" ")[0].partition(":")[0] for line in lines if line.endswith(" installed")}
    # Perl is for what administrates the server, LLVM for what a test never computes.
    missing = {name for name in needed - here if name.startswith("lib") and not re.search("llvm|perl", name)}
    wanted = sorted({package} | missing | {name for name in needed if name.startswith(f"{package}-")})
    said = ""
    for name in wanted:
        said += _run(["apt-get", "download", name], folder, _INSTALL_SECONDS).stderr
    archives = sorted(folder.glob("*.deb"))
    if not archives:
        unavailable(f"{package} could not be downloaded: {said[-300:]}")
    for archive in archives:
        subprocess.run(["dpkg", "-x", archive, folder], check=True, timeout=60)
        archive.unlink()


def _installed(given: list[Path], commands: list[list[str]], look: list[str], *also: str) -> Path:
    """A folder of the cache in which the commands have been run beside the given files.

    Args:
        given: What is installed from; the folder's name depends on the first.
        commands: What installs.
        look: What works only while the packages can be had.
        also: What else the folder's name depends on.
    """
    digest = hashlib.sha256(given[0].read_bytes() + "".join(also).encode())
    folder = CACHE / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if (folder / "complete").exists():
            return folder
        for file in given:
            shutil.copy(file, folder)
        for command in commands:
            done = _run(command, folder, _INSTALL_SECONDS)
            if done.returncode:
                said = "\n".join(line for line in done.stderr.splitlines() if "warn" not in line)[:500]
                reason = f"{' '.join(command)} failed for {given[0]}: {said}"
                unavailable(reason, reachable=_run(look, folder, _LOOK_SECONDS).returncode == 0)
        (folder / "complete").touch()
    return folder


def _run(command: list[str], folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"it took longer than {seconds:.0f} s")
