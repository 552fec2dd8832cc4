"""A model's name is an address: the host is sent nowhere that the settings do not list."""

from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Simulator
from tests.create.support import allow, changing_requests, create
from tests.support import connected, error

BASE = "llama3.2:3b"

NAMES = [
    "../x",
    "..%2f",
    "a/../../b",
    "x\0",
    "a\r\nb",
    "a\nERROR forged",
    "x" * 10_000,
    "ll\u0430ma",
    "a/b/c/d",
    "x:",
    "@x",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_that_is_none_is_refused_before_any_request(simulator: Simulator, name: str):
    async with connected(simulator.url, policy={"push": "allow"}) as client:
        for tool, arguments in (
            ("ollama_create_model", {"model": name, "from": BASE}),
            ("ollama_create_model", {"model": "x", "from": name}),
            ("ollama_pull_model", {"model": name}),
            ("ollama_push_model", {"model": name}),
            ("ollama_copy_model", {"source": BASE, "destination": name}),
            ("ollama_copy_model", {"source": name, "destination": "x"}),
            ("ollama_delete_model", {"model": name}),
            ("ollama_show_model", {"model": name}),
        ):
            assert "\n" not in error(await client.call_tool(tool, arguments), "invalid_argument")
    assert not simulator.requests


ADDRESSES = ["169.254.169.254/x/y", "10.0.0.5:8080/a/b", "http://127.0.0.1:1/a/b", "localhost/x/y", "evil.example/a/b"]


@pytest.mark.parametrize("name", ADDRESSES)
async def test_a_name_that_is_an_address_sends_the_host_nowhere(simulator: Simulator, tmp_path: Path, name: str):
    (tmp_path / "Modelfile").write_text(f"FROM {name}")
    settings: dict[str, Any] = {"policy": {"push": "allow"}, "read": allow(tmp_path)}
    async with connected(simulator.url, **settings) as client:
        for tool, arguments in (
            ("ollama_pull_model", {"model": name}),
            ("ollama_push_model", {"model": name}),
            ("ollama_copy_model", {"source": BASE, "destination": name}),
            ("ollama_create_model", {"model": name, "from": BASE}),
            ("ollama_create_model", {"model": "x", "from": name}),
            ("ollama_create_model", {"model": "x", "modelfile": f"FROM {name}\nSYSTEM x"}),
            ("ollama_create_model", {"model": "x", "modelfile": str(tmp_path / "Modelfile")}),
        ):
            assert "policy.registries" in error(await client.call_tool(tool, arguments), "not_allowed")
    assert not simulator.requests


async def test_a_listed_name_with_a_foreign_host_cannot_be_published(simulator: Simulator):
    model = simulator.store.find(BASE)
    assert model is not None
    simulator.store.add(model.renamed(parse_name("evil.example/a/b")))
    async with connected(simulator.url, policy={"push": "allow"}) as client:
        pushed = await client.call_tool("ollama_push_model", {"model": "evil.example/a/b"})
    error(pushed, "not_allowed")
    assert not simulator.requests


@pytest.mark.parametrize("more", [{"remote_host": "https://evil.example"}, {"nonsense": 1}])
async def test_create_takes_no_remote_host_and_nothing_unknown(simulator: Simulator, more: dict[str, Any]):
    async with connected(simulator.url) as client:
        result = await create(client, base=BASE, more=more)
    assert result.is_error
    assert not simulator.requests


async def test_a_base_from_the_cloud_that_is_not_installed_is_not_fetched(simulator: Simulator):
    async with connected(simulator.url) as client:
        error(await create(client, base="gpt-oss:20b-cloud"), "model_not_found")
        error(await create(client, modelfile="FROM gpt-oss:120b-cloud\nSYSTEM x"), "model_not_found")
    assert not changing_requests(simulator)
