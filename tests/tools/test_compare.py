"""ollama_compare through a real client: models one after another, each with its answers, figures and faults."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Fault, Latency, Simulator
from tests.support import connected, data, error, text, until

LLAMA, QWEN, GEMMA = "llama3.2:3b", "qwen3:4b", "gemma3:4b"
EMBED = "nomic-embed-text"
PNG = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg=="
)


async def _compare(simulator: Simulator, settings: dict[str, Any] | None = None, **arguments: Any) -> Any:
    async with connected(simulator.url, **(settings or {})) as client:
        return await client.call_tool("ollama_compare", arguments)


def _asked(simulator: Simulator) -> list[tuple[str, str]]:
    """Model and last message of each chat so far."""
    bodies = [json.loads(seen.body) for seen in simulator.requests if seen.path == "/api/chat"]
    return [(body["model"], body["messages"][-1]["content"]) for body in bodies]


def _row(result: Any, model: str) -> dict[str, Any]:
    (row,) = (row for row in data(result)["models"] if row["model"] == model)
    return row


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with three prompts, in a project that the server works in."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "prompts.txt"
    file.write_text("one?\n\n  two?\nthree?\n")
    return file


async def test_each_model_answers_and_is_measured(simulator: Simulator):
    simulator.gpu_bytes = 10**12
    simulator.script(LLAMA, Answer("Blue light scatters."))
    simulator.script(GEMMA, Answer("Because of the air."))
    result = await _compare(simulator, models=[LLAMA, GEMMA], prompt="Why is the sky blue?", system="Be short.")
    first, second = data(result)["models"]
    assert (first["model"], second["model"]) == (LLAMA, GEMMA)
    for row in (first, second):
        assert row["answered"] == 1
        assert row["load_seconds"] >= 0 and row["first_token_seconds"] >= 0 and row["tokens_per_second"] > 0
        assert row["memory_bytes"] > 10**9 and row["gpu_percent"] == 100
    assert first["answers"] == [{"prompt": 1, "text": "Blue light scatters."}]
    words = text(result)
    assert words.startswith("model | load s | first token s | tokens/s | tokens | memory | GPU")
    assert f"## {GEMMA}\n  Because of the air." in words
    bodies = [seen.json for seen in simulator.requests if seen.path == "/api/chat"]
    assert [body["messages"][0] for body in bodies] == [{"role": "system", "content": "Be short."}] * 2


async def test_the_time_to_the_first_token_is_told_apart_from_loading():
    async with Simulator(version="latest", latency=Latency(load=0.5)) as simulator:
        result = await _compare(simulator, models=[LLAMA, GEMMA], prompt="Hi")
    row = _row(result, GEMMA)
    assert row["load_seconds"] >= 0.5
    assert row["first_token_seconds"] < row["load_seconds"]


async def test_a_model_that_was_loaded_before_is_said_to_have_been(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_load_model", {"model": GEMMA})
        result = await client.call_tool("ollama_compare", {"models": [LLAMA, GEMMA], "prompt": "Hi"})
    assert _row(result, GEMMA)["notes"] == [f"{GEMMA} was already loaded."]
    assert "notes" not in _row(result, LLAMA)


async def test_one_model_has_answered_all_prompts_before_the_next_is_asked(simulator: Simulator, prompts: Path):
    result = await _compare(simulator, models=[GEMMA, LLAMA], prompts_file=str(prompts))
    assert _asked(simulator) == [(model, word) for model in (GEMMA, LLAMA) for word in ("one?", "two?", "three?")]
    assert _row(result, LLAMA)["answered"] == 3
    assert f"{GEMMA} | 3 of 3 | " in text(result) and f"## {LLAMA}, prompt 2\n" in text(result)


async def test_models_that_fail_are_rows_with_their_error_and_sink_no_other(simulator: Simulator):
    simulator.faults.add(Fault("status", path="/api/chat", model=QWEN, text="model requires more system memory"))
    result = await _compare(simulator, models=["absent", EMBED, QWEN, LLAMA], prompt="Hi")
    assert _row(result, "absent")["error"].startswith("[model_not_found] ")
    assert _row(result, EMBED)["error"].startswith("[unsupported] ")
    assert "more system memory" in _row(result, QWEN)["error"]
    assert _row(result, LLAMA)["answered"] == 1
    assert text(result).count("[unsupported]") == 1


async def test_a_model_without_eyes_fails_where_there_are_images_and_the_others_see(simulator: Simulator):
    result = await _compare(simulator, models=[LLAMA, GEMMA], prompt="What is it?", images=[PNG])
    assert "cannot see images" in _row(result, LLAMA)["error"]
    assert _row(result, GEMMA)["answered"] == 1
    (sent,) = [seen.json for seen in simulator.requests if seen.path == "/api/chat"]
    assert len(sent["messages"][-1]["images"]) == 1


async def test_a_failing_model_is_not_asked_the_other_prompts(simulator: Simulator, prompts: Path):
    result = await _compare(simulator, models=["absent", LLAMA], prompts_file=str(prompts))
    assert [seen.path for seen in simulator.requests if b"absent" in seen.body] == ["/api/show"]
    assert "answers" not in _row(result, "absent")


async def test_an_answer_that_breaks_off_is_shown_with_why_and_the_next_prompt_is_asked(
    simulator: Simulator, prompts: Path
):
    simulator.script(LLAMA, Answer("so far", error="CUDA error"), Answer("second", no_done=True), Answer("third"))
    row = _row(await _compare(simulator, models=[LLAMA, GEMMA], prompts_file=str(prompts)), LLAMA)
    assert row["answered"] == 1
    assert [answer["text"] for answer in row["answers"]] == ["so far", "second", "third"]
    assert "CUDA error" in row["error"] and row["answers"][1]["error"].startswith("[interrupted] ")


async def test_an_empty_answer_is_one_prompts_failure_and_the_next_is_asked(simulator: Simulator, prompts: Path):
    simulator.script(LLAMA, Answer("first"), Answer("", thinking="hm"), Answer("third"))
    row = _row(await _compare(simulator, models=[LLAMA, GEMMA], prompts_file=str(prompts)), LLAMA)
    assert row["answered"] == 2 and row["error"].startswith("[no_answer] ")
    assert [answer["prompt"] for answer in row["answers"]] == [1, 2, 3]
    assert row["answers"][1]["text"] == "hm"


async def test_where_all_fail_the_call_fails_and_leads_on(simulator: Simulator):
    words = error(await _compare(simulator, models=["llama3", EMBED], prompt="Hi"), "model_not_found")
    assert "None of the 2 models answered" in words
    assert f"{EMBED}: unsupported" in words and f"Closest: '{LLAMA}'" in words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"models": [], "prompt": "Hi"}, "ollama_list_models"),
        ({"models": [LLAMA], "prompt": "Hi"}, "models names 1, but 2 to 20"),
        ({"models": [f"m{n}" for n in range(21)], "prompt": "Hi"}, "models names 21,"),
        ({"models": ["mistral", "Mistral:latest"], "prompt": "Hi"}, "twice"),
        ({"models": [LLAMA, "../x"], "prompt": "Hi"}, "'../x'"),
        ({"models": [LLAMA, GEMMA]}, "exactly one of prompt and prompts_file"),
        ({"models": [LLAMA, GEMMA], "prompt": " "}, "exactly one of prompt and prompts_file"),
        ({"models": [LLAMA, GEMMA], "prompt": "Hi", "prompts_file": "x.txt"}, "exactly one of prompt and prompts_file"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_asked(
    simulator: Simulator, arguments: dict[str, Any], said: str
):
    assert said in error(await _compare(simulator, **arguments), "invalid_argument")
    assert not simulator.requests


async def test_a_model_kept_from_the_gpu_by_one_that_stayed_says_so(simulator: Simulator):
    simulator.gpu_bytes = 2_500_000_000
    result = await _compare(simulator, models=[LLAMA, GEMMA], prompt="Hi")
    (note,) = _row(result, GEMMA)["notes"]
    assert _row(result, GEMMA)["gpu_percent"] < 100
    assert f"while {LLAMA} stayed loaded" in note and "ollama_unload_model" in note
    assert "notes" not in _row(result, LLAMA)


async def test_on_a_host_without_a_gpu_nothing_is_said_to_lack_one(simulator: Simulator):
    result = await _compare(simulator, models=[LLAMA, GEMMA], prompt="Hi")
    assert _row(result, GEMMA)["gpu_percent"] == 0 and "notes" not in _row(result, GEMMA)


async def test_a_model_that_is_let_go_at_once_has_no_memory_to_tell(simulator: Simulator):
    result = await _compare(simulator, {"defaults": {"keep_alive": 0}}, models=[LLAMA, GEMMA], prompt="Hi")
    row = _row(result, GEMMA)
    assert row["answered"] == 1 and "memory_bytes" not in row and "gpu_percent" not in row


async def test_what_is_true_of_all_is_said_once_and_what_is_true_of_one_answer_with_its_number(
    simulator: Simulator, prompts: Path
):
    simulator.script(LLAMA, Answer("a"), Answer("b", done_reason="length"), Answer("c"))
    several = await _compare(simulator, models=[LLAMA, GEMMA], prompts_file=str(prompts))
    (note,) = _row(several, LLAMA)["notes"]
    assert note.startswith("Prompt 2: Cut")
    for model in (LLAMA, GEMMA):
        simulator.script(model, Answer("word " * 3, done_reason="length"))
    options = {"num_predict": 3, "seed": 1}
    both = await _compare(simulator, {"defaults": {"options": options}}, models=[LLAMA, GEMMA], prompt="Hi")
    assert any("num_predict=3" in note for note in data(both)["notes"])
    assert text(both).count("num_predict=3") == 1
    (*_, last) = [seen for seen in simulator.requests if seen.path == "/api/chat"]
    assert last.json["options"] == options


async def test_long_answers_are_cut_and_the_way_to_all_of_them_is_named(simulator: Simulator):
    simulator.script(LLAMA, Answer("x" * 5_000))
    result = await _compare(simulator, models=[LLAMA, GEMMA], prompt="Hi")
    (answer,) = _row(result, LLAMA)["answers"]
    assert len(answer["text"]) == 3_001 and answer["text"].endswith("x…")
    assert data(result)["notes"] == ["Long answers end in '…'.", "Set output for a file with all answers in full."]


async def test_of_many_prompts_the_answers_to_the_first_are_shown(simulator: Simulator, prompts: Path):
    await asyncio.to_thread(prompts.write_text, "\n".join(f"question {n}" for n in range(50)), encoding="utf-8")
    result = await _compare(simulator, models=[LLAMA, GEMMA], prompts_file=str(prompts))
    assert [answer["prompt"] for answer in _row(result, LLAMA)["answers"]] == list(range(1, 21))
    assert _row(result, LLAMA)["answered"] == 50
    assert "Only the answers to the first 20 of 50 prompts are shown." in text(result)
    assert len(text(result)) < 20_000


async def test_prompts_of_a_file_do_not_go_to_the_cloud_unless_allowed(simulator: Simulator, prompts: Path):
    cloud = "gpt-oss:120b-cloud"
    result = await _compare(simulator, models=[LLAMA, cloud], prompts_file=str(prompts))
    assert "policy.cloud_files" in _row(result, cloud)["error"]
    assert {model for model, _ in _asked(simulator)} == {LLAMA}


async def test_a_cloud_model_that_is_named_takes_part_without_memory():
    async with Simulator(version="latest") as simulator:
        result = await _compare(simulator, models=[LLAMA, "gpt-oss:120b-cloud"], prompt="Hi")
    row = _row(result, "gpt-oss:120b-cloud")
    assert row["answered"] == 1 and "memory_bytes" not in row


async def test_comparing_does_not_choose_the_model_of_the_next_call(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", {"model": LLAMA, "prompt": "Hi"})
        await client.call_tool("ollama_compare", {"models": [LLAMA, GEMMA], "prompt": "Hi"})
        await client.call_tool("ollama_chat", {"prompt": "Hi"})
    assert _asked(simulator)[-1][0] == LLAMA


async def test_progress_counts_the_answers_and_names_the_model(simulator: Simulator):
    seen: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    simulator.script(GEMMA, Answer("words", hold="go"))
    async with connected(simulator.url) as client:
        arguments = {"models": [LLAMA, GEMMA], "prompt": "Hi"}
        call = asyncio.create_task(client.call_tool("ollama_compare", arguments, progress_callback=note))
        waiting = f"waiting for {GEMMA}, prompt 1 of 1"
        await until(lambda: any(waiting in (message or "") and total for _, total, message in seen))
        simulator.release("go")
        await call
    assert any("comparing 2 models" in (message or "") for _, _, message in seen)
    assert all(later[0] > earlier[0] for earlier, later in itertools.pairwise(seen))


async def test_it_can_go_on_as_a_job(simulator: Simulator):
    simulator.script(LLAMA, Answer("words", hold="go"))
    async with connected(simulator.url) as client:
        arguments = {"models": [LLAMA, GEMMA], "prompt": "Hi", "background": True}
        job = data(await client.call_tool("ollama_compare", arguments))["job"]
        simulator.release("go")
        result = await client.call_tool("ollama_job", {"action": "result", "id": job})
    assert [row["answered"] for row in data(result)["models"]] == [1, 1]


async def test_cancelling_ends_the_request_to_ollama_and_asks_no_further_model(simulator: Simulator):
    simulator.script(LLAMA, Answer("words", hold=asyncio.Event()))
    async with connected(simulator.url) as client:
        call = asyncio.create_task(client.call_tool("ollama_compare", {"models": [LLAMA, GEMMA], "prompt": "Hi"}))
        await until(lambda: any(seen.path == "/api/chat" for seen in simulator.in_flight))
        call.cancel()
        await until(lambda: not simulator.in_flight)
    assert [model for model, _ in _asked(simulator)] == [LLAMA]


async def test_read_only_servers_compare_and_write_nothing(simulator: Simulator, prompts: Path):
    async with connected(simulator.url, read_only=True) as client:
        arguments = {"models": [LLAMA, GEMMA], "prompt": "Hi"}
        result = await client.call_tool("ollama_compare", arguments)
        refused = await client.call_tool("ollama_compare", {**arguments, "output": "x.json"})
    assert data(result)["models"][0]["answered"] == 1
    assert "turn read_only off" in error(refused, "invalid_argument")


def _limits(simulator: Simulator) -> dict[str, int | None]:
    """The num_predict of each model's last chat."""
    bodies = [json.loads(seen.body) for seen in simulator.requests if seen.path == "/api/chat"]
    return {body["model"]: body.get("options", {}).get("num_predict") for body in bodies}


async def test_an_answer_that_is_only_shown_has_a_limit_of_tokens(simulator: Simulator, tmp_path: Path):
    models = [LLAMA, QWEN]
    long = " ".join(f"word{number}" for number in range(1_100))
    simulator.script(LLAMA, Answer(text=long, done_reason="length", tokens=1_024))
    result = await _compare(simulator, models=models, prompt="Hi")
    assert _limits(simulator) == {LLAMA: 1_024, QWEN: 1_024 + 2_048}
    assert "Cut after about 1,024 tokens; output takes whole answers." in _row(result, LLAMA)["notes"]
    settings: dict[str, Any] = {"write": {"folders": [str(tmp_path)]}}
    await _compare(simulator, settings, models=models, prompt="Hi", output=str(tmp_path / "all.md"))
    assert _limits(simulator) == {LLAMA: None, QWEN: None}
    await _compare(simulator, {"defaults": {"options": {"num_predict": 50}}}, models=[LLAMA, GEMMA], prompt="Hi")
    assert _limits(simulator)[LLAMA] == 50
