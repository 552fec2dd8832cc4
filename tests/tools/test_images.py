"""Images by path and address through the tools, by the rules of access."""

import io
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import ListRootsResult, Root
from PIL import Image
from pydantic import FileUrl

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from tests.cli.support import environment, run
from tests.program import program
from tests.support import connected, error, texts

EYES = "gemma3:4b"
ASK = {"model": EYES, "prompt": "What is this?"}


def _picture(path: Path, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> Path:
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, kind)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize("tool", ["ollama_chat", "ollama_generate"])
async def test_a_path_in_an_allowed_folder_is_read_sized_and_receipted(simulator: Simulator, tmp_path: Path, tool: str):
    photo = _picture(tmp_path / "photo.jpg", (3_000, 1_500), "JPEG")
    async with connected(simulator.url, read={"image_folders": [str(tmp_path)]}) as client:
        result = await client.call_tool(tool, {**ASK, "images": str(photo)})
    assert not result.is_error, texts(result)
    assert "JPEG 3000x1500, sent as JPEG 1568x784" in texts(result)[-1]


async def test_a_path_elsewhere_is_refused_with_the_way_to_allow_it(simulator: Simulator, tmp_path: Path):
    photo = _picture(tmp_path / "photo.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    reading = {"image_folders": [str(elsewhere)], "temp_images": False, "working_folder": "never"}
    async with connected(simulator.url, read=reading) as client:
        said = error(await client.call_tool("ollama_chat", {**ASK, "images": [str(photo)]}), "not_allowed")
    assert "image 1 of 1" in said and "ollama-mcp-server allow" in said
    assert "/api/chat" not in [seen.path for seen in simulator.requests]


async def test_a_folder_that_the_client_declares_as_a_root_may_be_read(simulator: Simulator, tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    photo = _picture(project / "photo.png")
    asked: list[int] = []

    async def roots(context: Any) -> ListRootsResult:
        asked.append(1)
        return ListRootsResult(roots=[Root(uri=FileUrl(project.as_uri())), Root(uri=FileUrl("file:///%00"))])

    for client_roots, allowed in ((True, True), (False, False)):
        reading: dict[str, Any] = {
            "image_folders": [],
            "temp_images": False,
            "working_folder": "never",
            "client_roots": client_roots,
        }
        server = OllamaServer(Settings.model_validate({"host": simulator.url, "read": reading}))
        async with Client(server, mode="legacy", list_roots_callback=roots) as client:
            for _ in range(2):
                result = await client.call_tool("ollama_chat", {**ASK, "images": [str(photo)]})
                assert bool(result.is_error) is not allowed, texts(result)
    assert asked == [1]


async def test_addresses_are_off_and_paths_too_over_http(simulator: Simulator, tmp_path: Path):
    photo = _picture(tmp_path / "photo.png")
    async with connected(simulator.url) as client:
        said = error(
            await client.call_tool("ollama_chat", {**ASK, "images": ["https://example.com/a.png"]}), "not_allowed"
        )
        assert "urls.enabled" in said
    reading = {"image_folders": [str(tmp_path)], "over_http": True}
    async with connected(simulator.url, transport="http", read=reading) as client:
        said = error(await client.call_tool("ollama_chat", {**ASK, "images": [str(photo)]}), "not_allowed")
        assert "HTTP" in said


async def test_images_stay_at_home_unless_the_settings_let_them_go_to_the_cloud(simulator: Simulator, tmp_path: Path):
    photo = _picture(tmp_path / "photo.png")
    arguments = {"model": "kimi-k2.6:cloud", "prompt": "What?", "images": [str(photo)]}
    reading = {"image_folders": [str(tmp_path)]}
    async with connected(simulator.url, read=reading) as client:
        said = error(await client.call_tool("ollama_chat", arguments), "not_allowed")
        assert "policy.cloud_images" in said
    async with connected(simulator.url, read=reading, policy={"cloud_images": "allow"}) as client:
        result = await client.call_tool("ollama_chat", arguments)
    assert not result.is_error, texts(result)
    assert simulator.requests[-1].json["messages"][0]["images"]


async def test_too_many_images_name_the_limit(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = error(await client.call_tool("ollama_chat", {**ASK, "images": ["AAAA"] * 21}), "invalid_argument")
    assert "21 images" in said and "images.max_count" in said


async def test_a_folder_allowed_at_the_command_line_counts_at_once(simulator: Simulator, tmp_path: Path):
    home, pictures = tmp_path / "home", tmp_path / "pictures"
    home.mkdir()
    pictures.mkdir()
    photo = _picture(pictures / "photo.png")
    variables = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "OLLAMA_MCP_READ__TEMP_IMAGES": "false"}
    env = environment(OLLAMA_HOST=simulator.url, **variables)
    command, *words = program()
    server = StdioServerParameters(command=command, args=words, env=env, cwd=home)
    arguments: dict[str, Any] = {**ASK, "images": [str(photo)]}
    async with Client(server, mode="legacy") as client:
        error(await client.call_tool("ollama_chat", arguments), "not_allowed")
        ran = await run("allow", str(pictures), **variables)
        assert ran.code == 0, ran.err
        result = await client.call_tool("ollama_chat", arguments)
    assert not result.is_error, texts(result)
