"""Relative paths start from the client's roots; without any, from the project in the working folder."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import ListRootsResult, Root
from pydantic import FileUrl

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from tests.support import data, error, texts

CHECKOUT = Path(__file__).parents[2]
ASK: dict[str, Any] = {"model": "llama3.2:3b", "prompt": "What is it?"}


@asynccontextmanager
async def rooted(url: str, *roots: Path, **settings: Any) -> AsyncGenerator[Client]:
    """A client that declares roots, of a server with otherwise untouched rules."""

    async def list_roots(context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl(root.as_uri())) for root in roots])

    given = {"host": url, "store": {"path": ":memory:"}, **settings}
    server = OllamaServer(Settings.model_validate(given))
    async with Client(server, mode="legacy", list_roots_callback=list_roots) as client:
        yield client


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "a.md").write_text("blue\n", encoding="utf-8")
    (folder / "notes" / "b.md").write_text("green\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("named", ["notes/a.md", "notes/a.md:1-1", "notes/*.md", "notes"])
async def test_files_are_of_the_root_and_the_receipt_names_the_absolute_path(
    simulator: Simulator, project: Path, named: str
):
    async with rooted(simulator.url, project) as client:
        result = await client.call_tool("ollama_chat", {**ASK, "files": [named]})
    assert not result.is_error, texts(result)
    assert str(project / "notes" / "a.md") in "\n".join(texts(result))


async def test_of_several_roots_the_one_that_has_the_file_is_meant(simulator: Simulator, project: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    async with rooted(simulator.url, other, project) as client:
        for named in ("notes/a.md", "**/a.md"):
            result = await client.call_tool("ollama_chat", {**ASK, "files": [named]})
            assert str(project / "notes" / "a.md") in "\n".join(texts(result))
        said = error(await client.call_tool("ollama_chat", {**ASK, "files": ["absent.md"]}), "invalid_argument")
    assert str(other / "absent.md") in said


async def test_which_root_is_meant_does_not_tell_what_exists_outside(
    simulator: Simulator, project: Path, tmp_path: Path
):
    deep = tmp_path / "elsewhere" / "inner"
    deep.mkdir(parents=True)
    (deep.parent / "secret.txt").write_text("x", encoding="utf-8")
    reading = {"image_folders": list[str](), "temp_images": False}
    async with rooted(simulator.url, project, deep, read=reading) as client:
        for name in ("../secret.txt", "../absent.txt"):
            said = error(await client.call_tool("ollama_chat", {**ASK, "files": [name]}), "not_allowed")
            assert str(tmp_path / name.removeprefix("../")) in said


async def test_a_batch_reads_a_folder_and_writes_into_the_root(simulator: Simulator, project: Path):
    given = {"model": ASK["model"], "prompt": "Say it: {text}", "input": ["notes"], "output": "out.jsonl"}
    async with rooted(simulator.url, project) as client:
        report = data(await client.call_tool("ollama_batch", given))
        assert report["done"] == 2
        assert report["output"] == str(project / "out.jsonl")
        again = error(await client.call_tool("ollama_batch", given), "invalid_argument")
        assert "overwrite: true" in again
        assert data(await client.call_tool("ollama_batch", {**given, "overwrite": True}))["done"] == 2
    assert await asyncio.to_thread((project / "out.jsonl").exists)


async def test_a_model_is_created_from_relative_paths(simulator: Simulator, project: Path, tiny_chat: bytes):
    (project / "tiny.gguf").write_bytes(tiny_chat)
    (project / "Modelfile").write_text("FROM ./tiny.gguf\nSYSTEM Be brief.\n", encoding="utf-8")
    async with rooted(simulator.url, project) as client:
        for name, source in (("one", {"modelfile": "Modelfile"}), ("two", {"path": "tiny.gguf"})):
            result = await client.call_tool("ollama_create_model", {"model": name, **source})
            assert not result.is_error, texts(result)


async def test_without_roots_the_project_in_the_working_folder_is_meant(
    simulator: Simulator, project: Path, monkeypatch: pytest.MonkeyPatch
):
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(project)
    async with rooted(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {**ASK, "files": ["notes/a.md"]})
    assert str(project / "notes" / "a.md") in "\n".join(texts(result))


async def test_the_servers_own_checkout_is_not_the_users_project(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(CHECKOUT)
    async with rooted(simulator.url) as client:
        error(await client.call_tool("ollama_chat", {**ASK, "files": ["README.md"]}), "invalid_argument")
        error(await client.call_tool("ollama_chat", {**ASK, "files": [str(CHECKOUT / "README.md")]}), "not_allowed")
    # A client that declares it has chosen it.
    async with rooted(simulator.url, CHECKOUT) as client:
        result = await client.call_tool("ollama_chat", {**ASK, "files": ["README.md"]})
    assert not result.is_error
