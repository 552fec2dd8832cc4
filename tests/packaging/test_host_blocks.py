"""The pages' blocks for hosts, run literally: all that there are, with uv and without, in two kinds of folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.packaging.conftest import ROOT, offered_tools, uv_variables
from tests.packaging.test_wheel import tools_of_the_checkout

pytestmark = pytest.mark.slow

PLACEHOLDER = "PATH-TO-CHECKOUT"
# The parts about adding it by hand, of README and of the page on all hosts.
_SECTIONS = (
    ("README.md", re.compile(r"^## Add it to your host$(.*?)^## ", re.MULTILINE | re.DOTALL)),
    ("docs/install.md", re.compile(r"^## By hand$(.*)\Z", re.MULTILINE | re.DOTALL)),
)
_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(rf"`({PLACEHOLDER}/[^`]+)`")
_ENVIRONMENT_KEYS = ("env", "environment")


@dataclass(frozen=True)
class Configuration:
    """What a host starts."""

    command: str
    arguments: list[str]
    variables: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def needs_uv(self) -> bool:
        """Whether it starts uv."""
        return self.command in ("uv", "uvx")

    def literal(self) -> tuple[str, list[str]]:
        """Command and arguments, with the one placeholder replaced."""
        command, *arguments = (word.replace(PLACEHOLDER, str(ROOT)) for word in (self.command, *self.arguments))
        return command, arguments


def section() -> str:
    """What the pages say about adding it by hand."""
    found = [pattern.search((ROOT / page).read_text(encoding="utf-8")) for page, pattern in _SECTIONS]
    assert all(found)
    return "\n".join(part[1] for part in found if part)


def configurations() -> list[Configuration]:
    """All that the pages give hosts to start, each once: in blocks, and in sentences where a program is named alone."""
    text = section()
    found: list[Configuration] = []
    for language, block in _FENCED.findall(text):
        of_block = list(_in_block(language, block))
        assert of_block, f"nothing to start in this block:\n{block}"
        found += of_block
    found += [Configuration(path, []) for path in _INLINE.findall(_FENCED.sub("", text))]
    return [one for number, one in enumerate(found) if one not in found[:number]]


def _in_block(language: str, block: str) -> Iterator[Configuration]:
    if language in ("json", "jsonc"):
        yield from _in_table(json.loads(block))
    elif language == "toml":
        yield from _in_table(tomllib.loads(block))
    else:
        for line in block.replace("\\\n", " ").splitlines():
            if " mcp add" in line:
                yield _in_line(shlex.split(line))
            elif line.endswith(" warm"):
                # The host's own command, made ready.
                variable, *words = shlex.split(line)[:-1]
                yield Configuration(words[0], words[1:], dict([variable.split("=", 1)]))


def _in_table(value: Any) -> Iterator[Configuration]:
    """Every table with a command, at whatever place the host wants it."""
    if not isinstance(value, dict):
        return
    table = cast("dict[str, Any]", value)
    if "command" in table:
        given: list[str] | str = table["command"]
        words: list[str] = [given, *table.get("args", [])] if isinstance(given, str) else given
        variables: list[dict[str, str]] = [table[key] for key in _ENVIRONMENT_KEYS if key in table]
        yield Configuration(words[0], words[1:], *variables)
        return
    for inner in table.values():
        yield from _in_table(inner)


def _in_line(words: list[str]) -> Configuration:
    """A host's own command: what follows `--`, else what follows the server's name."""
    variables = dict(word.split("=", 1) for word in words if re.fullmatch(r"[A-Z_]+=\S+", word))
    start = words.index("--") + 1 if "--" in words else words.index("ollama") + 1
    if "=" in words[start]:
        start += 1
    return Configuration(words[start], words[start + 1 :], variables)


@pytest.fixture(scope="module", params=["a project of its own", "no project"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the host starts the server."""
    found = tmp_path_factory.mktemp("host")
    if request.param == "a project of its own":
        (found / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "1"\nrequires-python = ">=3.11"\n')
        (found / "README.md").write_text("Another project.\n")
        (found / ".venv").mkdir()
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What uv needs where home is an empty folder; its environment is not the one that the tests run in."""
    own = uv_variables(tmp_path_factory.mktemp("uv") / "bin")
    return {**own, "UV_PROJECT_ENVIRONMENT": str(tmp_path_factory.mktemp("uv") / "env")}


def test_there_are_blocks_with_uv_and_a_way_without() -> None:
    found = configurations()
    assert any(one.needs_uv for one in found)
    assert any(not one.needs_uv for one in found)
    assert all(PLACEHOLDER in " ".join([one.command, *one.arguments]) for one in found)


@pytest.mark.parametrize("number", range(len(configurations())))
async def test_what_a_block_says_serves_where_uv_is(number: int, folder: Path, environment: dict[str, str]) -> None:
    configuration = configurations()[number]
    await _serves(configuration, folder, {**environment, **configuration.variables})


async def test_without_uv_the_way_that_is_named_for_it_serves(folder: Path) -> None:
    path = os.pathsep.join(part for part in os.get_exec_path() if shutil.which("uv", path=part) is None)
    assert shutil.which("uv", path=path) is None
    for configuration in configurations():
        if not configuration.needs_uv:
            await _serves(configuration, folder, {**configuration.variables, "PATH": path})


async def _serves(configuration: Configuration, folder: Path, variables: dict[str, str]) -> None:
    command, arguments = configuration.literal()
    if command.startswith(str(ROOT)) and not os.access(command, os.X_OK):
        pytest.skip(f"{command} is made by make")
    assert await offered_tools(command, *arguments, folder=folder, variables=variables) == await tools_of_the_checkout()
