"""Which model a call takes that names none."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from mcp import Client
from PIL import Image

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.library import find_library_model
from ollama_mcp.simulator.store import from_library
from ollama_mcp.work.choosing import Candidate, ModelHabits, ModelRequirements, Task, pick_model, rank_candidates
from tests.support import connected, data, error, served, text, texts

GB = 1_000_000_000
_file = io.BytesIO()
Image.new("RGB", (32, 32), "red").save(_file, "PNG")
PICTURE = base64.b64encode(_file.getvalue()).decode()


def a(name: str, gigabytes: float, *capabilities: str, **facts: bool) -> Candidate:
    """A model of that size on disk."""
    return Candidate(name, int(gigabytes * GB), capabilities or ("completion",), **facts)


SMALL, MIDDLE, LARGE, HUGE = a("small", 1), a("middle", 5), a("large", 16), a("huge", 40)
GIANT = a("giant", 200)
EYES = a("eyes", 3, "completion", "vision")
EMBED, EMBED_LARGE = a("embed", 0.3, "embedding"), a("embed-large", 0.7, "embedding")
JUDGE, JUDGE_WITH_EYES = a("judge", 1, "decision"), a("judge-with-eyes", 3, "decision", "vision")
PAINTER = a("painter", 6, "completion", "image")
CODER, TAGGED = a("coder", 1, "completion", "insert"), a("small:latest", 1)
CLOUD = a("big:cloud", 0, "completion", "vision", "embedding", is_cloud=True)


def on_gpu(model: Candidate) -> Candidate:
    return replace(model, on_gpu=True)


def loaded(model: Candidate) -> Candidate:
    return replace(model, is_loaded=True)


VISION = ModelRequirements("chat", frozenset({"vision"}))
GAP = ModelRequirements("generate", frozenset({"insert"}))
SEEN = ModelRequirements("decide", frozenset({"vision"}))
CASES: dict[str, tuple[Sequence[Candidate], ModelRequirements | Task, dict[str, Any], str]] = {
    "nothing is installed": ([], "chat", {}, ""),
    "the default wins over all": ([on_gpu(LARGE)], "chat", {"default": "mine", "recent": ["large"]}, "mine"),
    "the default is taken at its word": ([EMBED], "embed", {"default": "small"}, "small"),
    "what was used last wins over the order": ([SMALL, LARGE], "chat", {"recent": ["small"]}, "small"),
    "a name without its tag is the same model": ([TAGGED, LARGE], "chat", {"recent": ["small"]}, "small:latest"),
    "what was used and is gone is passed over": ([SMALL, LARGE], "chat", {"recent": ["gone", "small"]}, "small"),
    "what was used must have the capability": ([SMALL, EYES], VISION, {"recent": ["small"]}, "eyes"),
    "an older habit that can is taken": ([SMALL, EYES, LARGE], VISION, {"recent": ["large", "eyes"]}, "eyes"),
    "the cloud is no habit": ([SMALL, CLOUD], "chat", {"recent": ["big:cloud"]}, "small"),
    "known on the GPU wins over larger": ([SMALL, on_gpu(MIDDLE), LARGE], "chat", {}, "middle"),
    "the largest on the GPU": ([on_gpu(SMALL), on_gpu(MIDDLE)], "chat", {}, "middle"),
    "on the GPU no size is too large": ([SMALL, on_gpu(HUGE)], "chat", {}, "huge"),
    "else the largest up to 16 GB": ([SMALL, MIDDLE, LARGE, HUGE], "chat", {}, "large"),
    "else the smallest": ([GIANT, HUGE], "chat", {}, "huge"),
    "the setting says what is large": ([SMALL, MIDDLE], ModelRequirements("chat", largest_gb=2), {}, "small"),
    "loaded does not win over larger": ([loaded(SMALL), MIDDLE], "chat", {}, "middle"),
    "loaded breaks a tie": ([SMALL, loaded(a("twin", 1))], "chat", {}, "twin"),
    "then the name": ([a("b", 1), a("a", 1), a("c", 1)], "chat", {}, "a"),
    "images need vision": ([LARGE, EYES], VISION, {}, "eyes"),
    "a gap needs insert": ([LARGE, CODER], GAP, {}, "coder"),
    "never the cloud": ([CLOUD], "chat", {}, ""),
    "never an image, decision or embedding model for chat": ([PAINTER, JUDGE, EMBED], "chat", {}, ""),
    "nor to generate": ([PAINTER, JUDGE, EMBED], "generate", {}, ""),
    "a decision model that sees does not describe images": ([JUDGE_WITH_EYES, SMALL], VISION, {}, ""),
    "to embed, embedding models only": ([LARGE, EMBED, EMBED_LARGE], "embed", {}, "embed-large"),
    "to decide, decision models first": ([LARGE, JUDGE, on_gpu(MIDDLE)], "decide", {}, "judge"),
    "to decide about images, one that sees": ([JUDGE, EYES, JUDGE_WITH_EYES], SEEN, {}, "judge-with-eyes"),
    "to decide, else as chat": ([SMALL, MIDDLE, EMBED, PAINTER], "decide", {}, "middle"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rule(case: str):
    candidates, wanted, named, chosen = CASES[case]
    wanted = ModelRequirements(wanted) if isinstance(wanted, str) else wanted
    assert pick_model(candidates, wanted, **named) == chosen
    assert pick_model(list(reversed(candidates)), wanted, **named) == chosen


def test_the_order_is_that_of_being_taken():
    installed = [GIANT, EMBED, SMALL, HUGE, on_gpu(EYES), LARGE, CLOUD, JUDGE, MIDDLE]
    names = [model.name for model in rank_candidates(installed, ModelRequirements("chat"))]
    assert names == ["eyes", "large", "middle", "small", "huge", "giant"]
    left = list(installed)
    for name in names:
        assert pick_model(left, ModelRequirements("chat")) == name
        left = [model for model in left if model.name != name]


def test_habits_keep_the_last_few_names_of_each_task():
    habits = ModelHabits()
    for name in (*"abcdefghij", "C:latest"):
        habits.record("chat", name)
    assert habits.recent("chat") == ["C:latest", *"jihgfed"]
    assert not habits.recent("embed")


ASK = {"prompt": "Hi"}


def asked(simulator: Simulator) -> list[str]:
    """The models of the requests that run one, in order."""
    paths = ("/api/chat", "/api/generate", "/api/embed", "/api/embeddings")
    return [seen.json["model"] for seen in simulator.requests if seen.path in paths]


@pytest.mark.parametrize(
    ("tool", "arguments", "model"),
    [
        ("ollama_chat", {"prompt": "Hi"}, "gemma3:4b"),
        ("ollama_generate", {"prompt": "Hi"}, "gemma3:4b"),
        ("ollama_chat", {"prompt": "Hi", "think": True}, "qwen3:4b"),
        ("ollama_chat", {"prompt": "Hi", "tools": [{"name": "weather"}]}, "qwen3:4b"),
        ("ollama_chat", {"prompt": "Hi", "images": [PICTURE]}, "gemma3:4b"),
        ("ollama_embed", {"input": ["Hi"]}, "nomic-embed-text:latest"),
        ("ollama_embeddings", {"prompt": "Hi"}, "nomic-embed-text:latest"),
    ],
)
async def test_every_task_finds_its_model_and_says_which(
    simulator: Simulator, tool: str, arguments: dict[str, Any], model: str
):
    async with connected(simulator.url, tools={"toolsets": ["all"]}) as client:
        result = await client.call_tool(tool, arguments)
    assert not result.is_error, texts(result)
    assert asked(simulator) == [model]
    assert f"Chose {model} (" in "\n".join(texts(result)) and "name a model to use another." in texts(result)[-1]


async def test_a_named_model_needs_no_note_and_no_look_at_the_others(simulator: Simulator):
    async with connected(simulator.url) as client:
        text(await client.call_tool("ollama_chat", {**ASK, "model": "qwen3:4b"}))
    assert "/api/tags" not in [seen.path for seen in simulator.requests]


@pytest.mark.parametrize(
    ("defaults", "arguments", "model", "setting"),
    [
        ({"model": "qwen3:4b"}, {}, "qwen3:4b", "defaults.model"),
        ({"model": "qwen3:4b", "chat": "llama3.2:3b"}, {}, "llama3.2:3b", "defaults.chat"),
        ({"chat": "qwen3:4b", "vision": "gemma3:4b"}, {"images": [PICTURE]}, "gemma3:4b", "defaults.vision"),
        ({"chat": "qwen3:4b", "vision": "gemma3:4b"}, {}, "qwen3:4b", "defaults.chat"),
    ],
)
async def test_the_settings_come_first_and_cost_no_look_at_the_others(
    simulator: Simulator, defaults: dict[str, str], arguments: dict[str, Any], model: str, setting: str
):
    async with connected(simulator.url, defaults=defaults) as client:
        await client.call_tool("ollama_chat", {**ASK, "model": "llama3.2:3b"})
        result = await client.call_tool("ollama_chat", {**ASK, **arguments})
    assert asked(simulator)[-1] == model
    assert f"Model: {model} ({setting})." in texts(result)[-1].splitlines()
    # Fitting images looks for the digest of a model that is not loaded.
    assert arguments or "/api/tags" not in [seen.path for seen in simulator.requests]


async def test_a_session_stays_with_the_model_that_it_named_for_the_task(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", {**ASK, "model": "llama3.2:3b"})
        error(await client.call_tool("ollama_chat", {**ASK, "model": "lama9"}), "model_not_found")
        result = await client.call_tool("ollama_chat", ASK)
        with_image = await client.call_tool("ollama_chat", {**ASK, "images": [PICTURE]})
        await client.call_tool("ollama_generate", ASK)
    assert texts(result)[-1].endswith("Model: llama3.2:3b (as before).")
    assert "Chose gemma3:4b (the only one installed for this)" in texts(with_image)[-1]
    assert asked(simulator) == ["llama3.2:3b", "lama9", "llama3.2:3b", "gemma3:4b", "gemma3:4b"]


async def test_a_model_that_was_deleted_is_no_habit_any_more(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", {**ASK, "model": "llama3.2:3b"})
        for confirm in (False, True):
            await client.call_tool("ollama_delete_model", {"model": "llama3.2:3b", "confirm": confirm})
        await client.call_tool("ollama_chat", ASK)
    assert asked(simulator)[-1] == "gemma3:4b"


async def test_a_cloud_model_that_was_named_once_is_not_taken_again_unnamed(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", {**ASK, "model": "gpt-oss:20b-cloud"})
        await client.call_tool("ollama_chat", ASK)
    assert asked(simulator) == ["gpt-oss:20b-cloud", "gemma3:4b"]


async def test_what_is_seen_on_the_gpu_is_kept_and_goes_first(simulator: Simulator):
    simulator.gpu_bytes = 3 * GB
    server = OllamaServer(Settings.model_validate({"host": simulator.url, "store": {"path": ":memory:"}}))
    async with Client(server, mode="legacy") as client:
        for _ in range(2):
            await client.call_tool("ollama_chat", {**ASK, "model": "qwen3:4b"})
        await client.call_tool("ollama_unload_model", {"model": "qwen3:4b"})
        listed = data(await client.call_tool("ollama_list_models", {"capability": "completion"}))
        generated = await client.call_tool("ollama_generate", ASK)
    assert asked(simulator)[-1] == "qwen3:4b"
    assert "Chose qwen3:4b (largest that runs on the GPU here)" in texts(generated)[-1]
    assert [model["name"] for model in listed["models"]] == ["qwen3:4b", "gemma3:4b", "llama3.2:3b"]


async def test_a_host_without_a_gpu_says_nothing_against_its_models(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_load_model", {"model": "llama3.2:3b"})
        result = await client.call_tool("ollama_chat", ASK)
    assert "Chose gemma3:4b (largest up to 16 GB)" in texts(result)[-1]


@pytest.mark.parametrize(
    ("models", "tool", "arguments", "words"),
    [
        ([], "ollama_chat", ASK, ["none is installed", "ollama_pull_model(model='llama3.2:3b')", "defaults.chat"]),
        (["embed"], "ollama_chat", ASK, ["none of the 1 installed", "'completion'", "llama3.2:3b"]),
        (["chat"], "ollama_embed", {"input": ["x"]}, ["'embedding'", "nomic-embed-text", "defaults.embed"]),
        (["chat"], "ollama_chat", {**ASK, "images": [PICTURE]}, ["'vision'", "gemma3:4b", "defaults.vision"]),
        (["decision"], "ollama_generate", ASK, ["'completion'", "llama3.2:3b", "defaults.generate"]),
    ],
)
async def test_where_no_model_can_do_it_the_error_says_what_to_get(
    models: list[str], tool: str, arguments: dict[str, Any], words: list[str]
):
    async with Simulator("latest", models) as simulator, connected(simulator.url) as client:
        said = error(await client.call_tool(tool, arguments), "model_not_found")
    assert all(word in said for word in words), said
    assert not asked(simulator)


async def test_cloud_models_alone_are_not_chosen_and_the_error_says_so():
    async with Simulator(models=[]) as simulator, connected(simulator.url) as client:
        simulator.store.add(
            replace(from_library(find_library_model("gpt-oss:20b")), name=parse_name("gpt-oss:20b-cloud"))
        )
        said = error(await client.call_tool("ollama_chat", ASK), "model_not_found")
    assert "ollama.com are used only when named" in said
    assert not asked(simulator)


async def test_a_host_that_is_down_is_said_to_be_down(simulator: Simulator):
    await simulator.stop()
    async with connected(simulator.url) as client:
        error(await client.call_tool("ollama_chat", ASK), "unreachable")


async def test_many_calls_look_at_the_host_once(simulator: Simulator):
    async with connected(simulator.url) as client:
        await asyncio.gather(*(client.call_tool("ollama_chat", ASK) for _ in range(8)))
    paths = [seen.path for seen in simulator.requests]
    assert (paths.count("/api/chat"), paths.count("/api/tags")) == (8, 1)


@pytest.mark.parametrize("capability", ["completion", "vision", "embedding", "thinking"])
async def test_the_list_by_capability_begins_with_what_a_call_takes(capability: str):
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "completion": ("ollama_chat", ASK),
        "vision": ("ollama_chat", {**ASK, "images": [PICTURE]}),
        "embedding": ("ollama_embed", {"input": ["x"]}),
        "thinking": ("ollama_chat", {**ASK, "think": True}),
    }
    models = ["llama3.2:1b", "gemma3:4b", "llava:7b", "qwen3:0.6b", "qwen3:8b", "embed", "all-minilm", "clef"]
    async with Simulator("latest", models) as simulator, connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_list_models", {"capability": capability}))
        first = found["models"][0]["name"]
        assert not (await client.call_tool(*calls[capability])).is_error
    assert asked(simulator) == [first]
    assert f"A call without model uses {first} (" in found["note"]


async def test_the_list_begins_with_the_settings_own_model_and_the_last_one(simulator: Simulator):
    async with connected(simulator.url, defaults={"generate": "llama3.2:3b"}) as client:
        before = data(await client.call_tool("ollama_list_models", {"capability": "completion"}))
        await client.call_tool("ollama_chat", {**ASK, "model": "qwen3:4b"})
        after = data(await client.call_tool("ollama_list_models", {"capability": "completion"}))
    assert [model["name"] for model in before["models"]] == ["gemma3:4b", "qwen3:4b", "llama3.2:3b"]
    assert [model["name"] for model in after["models"]] == ["qwen3:4b", "gemma3:4b", "llama3.2:3b"]
    assert after["note"] == "Best first. A call without model uses qwen3:4b (as before)."


async def test_models_that_no_call_takes_unnamed_stand_last_in_the_list():
    async with Simulator("latest", ["clef", "gemma3:4b"]) as simulator, connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_list_models", {"capability": "vision"}))
        only = await client.call_tool("ollama_list_models", {"capability": "decision"})
        simulator.store.remove(simulator.store.models[parse_name("gemma3:4b").key])
        none = data(await client.call_tool("ollama_list_models", {"capability": "vision"}))
    assert [model["name"] for model in found["models"]] == ["gemma3:4b", "clef:latest"]
    assert "uses clef:latest (" in data(only)["note"]
    assert none["note"] == "Best first. A call without model uses none of them."


@pytest.mark.parametrize(("mode", "kept"), [("legacy", "llama3.2:3b"), ("2026-07-28", "gemma3:4b")])
async def test_two_sessions_do_not_share_habits_and_without_sessions_there_are_none(
    simulator: Simulator, mode: str, kept: str
):
    async with (
        served(simulator.url) as address,
        Client(address, mode=mode) as one,
        Client(address, mode=mode) as other,
    ):
        await one.call_tool("ollama_chat", {**ASK, "model": "llama3.2:3b"})
        await other.call_tool("ollama_chat", ASK)
        await one.call_tool("ollama_chat", ASK)
    assert asked(simulator) == ["llama3.2:3b", "gemma3:4b", kept]


async def test_only_a_model_that_answered_is_the_one_as_before(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", {**ASK, "model": "llama3.2:3b"})
        refused = await client.call_tool("ollama_chat", {**ASK, "model": "gemma3:4b", "think": True})
        assert refused.is_error
        result = await client.call_tool("ollama_chat", ASK)
        assert texts(result)[-1].endswith("Model: llama3.2:3b (as before).")
        await client.call_tool("ollama_chat", {**ASK, "model": "gemma3:4b"})
        result = await client.call_tool("ollama_chat", ASK)
    assert texts(result)[-1].endswith("Model: gemma3:4b (as before).")


async def test_of_several_names_of_one_model_the_one_before_is_taken_then_the_librarys():
    async with Simulator(models=("llama3.2:3b",)) as simulator:
        model = simulator.store.find("llama3.2:3b")
        assert model is not None
        twin = f"llamacpp:{model.weights.digest.removeprefix('sha256:')}"
        for name in ("a/copy", twin):
            simulator.store.add(model.renamed(parse_name(name)))
        async with connected(simulator.url) as client:
            first = await client.call_tool("ollama_chat", ASK)
            await client.call_tool("ollama_chat", {**ASK, "model": "a/copy"})
            second = await client.call_tool("ollama_chat", ASK)
            listed = await client.call_tool("ollama_list_models", {"capability": "completion"})
    assert "Chose llama3.2:3b" in texts(first)[-1]
    assert texts(second)[-1].endswith("Model: a/copy:latest (as before).")
    assert not any(twin in said for said in texts(listed))
