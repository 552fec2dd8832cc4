import base64
import hashlib
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Simulator
from tests.support import connected, data, error, text

MODEL = "llama3.2:3b"


async def _names_of(client: Client) -> set[str]:
    return {model["name"] for model in data(await client.call_tool("ollama_list_models", {}))["models"]}


async def _twice(client: Client, tool: str, arguments: dict[str, Any]) -> str:
    """Ask, then confirm; returns the question."""
    question = error(await client.call_tool(tool, arguments), "needs_confirmation")
    assert not (await client.call_tool(tool, {**arguments, "confirm": True})).is_error
    return question


async def test_deleting_first_says_what_would_happen_then_does_it(simulator: Simulator):
    async with connected(simulator.url) as client:
        question = await _twice(client, "ollama_delete_model", {"model": MODEL})
        assert MODEL not in await _names_of(client)
    assert "This deletes llama3.2:3b (2.0 GB" in question and "confirm=true" in question


async def test_confirming_what_was_never_asked_only_asks(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_delete_model", {"model": MODEL, "confirm": True})
        error(result, "needs_confirmation")
        assert MODEL in await _names_of(client)


async def test_a_confirmation_is_good_once_and_for_one_model(simulator: Simulator):
    async with connected(simulator.url) as client:
        await _twice(client, "ollama_delete_model", {"model": MODEL})
        other = await client.call_tool("ollama_delete_model", {"model": "qwen3:4b", "confirm": True})
        error(other, "needs_confirmation")
        await client.call_tool("ollama_copy_model", {"source": "gemma3:4b", "destination": MODEL})
        again = await client.call_tool("ollama_delete_model", {"model": MODEL, "confirm": True})
        error(again, "needs_confirmation")


async def test_deleting_what_is_not_there_is_no_question(simulator: Simulator):
    async with connected(simulator.url) as client:
        error(await client.call_tool("ollama_delete_model", {"model": "nope"}), "model_not_found")


async def test_a_copy_to_a_free_name_needs_no_confirmation(simulator: Simulator):
    async with connected(simulator.url) as client:
        done = await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": "mine"})
        assert text(done) == f"mine is now a copy of {MODEL}."
        assert "mine:latest" in await _names_of(client)


async def test_a_copy_over_a_model_is_confirmed_unless_this_process_made_it(simulator: Simulator):
    async with connected(simulator.url) as client:
        question = await _twice(client, "ollama_copy_model", {"source": MODEL, "destination": "GEMMA3:4B"})
        assert "gemma3:4b exists" in question
        # The name is the user's: a yes for one content is none for the next.
        again = await client.call_tool("ollama_copy_model", {"source": "qwen3:4b", "destination": "gemma3:4b"})
        error(again, "needs_confirmation")
        for source in (MODEL, "qwen3:4b"):
            made = await client.call_tool("ollama_copy_model", {"source": source, "destination": "made-here"})
            assert not made.is_error


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("ollama_copy_model", {"source": MODEL, "destination": "evil.example/a/b"}),
        ("ollama_pull_model", {"model": "169.254.169.254/x/y"}),
        ("ollama_pull_model", {"model": "10.0.0.5:8080/a/b"}),
        ("ollama_pull_model", {"model": "http://127.0.0.1:1/a/b"}),
        ("ollama_create_model", {"model": "localhost/x/y", "from": MODEL}),
        ("ollama_pull_model", {"model": "smollm2:135m", "insecure": True}),
        ("ollama_push_model", {"model": MODEL}),
    ],
)
async def test_what_the_settings_do_not_allow_names_the_setting_and_sends_nothing(
    simulator: Simulator, tool: str, arguments: dict[str, Any]
):
    async with connected(simulator.url) as client:
        assert "policy." in error(await client.call_tool(tool, arguments), "not_allowed")
    assert not simulator.requests


async def test_a_listed_registry_may_be_reached_insecurely_where_listed(simulator: Simulator):
    policy = {"registries": ["registry.ollama.ai"], "insecure_registries": ["registry.ollama.ai"]}
    async with connected(simulator.url, policy=policy) as client:
        assert not (await client.call_tool("ollama_pull_model", {"model": "smollm2:135m", "insecure": True})).is_error
    assert simulator.requests[-1].json["insecure"] is True


async def test_a_pull_ends_with_size_and_time(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_pull_model", {"model": "smollm2:135m"})
        assert "smollm2:135m" in await _names_of(client)
    assert data(result)["size_bytes"] > 100_000_000
    assert text(result).startswith("smollm2:135m: downloaded, 270.9 MB in ")


async def test_a_model_that_the_registry_lacks_says_registry(simulator: Simulator):
    async with connected(simulator.url) as client:
        words = error(await client.call_tool("ollama_pull_model", {"model": "no-such-model"}), "model_not_found")
    assert "registry" in words


async def test_a_push_is_confirmed_by_argument_where_the_settings_say_so(simulator: Simulator):
    async with connected(simulator.url, policy={"push": "confirm"}) as client:
        await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": "me/mine"})
        question = await _twice(client, "ollama_push_model", {"model": "me/mine"})
    assert "publishes me/mine:latest" in question and "namespace" not in question
    assert [seen.json["model"] for seen in simulator.requests if seen.path == "/api/push"] == ["me/mine"]


async def test_a_push_without_a_namespace_is_told_before_it_is_refused(simulator: Simulator):
    async with connected(simulator.url, policy={"push": "confirm"}) as client:
        question = error(await client.call_tool("ollama_push_model", {"model": MODEL}), "needs_confirmation")
    assert f"USER/{MODEL}" in question and "ollama_copy_model" in question


async def test_a_model_is_created_from_another(simulator: Simulator):
    arguments = {
        "model": "pirate",
        "from": MODEL,
        "system": "You are a pirate.",
        "parameters": {"temperature": "1", "stop": "arr"},
        "template": "{{ .System }} {{ .Prompt }}",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}],
        "license": "MIT",
    }
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_create_model", arguments)
        assert text(result).startswith("pirate was created in ")
        (listed,) = [
            row
            for row in data(await client.call_tool("ollama_list_models", {}))["models"]
            if row["name"] == "pirate:latest"
        ]
        shown = await client.call_tool("ollama_show_model", {"model": "pirate", "include": ["system", "messages"]})
    assert data(result)["digest"] == listed["digest"] and data(result)["size_bytes"] == listed["size_bytes"]
    assert listed["digest"][:12] in text(result)
    assert data(shown)["included"]["system"] == "You are a pirate."
    assert data(shown)["included"]["messages"] == arguments["messages"]
    sent = next(seen.json for seen in simulator.requests if seen.path == "/api/create")
    assert sent["parameters"] == {"temperature": 1.0, "stop": ["arr"]}
    assert sent["license"] == ["MIT"]


async def test_creating_over_a_model_is_confirmed(simulator: Simulator):
    async with connected(simulator.url) as client:
        await _twice(client, "ollama_create_model", {"model": "gemma3:4b", "from": MODEL, "system": "s"})


async def test_a_base_that_is_absent_is_not_pulled_in_secret(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_create_model", {"model": "x", "from": "smollm2:135m"})
    error(result, "model_not_found")
    assert "/api/create" not in [seen.path for seen in simulator.requests]


async def test_blobs_are_uploaded_once_and_make_a_model(simulator: Simulator, tiny_chat: bytes):
    digest = f"sha256:{hashlib.sha256(tiny_chat).hexdigest()}"
    encoded = base64.b64encode(tiny_chat).decode()
    async with connected(simulator.url, tools={"toolsets": ["default", "blobs"]}) as client:
        before = await client.call_tool("ollama_check_blob", {"digest": digest})
        sent = await client.call_tool("ollama_push_blob", {"data": encoded, "digest": digest})
        again = await client.call_tool("ollama_push_blob", {"data": encoded})
        after = await client.call_tool("ollama_check_blob", {"digest": digest})
        made = await client.call_tool("ollama_create_model", {"model": "tiny", "files": {"tiny.gguf": digest}})
        assert not made.is_error, made
        assert "tiny:latest" in await _names_of(client)
    assert (data(before)["present"], data(sent)["note"], data(after)["present"]) == (False, "uploaded", True)
    assert "nothing was sent" in text(again)


@pytest.mark.parametrize(
    "arguments",
    [{"data": "###"}, {"data": "né"}, {"data": "AAAA", "digest": "sha256:" + "0" * 64}],
)
async def test_a_blob_that_cannot_be_right_is_refused_before_it_is_sent(
    simulator: Simulator, arguments: dict[str, Any]
):
    async with connected(simulator.url, tools={"toolsets": ["blobs"]}) as client:
        error(await client.call_tool("ollama_push_blob", arguments), "invalid_argument")
    assert not simulator.requests


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha256:" + "A" * 64, "sha256:" + "0" * 63, "sha256-" + "0" * 64])
async def test_a_digest_that_is_none_never_becomes_a_path(simulator: Simulator, digest: str):
    async with connected(simulator.url, tools={"toolsets": ["default", "blobs"]}) as client:
        error(await client.call_tool("ollama_check_blob", {"digest": digest}), "invalid_argument")
        made = await client.call_tool("ollama_create_model", {"model": "x", "files": {"a.gguf": digest}})
        error(made, "invalid_argument")
    assert not simulator.requests


@pytest.mark.parametrize("name", ["../model.gguf", "/etc/x.gguf", "a/../../b", "C:\\x.gguf", ""])
async def test_file_names_of_create_stay_relative(simulator: Simulator, name: str):
    async with connected(simulator.url) as client:
        files = {name: "sha256:" + "0" * 64}
        error(await client.call_tool("ollama_create_model", {"model": "x", "files": files}), "invalid_argument")
    assert not simulator.requests


@pytest.mark.parametrize("arguments", [{}, {"from": MODEL, "files": {"a.gguf": "sha256:" + "0" * 64}}])
async def test_create_takes_exactly_one_source(simulator: Simulator, arguments: dict[str, Any]):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_create_model", {"model": "x", **arguments})
    assert "exactly one" in error(result, "invalid_argument")


@pytest.mark.parametrize("destination", ["llama3.2:3b", "LLAMA3.2:3B"])
async def test_a_copy_onto_itself_is_no_success(simulator: Simulator, destination: str):
    async with connected(simulator.url) as client:
        arguments = {"source": "llama3.2:3b", "destination": destination}
        said = error(await client.call_tool("ollama_copy_model", arguments), "invalid_argument")
    assert said.endswith("Give a new name.")
    assert not any(seen.path == "/api/copy" for seen in simulator.requests)
