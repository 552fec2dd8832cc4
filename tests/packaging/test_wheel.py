"""What is in the wheel and in the source distribution, and that the wheel's files alone make a server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import TextResourceContents

from ollama_mcp._project import REPOSITORY
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from tests.packaging.conftest import ROOT, Built, build, empty_home, offered_tools

IN_WHEEL = ("ollama_mcp/", "tools/", "prompts/", "skills/", "config.json", "ollama_mcp_server.py")
BUILDING = {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md"}


def known_to_git() -> set[str]:
    """The files that are tracked, or would be by `git add`."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: git does not say which files are the project's")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in names if (ROOT / name).exists()}


def in_package(name: str) -> str:
    """Where a file of the tree lies in a wheel."""
    return name if name.startswith("ollama_mcp") else f"ollama_mcp/{name}"


async def tools_of_the_checkout() -> list[str]:
    return [tool.name for tool in await OllamaServer(Settings()).list_tools()]


def test_the_wheel_holds_exactly_the_files_of_the_project(built: Built) -> None:
    shipped = {in_package(name) for name in known_to_git() if name.startswith(IN_WHEEL)}
    assert {name for name in built.wheel_names if ".dist-info/" not in name} == shipped


def test_nothing_else_lands_at_the_top_of_site_packages(built: Built) -> None:
    (info,) = {name.split("/")[0] for name in built.wheel_names if ".dist-info/" in name}
    assert info.startswith("ollama_mcp_server-")
    assert {name.split("/")[0] for name in built.wheel_names} == {"ollama_mcp", "ollama_mcp_server.py", info}


def test_the_package_index_is_told_links_that_work_without_the_files_beside_it(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = archive.read(name).decode()
    assert "Description-Content-Type: text/markdown" in told
    assert f"]({REPOSITORY}/blob/main/docs/install.md)" in told
    assert f'src="{REPOSITORY}/raw/main/docs/pictures/how-it-works-light.svg"' in told
    links = re.findall(r"\]\(([^)]+)\)", told)
    assert links and all(link.startswith(("https://", "#")) for link in links)


@pytest.fixture(scope="module")
def unpacked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files in a folder, which a Python process finds before the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    site = folder / "site"
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(site)
    code = "import ollama_mcp, ollama_mcp_server; print(ollama_mcp.__file__, ollama_mcp_server.__file__)"
    command = [sys.executable, "-c", code]
    variables = {"PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    assert all(Path(name).is_relative_to(site) for name in done.stdout.split())
    return site


async def test_the_wheel_alone_serves_from_a_neutral_folder(unpacked: Path, tmp_path: Path) -> None:
    neutral = tmp_path / "neutral"
    neutral.mkdir()
    variables = {"PYTHONPATH": str(unpacked)}
    listed = await offered_tools(sys.executable, "-m", "ollama_mcp", folder=neutral, variables=variables)
    assert listed == await tools_of_the_checkout()


async def test_the_wheel_alone_serves_the_skill(unpacked: Path, tmp_path: Path) -> None:
    env = {**empty_home(tmp_path), "PYTHONPATH": str(unpacked)}
    server = StdioServerParameters(command=sys.executable, args=["-m", "ollama_mcp"], cwd=tmp_path, env=env)
    async with Client(server) as client:
        assert client.server_capabilities is not None
        assert "io.modelcontextprotocol/skills" in (client.server_capabilities.extensions or {})
        (content,) = (await client.read_resource("skill://local-models/SKILL.md")).contents
    assert isinstance(content, TextResourceContents)
    assert content.text.encode() == (ROOT / "skills" / "local-models" / "SKILL.md").read_bytes()


async def test_the_checkout_serves_by_its_entry_file_from_a_neutral_folder(tmp_path: Path) -> None:
    listed = await offered_tools(sys.executable, str(ROOT / "ollama_mcp_server.py"), folder=tmp_path, variables={})
    assert listed == await tools_of_the_checkout()


def test_a_wheel_built_from_the_source_distribution_is_the_same(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert {file.name for file in tree.iterdir()} >= BUILDING
    assert any(tree.glob("tests/*/test_*.py"))
    build(tree, tmp_path / "dist", "-t", "wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert Built(wheel, built.sdist).wheel_names == built.wheel_names


def test_a_tree_without_tools_is_not_built(tmp_path: Path) -> None:
    for name in (*BUILDING, "ollama_mcp_server.py", "config.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "ollama_mcp", tmp_path / "ollama_mcp")
    with pytest.raises(AssertionError, match=r"nothing matches tools/\*\.py"):
        build(tmp_path, tmp_path / "dist", "-t", "wheel")
