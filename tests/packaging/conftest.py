"""What the tests of packaging share: one build of the project, and a client of an installed server."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """A wheel and a source distribution of the tree as it is."""

    wheel: Path
    sdist: Path

    @property
    def wheel_names(self) -> set[str]:
        """Paths of the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built by the build backend itself, which needs no network."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return Built(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


def build(tree: Path, folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """Build a tree into a folder; fails with what the backend said."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *targets]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    return done


def path_with_uv(folder: Path) -> str:
    """A PATH that finds the uv of the tests' own environment first, and nothing else of that environment."""
    folder.mkdir()
    for program in ("uv", "uvx"):
        (folder / program).symlink_to(Path(find_uv_bin()).with_name(program))
    return os.pathsep.join([str(folder), *os.get_exec_path()])


def uv_variables(folder: Path) -> dict[str, str]:
    """What uv needs to find its packages where home is an empty folder.

    Args:
        folder: A new folder, for the programs.
    """
    cache = subprocess.run([find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    own = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_", "PIP_"))}
    config = Path.home() / ".config" / "uv" / "uv.toml"
    own |= {"UV_CONFIG_FILE": str(config)} if config.exists() else {}
    return {**own, "PATH": path_with_uv(folder), "UV_CACHE_DIR": cache}


def empty_home(folder: Path) -> dict[str, str]:
    """An environment without anybody's settings: home and the places of config files are an empty folder."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, **dict.fromkeys(("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "APPDATA", "LOCALAPPDATA"), str(folder))}


async def offered_tools(command: str, *arguments: str, folder: Path, variables: Mapping[str, str]) -> list[str]:
    """The tools that a server process started in a folder lists to a real client.

    Args:
        command: What to run.
        arguments: Its arguments.
        folder: Where it is started.
        variables: Its environment; home is the folder too, so that nobody's own settings count.
    """
    env = {**empty_home(folder), **variables}
    server = StdioServerParameters(command=command, args=list(arguments), cwd=folder, env=env)
    async with Client(server, mode="legacy") as client:
        return [tool.name for tool in (await client.list_tools()).tools]
