import itertools

import pytest

from ollama_mcp.simulator import Fault, Simulator
from tests.support import connected, data, error, text

MODEL = "nomic-embed-text"
TEXTS = ["The cat sleeps on the sofa.", "The cat sleeps on a sofa.", "Stocks fell sharply."]


async def test_the_agent_gets_similarities_nearest_first_and_no_vectors(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_embed", {"model": MODEL, "input": TEXTS})
    found = data(result)
    assert (found["count"], found["dimensions"]) == (3, 768)
    assert next((pair["a"], pair["b"]) for pair in found["similarities"]) == (0, 1)
    assert "vectors" not in found
    assert "0 | 1 | " in text(result)


async def test_vectors_come_on_request(simulator: Simulator):
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "input": "one text", "vectors": True, "dimensions": 64}
        found = data(await client.call_tool("ollama_embed", arguments))
    assert [len(vector) for vector in found["vectors"]] == [64]
    assert "similarities" not in found


@pytest.mark.parametrize("dimensions", [769, 768, 64])
async def test_more_dimensions_than_the_model_has_are_said_to_change_nothing(simulator: Simulator, dimensions: int):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_embed", {"model": MODEL, "input": TEXTS, "dimensions": dimensions})
    assert data(result)["dimensions"] == min(dimensions, 768)
    assert ("has no more than 768 dimensions, so dimensions=769" in text(result)) is (dimensions == 769)


async def test_many_texts_go_in_chunks_and_keep_their_order(simulator: Simulator):
    texts = [f"text number {n}" for n in range(150)]
    async with connected(simulator.url) as client:
        whole = data(await client.call_tool("ollama_embed", {"model": MODEL, "input": texts, "vectors": True}))
        single = data(await client.call_tool("ollama_embed", {"model": MODEL, "input": [texts[149]], "vectors": True}))
    sizes = [len(seen.json["input"]) for seen in simulator.requests if seen.path == "/api/embed"]
    assert sizes == [64, 64, 22, 1]
    assert whole["vectors"][149] == pytest.approx(single["vectors"][0])


async def test_progress_counts_the_texts(simulator: Simulator):
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with connected(simulator.url, limits={"embed_chunk": 1}) as client:
        await client.call_tool("ollama_embed", {"model": MODEL, "input": TEXTS}, progress_callback=note)
    assert seen and all(later[0] > earlier[0] for earlier, later in itertools.pairwise(seen))


async def test_only_so_many_texts_are_compared_and_it_says_so(simulator: Simulator):
    texts = [f"text {n}" for n in range(120)]
    async with connected(simulator.url) as client:
        found = data(await client.call_tool("ollama_embed", {"model": MODEL, "input": texts}))
    assert len(found["similarities"]) == 50
    assert "first 100 texts" in found["note"] and "4950 pairs" in found["note"]


async def test_a_model_that_cannot_embed_names_those_that_can(simulator: Simulator):
    async with connected(simulator.url) as client:
        words = error(await client.call_tool("ollama_embed", {"model": "llama3.2:3b", "input": ["a"]}), "unsupported")
    assert "nomic-embed-text" in words


async def test_too_many_texts_name_the_limit(simulator: Simulator):
    async with connected(simulator.url, limits={"embed_inputs": 2}) as client:
        words = error(await client.call_tool("ollama_embed", {"model": MODEL, "input": TEXTS}), "invalid_argument")
    assert "input has 3 items, at most 2" in words and "limits.embed_inputs" in words


async def test_options_and_truncate_go_where_the_api_wants_them(simulator: Simulator):
    async with connected(simulator.url) as client:
        options = {"num_ctx": 1024, "truncate": True}
        await client.call_tool("ollama_embed", {"model": MODEL, "input": ["a"], "options": options, "keep_alive": "1m"})
    sent = simulator.requests[-1].json
    assert (sent["options"], sent["truncate"], sent["keep_alive"]) == ({"num_ctx": 1024}, True, "1m")


async def test_a_text_that_is_too_long_is_cut_only_on_request(simulator: Simulator):
    arguments = {"model": MODEL, "input": ["word " * 20_000, "b"]}
    async with connected(simulator.url) as client:
        said = error(await client.call_tool("ollama_embed", arguments), "too_long")
        cut = await client.call_tool("ollama_embed", {**arguments, "options": {"truncate": True}})
    assert "context length" in said
    assert data(cut)["count"] == 2


@pytest.mark.parametrize("arguments", [{"input": []}, {}])
async def test_nothing_to_embed_is_refused(simulator: Simulator, arguments: dict[str, list[str]]):
    async with connected(simulator.url) as client:
        error(await client.call_tool("ollama_embed", {"model": MODEL, **arguments}), "invalid_argument")


async def test_a_server_without_embed_is_served_by_its_older_endpoint():
    async with Simulator(version="0.1.44", models=("embed",)) as old, connected(old.url) as client:
        name = (await client.call_tool("ollama_list_models", {})).structured_content
        assert name is not None
        found = data(await client.call_tool("ollama_embed", {"model": name["models"][0]["name"], "input": TEXTS}))
    assert found["count"] == 3
    assert [seen.path for seen in old.requests].count("/api/embeddings") == 3


async def test_the_legacy_tool_gives_the_raw_vector(simulator: Simulator):
    async with connected(simulator.url, tools={"toolsets": ["legacy"]}) as client:
        result = await client.call_tool("ollama_embeddings", {"model": MODEL, "prompt": "a cat"})
    assert len(data(result)["embedding"]) == 768
    assert len(text(result).split()) == 768
    assert simulator.requests[-1].path == "/api/embeddings"


NAN = "json: unsupported value: NaN"


def unusable(status: int = 500, text: str = NAN) -> Fault:
    """The fault of a model that computes no number for one text, and so fails the whole request."""
    return Fault("status", path="/api/embed", contains="a curse", status=status, text=text)


@pytest.mark.parametrize(("status", "said"), [(500, NAN), (400, "embedding contains NaN or Inf values")])
async def test_a_text_without_a_usable_vector_is_left_out_by_its_number(simulator: Simulator, status: int, said: str):
    simulator.faults.add(unusable(status, said))
    arguments = {"model": MODEL, "input": [TEXTS[0], "a curse", TEXTS[1], TEXTS[2]]}
    async with connected(simulator.url) as client:
        compared = await client.call_tool("ollama_embed", arguments)
        raw = data(await client.call_tool("ollama_embed", {**arguments, "vectors": True}))
    found = data(compared)
    assert (found["count"], found["dimensions"], found["left_out"]) == (3, 768, [1])
    assert (found["similarities"][0]["a"], found["similarities"][0]["b"]) == (0, 2)
    assert {pair[side] for pair in found["similarities"] for side in ("a", "b")} == {0, 2, 3}
    assert "Left out: input[1]." in text(compared) and "NaN" in text(compared)
    assert [len(vector) for vector in raw["vectors"]] == [768, 0, 768, 768]


async def test_a_model_without_a_vector_for_any_text_is_an_error(simulator: Simulator):
    simulator.faults.add(Fault("status", path="/api/embed", text=NAN))
    async with connected(simulator.url) as client:
        words = error(await client.call_tool("ollama_embed", {"model": MODEL, "input": TEXTS}), "bad_answer")
    assert "computed no usable vector" in words and "another embedding model" in words


async def test_any_other_failure_is_not_asked_for_text_by_text(simulator: Simulator):
    simulator.faults.add(Fault("status", path="/api/embed", text="llama runner process has terminated"))
    async with connected(simulator.url) as client:
        error(await client.call_tool("ollama_embed", {"model": MODEL, "input": TEXTS}), "server_error")
    assert [seen.path for seen in simulator.requests].count("/api/embed") == 1


async def test_texts_that_are_too_long_are_named(simulator: Simulator):
    long = "word " * 20_000
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "input": ["a", long, "b", "c", long + "end"]}
        words = error(await client.call_tool("ollama_embed", arguments), "too_long")
    assert "input[1], input[4]: " in words and "input[0]" not in words
    assert "options.truncate=true" in words


@pytest.mark.parametrize(("num_ctx", "helps"), [(None, False), (512, True), (100_000, False)])
async def test_a_larger_context_is_advised_only_where_the_model_has_it(
    simulator: Simulator, num_ctx: int | None, helps: bool
):
    options = {"num_ctx": num_ctx} if num_ctx else {}
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "input": ["word " * 20_000], "options": options}
        words = error(await client.call_tool("ollama_embed", arguments), "too_long")
    assert ("raise options.num_ctx" in words) is helps
    assert "2,048 tokens" in words
