"""A whole result stays within one budget of bytes, the essential first, and ollama_job gives what did not fit."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, Implementation, TextContent, TextResourceContents

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Answer, Simulator
from tests.jobs.support import CHAT, JOB, MODEL, handed_over
from tests.support import connected, data, error, served, texts

THINKER = "qwen3:4b"
WORDS = {
    "latin": "word " * 20_000,
    "cyrillic": "слово " * 20_000,
    "cjk": "漢字" * 20_000,
    "escapes": '"\n\\\x01' * 20_000,
}


@asynccontextmanager
async def known_as(name: str, url: str, **settings: Any) -> AsyncGenerator[Client]:
    """A client of that name."""
    chosen = Settings.model_validate({"host": url, "store": {"path": ":memory:"}, **settings})
    async with Client(
        OllamaServer(chosen), mode="legacy", client_info=Implementation(name=name, version="1")
    ) as client:
        yield client


def wire_bytes(result: CallToolResult) -> int:
    """How large the result was on the wire."""
    return len(result.model_dump_json(by_alias=True, exclude_none=True).encode())


def raw(result: CallToolResult) -> list[str]:
    """The text blocks as they came."""
    return [block.text for block in result.content if isinstance(block, TextContent)]


def next_call(note: str) -> dict[str, Any]:
    """The call that a note names."""
    found = re.search(r"ollama_job\(action='result', id='([^']+)', offset=(\d+)\)", note)
    assert found, note
    return {"action": "result", "id": found[1], "offset": int(found[2])}


async def read_on(client: Client, note: str, limit: int) -> str:
    """All that follows, by the calls that each piece names."""
    pieces: list[str] = []
    while "offset=" in note:
        result = await client.call_tool(JOB, next_call(note))
        assert not result.is_error and wire_bytes(result) <= limit
        note, piece = raw(result)
        pieces.append(piece)
    return "".join(pieces)


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize(
    ("client_name", "limit"),
    [("somebody", 40_000), ("codex-mcp-client", 10_000), ("@cline/core", 8_000), ("Cline", 8_000)],
)
async def test_a_long_answer_is_cut_by_bytes_and_the_rest_can_be_read(
    simulator: Simulator, words: str, client_name: str, limit: int
):
    simulator.script(MODEL, Answer(text=[words]))
    async with known_as(client_name, simulator.url) as client:
        result = await client.call_tool("ollama_chat", CHAT)
        assert limit * 0.8 < wire_bytes(result) <= limit
        note, beginning = raw(result)
        assert note.startswith(f"Cut at {len(beginning):,} of {len(words):,} characters.") and note.endswith("\n")
        assert beginning + await read_on(client, note, limit) == words
        (row,) = data(await client.call_tool(JOB, {}))["jobs"]
        assert (row["state"], row["tool"]) == ("done", "ollama_chat")
        again = await client.call_tool(JOB, {"action": "result", "id": row["id"]})
        assert texts(again) == texts(result)
        assert len(data(await client.call_tool(JOB, {}))["jobs"]) == 1


async def test_a_limit_of_the_settings_that_is_lower_than_the_client_counts(simulator: Simulator):
    simulator.script(MODEL, Answer(text="x" * 3_000))
    async with known_as("codex-mcp-client", simulator.url, limits={"answer_chars": 1_000}) as client:
        assert 500 < wire_bytes(await client.call_tool("ollama_chat", CHAT)) <= 1_000


def _logprobs() -> Answer:
    words = [f"{number} " for number in range(2_000)]
    return Answer(text=words, chances=[{word: 0.9, "no ": 0.1} for word in words])


BULKY: dict[str, tuple[Answer, dict[str, Any], str]] = {
    "thinking": (Answer(text="4", thinking=["hmm " * 500_000]), {"include": ["thinking"]}, ""),
    "thinking alone": (Answer(thinking=["hmm " * 500_000]), {}, "no_answer"),
    "logprobs": (_logprobs(), {"include": ["logprobs"], "options": {"top_logprobs": 2}}, ""),
    "tool call": (
        Answer(tool_calls=[{"name": "f", "arguments": {"a": "x" * 500_000}}]),
        {"tools": [{"name": "f"}]},
        "",
    ),
    "tool calls": (
        Answer(tool_calls=[{"name": "f", "arguments": {"a": "x" * 15_000}}] * 9),
        {"tools": [{"name": "f"}]},
        "",
    ),
    "value": (Answer(text=[json.dumps(["word"] * 50_000)]), {"format": {"type": "array"}}, ""),
    "wrong value": (Answer(text=[json.dumps(["word"] * 50_000)]), {"format": {"type": "object"}}, "bad_answer"),
    "cut answer": (Answer(text=["word " * 50_000], error="CUDA error"), {}, "server_error"),
}


@pytest.mark.parametrize("client_name", ["somebody", "codex-mcp-client"])
@pytest.mark.parametrize(("answer", "arguments", "kind"), BULKY.values(), ids=BULKY)
async def test_every_channel_counts_and_what_was_cut_stands_in_front(
    answer: Answer, arguments: dict[str, Any], kind: str, client_name: str
):
    limit = 10_000 if client_name.startswith("codex") else 40_000
    async with Simulator() as simulator, known_as(client_name, simulator.url) as client:
        model = THINKER if "think" in str(arguments) or kind == "no_answer" else MODEL
        simulator.script(model, answer)
        result = await client.call_tool("ollama_chat", {"model": model, "prompt": "Hi", **arguments})
        assert limit * 0.3 < wire_bytes(result) <= limit
        blocks = texts(result)
        if kind:
            assert error(result, kind) == blocks[0]
        note = next(block for block in blocks if block.startswith("Cut"))
        assert sum(map(len, blocks[: blocks.index(note)])) < 500
        piece = await client.call_tool(JOB, next_call(note))
        assert not piece.is_error and 1_000 < wire_bytes(piece) <= limit
        if result.structured_content is not None:
            assert result.structured_content["notes"][0] == note
            # Half a call or half a value would be a wrong one.
            assert all(len(call["name"]) < 500 for call in result.structured_content.get("tool_calls", []))
            assert all(
                len(call["arguments"]["a"]) == 15_000 for call in result.structured_content.get("tool_calls", [])
            )
            assert "value" not in result.structured_content


async def test_both_channels_of_a_cut_answer_end_at_the_same_word(simulator: Simulator):
    words = "".join(f"{number} " for number in range(20_000))
    simulator.script(MODEL, Answer(text=[words]))
    async with known_as("codex-mcp-client", simulator.url) as client:
        result = await client.call_tool("ollama_chat", {**CHAT, "include": ["stats"]})
        structured = data(result)
        rest = await read_on(client, structured["notes"][0], 10_000)
        assert structured["text"] in texts(result)
        assert (structured["text"] + rest).startswith(words) and '"stats"' in rest


async def test_a_short_answer_keeps_its_words_in_front(simulator: Simulator):
    simulator.script(MODEL, Answer(text="One two", done_reason="length", tokens=2))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {**CHAT, "options": {"num_predict": 2}})
    first, second = raw(result)
    assert first == "One two\n" and second.startswith("Cut at num_predict=2")


async def test_a_long_answer_that_fits_has_its_notes_in_front(simulator: Simulator):
    words = "".join(f"{number} " for number in range(3_000))
    simulator.script(MODEL, Answer(text=[words], done_reason="length", tokens=2))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", {**CHAT, "options": {"num_predict": 2}})
        assert not data(await client.call_tool(JOB, {}))["jobs"]
    first, second = raw(result)
    assert first.startswith("Cut at num_predict=2") and first.endswith("\n") and second == words


async def test_a_hand_over_names_the_job_first_and_shows_only_the_last_words(simulator: Simulator):
    gate = asyncio.Event()
    words = "".join(f"{number} " for number in range(5_000))
    async with known_as("codex-mcp-client", simulator.url, jobs={"call_seconds": 0.5}) as client:
        result = await handed_over(client, simulator, Answer(text=[words, "end"], hold=gate, hold_after=1))
        first, second = raw(result)
        assert first.startswith("The call continues as job ") and first.endswith("\n")
        assert second.endswith("4998 4999 ") and len(second) < 600
        gate.set()
        asked = {"action": "result", "id": (result.meta or {})["ollama-mcp-server/job"]["id"]}
        whole = await client.call_tool(JOB, asked)
        note, beginning = raw(whole)
        assert wire_bytes(whole) <= 10_000 and next_call(note)["id"] == asked["id"]
        assert beginning + await read_on(client, note, 10_000) == words + "end"


async def test_the_words_of_a_cancelled_job_are_read_on_under_its_id(simulator: Simulator):
    words = "word " * 20_000
    async with known_as("codex-mcp-client", simulator.url, jobs={"call_seconds": 0.5}) as client:
        answer = Answer(text=[words, "end"], hold=asyncio.Event(), hold_after=1)
        handed = await handed_over(client, simulator, answer)
        asked = {"action": "cancel", "id": (handed.meta or {})["ollama-mcp-server/job"]["id"]}
        result = await client.call_tool(JOB, asked)
        cut = next(block for block in texts(result) if block.startswith("Cut at"))
        stopped = next(block for block in texts(result) if block.startswith("Stopped after"))
        assert wire_bytes(result) <= 10_000 and next_call(cut)["id"] == asked["id"]
        assert texts(result)[-1] + await read_on(client, cut, 10_000) == f"{words}\n{stopped}"


@pytest.mark.parametrize("include", ["license", "tensors"])
async def test_parts_of_a_card_count(simulator: Simulator, include: str):
    async with known_as("codex-mcp-client", simulator.url, limits={"answer_chars": 3_000}) as client:
        whole = await client.call_tool("ollama_show_model", {"model": MODEL, "include": [include]})
        assert wire_bytes(whole) <= 3_000 and not whole.is_error
        if "cut" in data(whole):
            piece = await client.call_tool(JOB, next_call(data(whole)["cut"]))
            assert not piece.is_error and texts(piece)[1].startswith("{")


async def test_of_a_list_the_first_rows_are_whole_and_all_of_it_can_be_read_as_json(simulator: Simulator):
    async with connected(simulator.url) as client:
        for number in range(40):
            await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": f"copy-{number}"})
        everything = data(await client.call_tool("ollama_list_models", {}))
    async with connected(simulator.url, limits={"answer_chars": 5_000}) as client:
        result = await client.call_tool("ollama_list_models", {})
        assert wire_bytes(result) <= 5_000
        rows = data(result)["models"]
        assert 3 < len(rows) < 40 and all(row in everything["models"] for row in rows)
        assert json.loads(await read_on(client, data(result)["cut"], 5_000)) == everything


@pytest.mark.parametrize(("client_name", "limit"), [("somebody", 2_000), ("codex-mcp-client", 10_000)])
async def test_a_resource_has_the_same_budget(simulator: Simulator, client_name: str, limit: int):
    given = limit if client_name == "somebody" else 40_000
    async with known_as(client_name, simulator.url, limits={"answer_chars": given}) as client:
        for number in range(60):
            await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": f"copy-{number}"})
        (content,) = (await client.read_resource("ollama://models")).contents
    assert isinstance(content, TextResourceContents)
    assert limit / 2 < len(json.dumps(content.text, ensure_ascii=False).encode()) <= limit
    shown = json.loads(content.text)
    assert "ollama_list_models gives more" in shown["cut"] and shown["models"][0]["name"]


async def test_vectors_are_never_cut(simulator: Simulator):
    embed = {"model": "nomic-embed-text", "input": ["a"] * 20, "vectors": True}
    async with known_as("codex-mcp-client", simulator.url) as client:
        found = data(await client.call_tool("ollama_embed", embed))
    assert len(found["vectors"]) == 20 and len({len(vector) for vector in found["vectors"]}) == 1


async def test_without_the_tool_that_reads_on_the_note_names_the_setting(simulator: Simulator):
    simulator.script(MODEL, Answer(text="x" * 3_000))
    async with connected(simulator.url, tools={"exclude": [JOB]}, limits={"answer_chars": 1_000}) as client:
        note, _ = texts(await client.call_tool("ollama_chat", CHAT))
    assert "limits.answer_chars" in note and JOB not in note


async def test_an_offset_beyond_the_end_is_a_wrong_argument(simulator: Simulator):
    simulator.script(MODEL, Answer(text="x" * 3_000))
    async with connected(simulator.url, limits={"answer_chars": 1_000}) as client:
        note, _ = texts(await client.call_tool("ollama_chat", CHAT))
        beyond = await client.call_tool(JOB, {**next_call(note), "offset": 3_000})
        assert "ends before that" in error(beyond, "invalid_argument")


async def test_what_was_cut_is_kept_for_its_client_only(simulator: Simulator):
    simulator.script(MODEL, Answer(text="x" * 3_000))
    async with (
        served(simulator.url, limits={"answer_chars": 1_000}) as address,
        Client(address, mode="legacy") as one,
        Client(address, mode="legacy") as other,
    ):
        note, _ = texts(await one.call_tool("ollama_chat", CHAT))
        error(await other.call_tool(JOB, next_call(note)), "invalid_argument")
        assert not (await one.call_tool(JOB, next_call(note))).is_error


async def test_of_kept_results_the_newest_stay_and_their_list_is_none_of_them(simulator: Simulator):
    async with connected(simulator.url, limits={"answer_chars": 1_000}, jobs={"limit": 2}) as client:
        names: list[str] = []
        for _ in range(4):
            simulator.script(MODEL, Answer(text="x" * 3_000))
            names.append(next_call(texts(await client.call_tool("ollama_chat", CHAT))[0])["id"])
            await client.call_tool(JOB, {})
        answers = [await client.call_tool(JOB, {"action": "result", "id": name}) for name in names]
    assert [answer.is_error for answer in answers] == [True, True, False, False]
