"""What an agent that knows the tools by their texts alone tries first, and what puts it right."""

from __future__ import annotations

from pathlib import Path

from ollama_mcp.simulator import Answer, Simulator
from tests.support import connected, data, error, texts
from tests.work.batch.batching import EMBEDDER, MODEL, batching
from tests.work.decide.helpers import URGENT

OUT = {"output": "out.jsonl"}
# About 30,000 tokens as estimated; the simulator counts one for four bytes, 17,000.
DIGITS = "2026-05-01T10:00:00 worker-3 handled request 4711 in 93 ms status 200\n" * 980


async def test_questions_of_a_batch_show_the_member_that_they_need(simulator: Simulator):
    async with connected(simulator.url) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    questions = tools["ollama_batch"].input_schema["properties"]["questions"]
    assert questions["items"]["properties"] == {"question": {"type": "string"}}


async def test_a_question_that_is_a_string_is_told_to_be_an_object(simulator: Simulator):
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_decide", {"texts": ["x"], "questions": ["Is it urgent?"]})
    assert error(result, "invalid_argument").endswith(
        'questions[0] is "Is it urgent?": it should be an object. '
        "Each with labels ('label: meaning'), levels (low first) or neither (yes/no)."
    )


async def test_one_word_as_the_input_of_a_batch_is_told_what_is_taken(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        result = await bench.batch(["notes"], **OUT)
    assert "neither a file, a folder nor a glob" in error(result, "invalid_argument")


async def test_a_column_in_doubled_braces_alone_is_refused_before_any_row_is_asked(
    simulator: Simulator, tmp_path: Path
):
    async with batching(simulator, tmp_path) as bench:
        path = bench.write("in.csv", "id,body\n1,first\n2,second\n")
        result = await bench.batch([path], prompt="Sum up {{ body }}", **OUT)
        assert bench.prompts() == []
    assert error(result, "invalid_argument").endswith(
        "prompt has no placeholder for the input; '{{ body }}' is text in braces here. Write {body} for the column."
    )


async def test_a_trial_without_a_file_is_told_to_go_on_with_one(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        report = await bench.report(["one", "two"], limit=1)
    assert report["notes"][0].endswith("The same call without limit continues from there, with output.")


async def test_an_array_of_vectors_comes_with_its_shape_and_its_order(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        report = await bench.report(["one", "two"], embed=True, model=EMBEDDER, output="out.npy")
    assert "Its array is 2 x 768, in the order of the input; files by their paths." in report["notes"]


async def test_a_batch_tells_that_a_model_did_not_keep_to_its_letters(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, work={"parallel": 1}) as bench:
        for _ in range(2):
            simulator.script(MODEL, Answer(text="Well"), Answer(text='{"urgent": "no"}'))
        report = await bench.report(["one", "two"], questions=[URGENT], **OUT)
    assert f"{MODEL} answered without an option's letter 2 times" in " ".join(report["notes"])


async def test_answers_that_all_came_by_word_are_not_headed_as_probabilities(simulator: Simulator):
    simulator.script(MODEL, Answer(text="Well"), Answer(text='{"urgent": "no"}'))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_decide", {"texts": ["x"], "questions": [URGENT], "model": MODEL})
    assert data(result)["way"] == "schema"
    assert texts(result)[0].startswith(f"Decided by {MODEL} (no probabilities).")


async def test_a_prompt_that_was_read_whole_is_not_said_to_be_cut(simulator: Simulator):
    async with connected(simulator.url) as client:
        arguments = {"model": MODEL, "prompt": DIGITS, "options": {"num_predict": 20}}
        result = await client.call_tool("ollama_chat", arguments)
    assert not result.is_error
    assert "cut the prompt" not in " ".join(texts(result))


async def test_what_does_not_fit_even_in_pieces_is_not_sent_back_to_be_split(simulator: Simulator):
    async with connected(simulator.url, limits={"num_ctx": 512}) as client:
        tall = {"prompt": "x " * 6_000, "system": "y " * 6_000, "too_long": "split"}
        result = await client.call_tool("ollama_chat", tall)
    assert "too_long='split'" not in error(result, "too_long")


async def test_a_pattern_among_images_is_sent_to_files(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        bench.write("a.png", b"x")
        arguments = {"prompt": "What is it?", "images": [str(bench.folder / "*.png")]}
        result = await bench.client.call_tool("ollama_chat", arguments)
    assert "Patterns are accepted in files only." in error(result, "invalid_argument")


async def test_an_argument_that_is_off_is_told_to_be_left_out(simulator: Simulator):
    async with connected(simulator.url, read_only=True) as client:
        arguments = {"models": ["a", "b"], "prompt": "Hi", "output": "out.jsonl"}
        result = await client.call_tool("ollama_compare", arguments)
    assert "output is off in the settings. Leave it out. " in error(result, "invalid_argument")


async def test_a_model_that_cannot_chat_stops_a_batch_instead_of_failing_each_row(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path) as bench:
        result = await bench.batch([f"text {n}" for n in range(200)], model=EMBEDDER, **OUT)
        asked = len(bench.prompts())
        assert not (bench.folder / "out.jsonl").exists()
    assert "does not support chat" in error(result, "unsupported")
    assert asked < 20
