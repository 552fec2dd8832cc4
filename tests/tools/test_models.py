from typing import Any

import pytest

from ollama_mcp.simulator import Fault, Simulator
from tests.support import connected, data, error, text

MODEL = "llama3.2:3b"


async def test_the_list_is_a_table_with_what_an_agent_chooses_by(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_list_models", {})
    models = {model["name"]: model for model in data(result)["models"]}
    assert models["gemma3:4b"]["capabilities"] == ["completion", "vision"]
    assert models[MODEL]["context_length"] == 131072
    lines = text(result).splitlines()
    assert lines[0] == "name | parameters | quantization | size | context | capabilities | modified | digest"
    assert len(lines) == 1 + len(models)


@pytest.mark.parametrize(
    ("capability", "names"),
    [("vision", ["gemma3:4b"]), ("Embedding", ["nomic-embed-text:latest"]), ("thinking", ["qwen3:4b"])],
)
async def test_the_list_can_be_asked_by_capability(simulator: Simulator, capability: str, names: list[str]):
    async with connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_list_models", {"capability": capability}))
    assert [model["name"] for model in found["models"]] == names


async def test_a_capability_that_there_is_not_is_refused_with_those_that_there_are(simulator: Simulator):
    async with connected(simulator.url) as client:
        (listing,) = [tool for tool in (await client.list_tools()).tools if tool.name == "ollama_list_models"]
        refused = error(await client.call_tool("ollama_list_models", {"capability": "images"}), "invalid_argument")
        found = data(await client.call_tool("ollama_list_models", {"capability": " Vision"}))
        everything = data(await client.call_tool("ollama_list_models", {"capability": ""}))
    known = listing.input_schema["properties"]["capability"]["enum"]
    assert "vision" in known and all(repr(name) in refused for name in known)
    assert refused.startswith('[invalid_argument] capability is "images": it should be ')
    assert 0 < found["total"] < everything["total"]


async def test_digests_tell_whether_two_names_are_the_same_model(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": "copy"})
        listed = await client.call_tool("ollama_list_models", {})
        shown = await client.call_tool("ollama_show_model", {"model": "copy"})
    digests = {model["name"]: model["digest"] for model in data(listed)["models"]}
    original = simulator.store.find(MODEL)
    assert original is not None
    whole = original.digest
    assert digests[MODEL] == digests["copy:latest"] == data(shown)["digest"] == whole
    assert len(set(digests.values())) == len(digests) - 1
    rows = [line.split(" | ") for line in text(listed).splitlines()]
    assert {row[-1] for row in rows if row[0] in (MODEL, "copy:latest")} == {whole[:12]}
    assert f"digest: {whole[:12]}" in text(shown) and whole not in text(shown)


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "0.33.0", "latest"])
async def test_embedding_models_are_listed_with_their_lengths(version: str):
    async with Simulator(version=version) as old, connected(old.url) as client:
        result = await client.call_tool("ollama_list_models", {"capability": "embedding"})
    (model,) = data(result)["models"]
    assert (model["context_length"], model["embedding_length"]) == (2048, 768)
    assert "nomic-embed-text:latest 768" in text(result) and "refused by ollama_embed" in text(result)


async def test_a_capability_that_no_model_has_says_so(simulator: Simulator):
    async with connected(simulator.url) as client:
        words = text(await client.call_tool("ollama_list_models", {"capability": "audio"}))
    assert words == "None of the 4 installed models has the capability 'audio'."


async def test_an_empty_host_says_how_to_get_a_model():
    async with Simulator(models=()) as empty, connected(empty.url) as client:
        assert "ollama_pull_model" in text(await client.call_tool("ollama_list_models", {}))


async def test_a_long_list_is_cut_with_the_count(simulator: Simulator):
    async with connected(simulator.url, limits={"listed": 1}) as client:
        found = data(await client.call_tool("ollama_list_models", {}))
    assert (len(found["models"]), found["total"]) == (1, 4)
    assert found["note"].startswith("1 of 4 are shown")


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "0.33.0"])
async def test_capabilities_are_known_on_every_generation(version: str):
    async with Simulator(version=version) as old, connected(old.url) as client:
        found = data(await client.call_tool("ollama_list_models", {"capability": "embedding"}))
        tools = data(await client.call_tool("ollama_list_models", {"capability": "tools"}))
    assert [model["name"] for model in found["models"]] == ["nomic-embed-text:latest"]
    assert MODEL in [model["name"] for model in tools["models"]]


async def test_a_card_says_what_is_needed_to_decide_and_no_more(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_show_model", {"model": "qwen3:4b"})
    card = data(result)
    assert card["capabilities"] == ["completion", "tools", "thinking"]
    assert card["thinking_levels"] == ["false", "true"]
    assert card["context_length"] == 262144
    assert "included" not in card
    assert len(text(result)) < 1_600


PARTS = ["parameters", "template", "license", "system", "messages", "modelfile", "model_info", "tensors"]


async def test_parts_come_in_full_on_request(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_show_model", {"model": MODEL, "include": PARTS})
    included: dict[str, Any] = data(result)["included"]
    assert list(included) == PARTS
    assert "blobs" not in included["modelfile"] and f"FROM {MODEL}" in included["modelfile"]
    assert "tokenizer.ggml.tokens" not in included["model_info"]
    assert "verbose=true" in included["tensors"]
    assert "--- modelfile" in text(result)


async def test_a_models_messages_are_shown_as_a_conversation(simulator: Simulator):
    messages = [{"role": "user", "content": "Ahoy?"}, {"role": "assistant", "content": "Arr,\nthe 'gulls'."}]
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_create_model", {"model": "mine", "from": MODEL, "messages": messages})
        result = await client.call_tool("ollama_show_model", {"model": "mine", "include": ["messages"]})
    assert text(result).endswith("--- messages\n  user: Ahoy?\n  assistant: Arr,\n  the 'gulls'.")
    assert data(result)["included"]["messages"] == messages


async def test_token_tables_and_tensors_come_only_verbose(simulator: Simulator):
    arguments = {"model": MODEL, "include": ["model_info", "tensors"], "verbose": True}
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_show_model", arguments)
    assert isinstance(data(result)["included"]["tensors"], list)
    assert "--- tensors\n  output_norm.weight F32 [3072]\n" in text(result)
    assert simulator.requests[-1].json["verbose"] is True


async def test_loaded_models_show_memory_and_expiry(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert text(await client.call_tool("ollama_list_running", {})) == "No model is loaded."
        await client.call_tool("ollama_load_model", {"model": MODEL, "keep_alive": "10m"})
        await client.call_tool("ollama_load_model", {"model": "gemma3:4b", "keep_alive": -1})
        result = await client.call_tool("ollama_list_running", {})
    models = {model["name"]: model for model in data(result)["models"]}
    assert 590 <= models[MODEL]["expires_in_seconds"] <= 600
    assert "expires_in_seconds" not in models["gemma3:4b"]
    assert "| never" in text(result)
    assert 0 <= models[MODEL]["gpu_percent"] <= 100


async def test_models_are_loaded_whatever_they_are_for_and_unloaded(simulator: Simulator):
    async with connected(simulator.url) as client:
        loaded = await client.call_tool("ollama_load_model", {"model": MODEL, "options": {"num_ctx": 2048}})
        assert text(loaded).startswith(f"{MODEL} is loaded")
        await client.call_tool("ollama_load_model", {"model": "nomic-embed-text"})
        running = data(await client.call_tool("ollama_list_running", {}))["models"]
        assert {model["name"]: model.get("context_length") for model in running}[MODEL] == 2048
        one = await client.call_tool("ollama_unload_model", {"model": "nomic-embed-text"})
        assert text(one) == "Unloaded: nomic-embed-text."
        rest = await client.call_tool("ollama_unload_model", {"all": True})
        assert data(rest) == {"unloaded": [MODEL]}
        assert text(await client.call_tool("ollama_unload_model", {"all": True})) == "No model was unloaded."
        assert text(await client.call_tool("ollama_list_running", {})) == "No model is loaded."


@pytest.mark.parametrize("version", ["0.5.7", "latest"])
@pytest.mark.parametrize("model", [MODEL, "nomic-embed-text"])
async def test_unloading_what_is_not_loaded_says_so_and_loads_nothing(version: str, model: str):
    async with Simulator(version=version) as any_age, connected(any_age.url) as client:
        result = await client.call_tool("ollama_unload_model", {"model": model})
    assert data(result)["unloaded"] == []
    assert text(result) == f"No model was unloaded. {model} was not loaded."
    assert {seen.method for seen in any_age.requests} == {"GET"}


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7"])
async def test_an_embedding_model_is_unloaded_on_older_servers_too(version: str):
    async with Simulator(version=version, models=("embed",)) as old, connected(old.url) as client:
        await client.call_tool("ollama_load_model", {"model": "nomic-embed-text"})
        assert not (await client.call_tool("ollama_unload_model", {"model": "nomic-embed-text"})).is_error
        assert text(await client.call_tool("ollama_list_running", {})) == "No model is loaded."


@pytest.mark.parametrize("arguments", [{}, {"model": MODEL, "all": True}])
async def test_unload_takes_one_model_or_all(simulator: Simulator, arguments: dict[str, Any]):
    async with connected(simulator.url) as client:
        error(await client.call_tool("ollama_unload_model", arguments), "invalid_argument")


async def test_a_model_is_loaded_as_the_next_call_will_want_it(simulator: Simulator):
    defaults = {"options": {"num_ctx": 2048, "seed": 1}, "keep_alive": "1h"}
    async with connected(simulator.url, defaults=defaults) as client:
        for model in (MODEL, "nomic-embed-text"):
            await client.call_tool("ollama_load_model", {"model": model, "options": {"seed": 2, "truncate": True}})
            sent = simulator.requests[-1].json
            assert (sent["options"], sent["keep_alive"]) == ({"num_ctx": 2048, "seed": 2}, "1h")
        await client.call_tool("ollama_load_model", {"model": MODEL, "keep_alive": "-1"})
        assert simulator.requests[-1].json["keep_alive"] == -1


async def test_built_in_options_come_in_the_types_that_options_takes(simulator: Simulator):
    parameters = {"temperature": 0.1, "num_ctx": 512, "stop": ["a", "b"]}
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_create_model", {"model": "mine", "from": MODEL, "parameters": parameters})
        card = data(await client.call_tool("ollama_show_model", {"model": "mine"}))
    assert card["default_options"] == parameters


async def test_a_name_like_no_other_gets_no_closest(simulator: Simulator):
    async with connected(simulator.url) as client:
        words = error(await client.call_tool("ollama_show_model", {"model": "zzz"}), "model_not_found")
        assert "Closest" not in words
        near = error(await client.call_tool("ollama_show_model", {"model": "nomic-embed"}), "model_not_found")
    assert "Closest: 'nomic-embed-text:latest'" in near


@pytest.mark.parametrize("tool", ["ollama_show_model", "ollama_load_model", "ollama_unload_model"])
async def test_a_misspelt_name_gets_the_closest_and_a_way_to_download(simulator: Simulator, tool: str):
    async with connected(simulator.url) as client:
        words = error(await client.call_tool(tool, {"model": "lama3.2"}), "model_not_found")
    assert f"Closest: '{MODEL}'" in words
    assert "ollama_pull_model(model='lama3.2')" in words


async def test_one_card_that_cannot_be_had_does_not_sink_the_list(simulator: Simulator):
    simulator.faults.add(Fault("forbidden", path="/api/show", model="gemma3:4b"))
    async with connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_list_models", {}))["models"]
    assert {model["name"]: model.get("capabilities") for model in found}["gemma3:4b"] == ["completion", "vision"]


async def test_cards_are_asked_once_for_as_long_as_the_models_stay_the_same(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_list_models", {})
        await client.call_tool("ollama_list_models", {"capability": "tools"})
    assert len([seen for seen in simulator.requests if seen.path == "/api/show"]) == 4


async def test_a_model_deleted_while_loaded_does_not_keep_the_others_in_memory(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_load_model", {"model": MODEL})
        await client.call_tool("ollama_load_model", {"model": "gemma3:4b"})
        await client.call_tool("ollama_delete_model", {"model": MODEL})
        await client.call_tool("ollama_delete_model", {"model": MODEL, "confirm": True})
        result = await client.call_tool("ollama_unload_model", {"all": True})
    assert data(result)["unloaded"] == ["gemma3:4b"]
    assert MODEL in data(result)["note"]


async def test_loading_for_no_time_at_all_is_refused(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = error(
            await client.call_tool("ollama_load_model", {"model": MODEL, "keep_alive": "0"}), "invalid_argument"
        )
    assert "ollama_unload_model" in said
