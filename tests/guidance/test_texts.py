"""Instructions, tool texts, the skill and the icon, seen as one set."""

import base64
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from PIL import Image

from ollama_mcp.server.instructions import MAX_CHARS
from ollama_mcp.settings.model import TOOLSETS
from ollama_mcp.simulator import Simulator
from tests.guidance.helpers import calls_in, prompt_text
from tests.support import connected, texts

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skills" / "local-models" / "SKILL.md"
# What tools say that take less of an argument, or leave it to another tool to say it in full.
SHORT_FORMS = {"", "As in ollama_chat.", "Think first.", "JSON Schema.", "Paths or base64."}
ALL: dict[str, Any] = {"tools": {"toolsets": ["all"]}}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    "tools",
    [
        {},
        {"toolsets": ["all"]},
        *({"toolsets": [name]} for name in TOOLSETS),
        {"exclude": ["ollama_embed", "ollama_pull_model"]},
        {"toolsets": ["blobs"], "include": ["ollama_chat"]},
    ],
    ids=str,
)
async def test_instructions_are_short_and_name_only_offered_tools(
    simulator: Simulator, tools: dict[str, Any], read_only: bool
):
    async with connected(simulator.url, tools=tools, read_only=read_only) as client:
        offered = {tool.name for tool in (await client.list_tools()).tools}
        said = client.instructions or ""
    assert len(said) <= MAX_CHARS
    assert said.startswith("Run local models through the user's Ollama: private text, files you need not read, bulk")
    assert "model may be left out" in said
    assert set(re.findall(r"\bollama_[a-z_]+", said)) <= offered
    assert ("Read-only" in said) is read_only


async def test_instructions_tell_the_paths_what_is_free_what_takes_time_and_what_needs_a_yes(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = client.instructions or ""
    for words in (
        "over files and images (give paths), JSON by schema, tool calls: ollama_chat",
        "yes/no: ollama_decide",
        "many rows, files or images: ollama_batch",
        "by words or meaning: ollama_search",
        "installed: ollama_list_models",
        "are free",
        "5 to 60 s",
        "minutes",
        "confirm=true",
    ):
        assert words in said, words


async def test_clients_that_may_name_no_files_are_not_told_of_paths(simulator: Simulator):
    async with connected(simulator.url, transport="http") as client:
        said = client.instructions or ""
    assert "path" not in said and "file" not in said and "base64" in said


async def test_the_hand_overs_of_the_skill_work_as_they_stand(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {
        "pyproject.toml": "",
        "contracts/2024/lease.txt": "Either side may give notice of three months.\n",
        "mails/first.txt": "Please send my invoice again.\n",
        "reviews.csv": "id,review\n1,Sehr gut\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    calls = calls_in(SKILL.read_text(encoding="utf-8"))
    assert [tool for tool, _ in calls] == ["ollama_chat", "ollama_decide", "ollama_batch"]
    async with connected(simulator.url) as client:
        for tool, arguments in calls:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, texts(result)
    assert (tmp_path / "translated.csv").exists()


async def test_the_same_argument_means_the_same_in_every_tool(simulator: Simulator):
    async with connected(simulator.url, **ALL) as client:
        tools = (await client.list_tools()).tools
    said: dict[str, set[str]] = {}
    for tool in tools:
        for name, schema in tool.input_schema["properties"].items():
            said.setdefault(name, set()).add(schema.get("description", ""))
    for name in ("think", "format", "images", "keep_alive", "confirm", "insecure"):
        # Said in full, or left to another tool that says it.
        assert len(said[name] - SHORT_FORMS) == 1, (name, said[name])


async def test_no_argument_repeats_what_the_tools_description_says(simulator: Simulator):
    async with connected(simulator.url, **ALL) as client:
        for tool in (await client.list_tools()).tools:
            for name, schema in tool.input_schema["properties"].items():
                text = schema.get("description", "")
                assert len(text.split()) < 4 or text.rstrip(".") not in (tool.description or ""), (tool.name, name)


async def test_tools_that_search_hosts_should_always_show_are_marked(simulator: Simulator):
    async def marked(**settings: Any) -> list[str]:
        async with connected(simulator.url, **settings) as client:
            tools = (await client.list_tools()).tools
        return [tool.name for tool in tools if (tool.meta or {}).get("anthropic/alwaysLoad")]

    assert await marked() == ["ollama_chat"]
    assert await marked(tools={"always_load": ["ollama_embed", "ollama_status"]}) == ["ollama_embed", "ollama_status"]
    assert await marked(tools={"always_load": []}) == []


def test_the_skill_has_the_front_matter_of_agent_skills():
    head = re.match(r"---\nname: (\S+)\ndescription: (.+)\n---\n", SKILL.read_text(encoding="utf-8"))
    assert head is not None
    assert head[1] == SKILL.parent.name and re.fullmatch(r"[a-z0-9-]{1,64}", head[1])
    assert len(head[2]) <= 1024


async def test_the_skill_and_the_delegation_prompt_say_the_same(simulator: Simulator):
    async with connected(simulator.url) as client:
        text = await prompt_text(client, "delegate_task", task="x")
        offered = {tool.name for tool in (await client.list_tools()).tools}
    start, end = text.index("A local model costs"), text.index("\n\nFirst call: ")
    skill = SKILL.read_text(encoding="utf-8")
    assert text[start:end] in skill
    assert set(re.findall(r"\bollama_[a-z_]+", skill)) <= offered


async def test_the_server_has_a_small_icon_as_png_and_svg(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert client.server_info is not None
        png, svg = client.server_info.icons or []
    # Servers of protocol 2026-07-28 introduce themselves with every answer, so the icon's bytes count.
    assert len(png.src) + len(svg.src) < 800
    # Hosts that hold an answer to the protocol's schema refuse it for a character that no URI has.
    assert all(re.fullmatch(r"data:[\w./+-]+(;base64)?,[\w.~!$&'()*+,;=:@/?%-]+", icon.src) for icon in (png, svg))
    with Image.open(io.BytesIO(base64.b64decode(png.src.partition(",")[2]))) as image:
        assert (image.format, image.size) == ("PNG", (48, 48))
        assert len(image.convert("RGB").getcolors() or []) >= 3
    drawing = ElementTree.fromstring(unquote(svg.src.partition(",")[2]))
    assert drawing.get("viewBox") == "0 0 48 48"
