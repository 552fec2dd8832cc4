"""The skills extension (io.modelcontextprotocol/skills): declared, listed, fetched and read as a host does it."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    PaginatedRequestParams,
    ReadResourceRequestParams,
    Request,
    RequestParams,
    Result,
    TextResourceContents,
)

from ollama_mcp.simulator import Simulator
from tests.support import connected, served
from tests.transports.wire import modern

ROOT = Path(__file__).parents[2]
EXTENSION = "io.modelcontextprotocol/skills"
URI = "skill://local-models/SKILL.md"


class Answer(Result):
    """A result of the extension: of one of its methods each."""

    skills: list[dict[str, Any]] | None = None
    skill: dict[str, Any] | None = None
    ttlMs: int
    cacheScope: str


async def ask(client: Client, method: str, params: RequestParams) -> Answer:
    return await client.session.send_request(Request[Any, str](method=method, params=params), Answer)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_host_finds_the_skill_and_what_it_reads_has_the_digest_and_size_of_the_entry(
    simulator: Simulator, mode: str
):
    async with connected(simulator.url, mode=mode) as client:
        assert client.server_capabilities is not None and client.server_capabilities.resources is not None
        # Versions with a handshake have no place for extensions; who asks all the same is answered.
        declared = client.server_capabilities.extensions or {}
        assert declared.get(EXTENSION) == (None if mode == "legacy" else {})
        listed = await ask(client, "skills/list", PaginatedRequestParams())
        (entry,) = listed.skills or []
        assert entry["uri"] == URI and {one["uri"] for one in entry["resources"]} >= {URI}
        assert (listed.ttlMs > 0, listed.cacheScope) == (True, "public")
        got = await ask(client, "skills/get", ReadResourceRequestParams(uri=URI))
        assert got.skill == entry
        for file in entry["resources"]:
            (content,) = (await client.read_resource(file["uri"])).contents
            assert isinstance(content, TextResourceContents) and content.mime_type == "text/markdown"
            whole = content.text.encode()
            assert (len(whole), f"sha256:{hashlib.sha256(whole).hexdigest()}") == (file["size"], file["digest"])
    path = ROOT / "skills" / "local-models"
    assert {one["uri"] for one in entry["resources"]} == {
        f"skill://local-models/{file.name}" for file in path.iterdir()
    }
    # A host compares this with the front matter of what it reads, field by field.
    head = (path / "SKILL.md").read_text(encoding="utf-8").split("---\n")[1]
    assert head == "".join(f"{name}: {value}\n" for name, value in entry["frontmatter"].items())
    assert entry["frontmatter"]["name"] == "local-models"


@pytest.mark.parametrize(
    "uri",
    ["skill://local-models", "skill://local-models/../../config.json", "skill://other/SKILL.md", "", "x" * 999],
)
async def test_what_is_no_skill_is_refused_as_invalid_and_nothing_else_is_read(simulator: Simulator, uri: str):
    async with connected(simulator.url) as client:
        with pytest.raises(MCPError) as caught:
            await ask(client, "skills/get", ReadResourceRequestParams(uri=uri))
        assert caught.value.error.code == -32602
        assert URI in caught.value.error.message and len(caught.value.error.message) < 300
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
        assert caught.value.error.code == -32602


async def test_there_is_one_page_of_skills(simulator: Simulator):
    async with connected(simulator.url) as client:
        with pytest.raises(MCPError) as caught:
            await ask(client, "skills/list", PaginatedRequestParams(cursor="2"))
    assert caught.value.error.code == -32602


async def test_over_stateless_http_the_answers_have_what_the_protocol_demands(simulator: Simulator):
    async with served(simulator.url, stateless=True) as address, httpx.AsyncClient() as http:

        async def post(method: str, **params: Any) -> dict[str, Any]:
            headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Accept": "application/json"}
            headers["Accept"] += ", text/event-stream"
            answer = await http.post(address, json=modern(1, method, params), headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.json()["result"]

        found = await post("server/discover")
        assert found["capabilities"]["extensions"][EXTENSION] == {}
        listed = await post("skills/list")
        got = await post("skills/get", uri=URI)
    assert listed["skills"] == [got["skill"]]
    for result in (listed, got):
        assert result["resultType"] == "complete" and result["cacheScope"] == "public" and result["ttlMs"] > 0
