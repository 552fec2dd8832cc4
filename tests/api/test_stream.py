"""Streams: lines however the network cuts them, errors in every place, and a close that the server sees."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from ollama_mcp.api import ChatMessage, ChatRequest, ClientTimeouts, GenerateRequest, OllamaClient
from ollama_mcp.errors import (
    ApiError,
    BadAnswer,
    InternalError,
    Interrupted,
    ModelNotFound,
    RunnerFailed,
    ServerError,
    Timeout,
)
from tests.api.raw_server import (
    STREAM_HEAD,
    chat_chunk,
    chat_end,
    chunk,
    generate_chunk,
    generate_end,
    response,
    serving,
    stream,
)

if TYPE_CHECKING:
    from tests.api.raw_server import Connection, RawRequest, Script

PROMPT = GenerateRequest(model="m", prompt="hi")
HELLO = ChatRequest(model="m", messages=[ChatMessage(role="user", content="hi")])


async def failure(client: OllamaClient, request: GenerateRequest = PROMPT) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await client.generate(request).collect()
    return caught.value


async def test_the_pieces_of_an_answer_come_in_order_and_add_up() -> None:
    async with (
        serving(stream(generate_chunk("Hel"), generate_chunk("lo"), generate_end("!"))) as server,
        OllamaClient(server.url) as client,
    ):
        async with client.generate(PROMPT) as pieces:
            seen = [piece.text async for piece in pieces]
            assert pieces.text == "Hello!"
        assert seen == ["Hel", "lo", "!"]
        assert client.requests_in_flight == 0


async def test_collect_returns_the_whole_answer_with_its_figures() -> None:
    async with (
        serving(stream(generate_chunk("Hel"), generate_end("lo", context=[1, 2]))) as server,
        OllamaClient(server.url) as client,
    ):
        answer = await client.generate(PROMPT).collect()
        assert (answer.text, answer.done_reason, answer.context) == ("Hello", "stop", [1, 2])
        assert answer.stats is not None
        assert (answer.stats.eval_seconds, answer.stats.tokens_per_second) == (1.0, 2.0)
        assert answer.stats.total_seconds is None


async def test_a_plain_generate_costs_one_request_and_a_second_one_reuses_the_connection() -> None:
    async with serving(stream(generate_end("a"))) as server, OllamaClient(server.url) as client:
        await client.generate(PROMPT).collect()
        await client.generate(PROMPT).collect()
        assert [request.path for request in server.requests] == ["/api/generate"] * 2
        assert len(server.connections) == 1


async def test_a_stream_left_after_its_last_piece_still_gives_its_connection_back() -> None:
    async with serving(stream(generate_end("a"))) as server, OllamaClient(server.url) as client:
        async with client.generate(PROMPT) as pieces:
            async for piece in pieces:
                if piece.done:
                    break
        await client.generate(PROMPT).collect()
        assert len(server.connections) == 1


async def test_every_cut_of_the_bytes_gives_the_same_text() -> None:
    lines = [generate_chunk("Grüße 🎈"), generate_chunk("\u2028line"), generate_end("end")]
    body = b"\r\n\r\n".join(json.dumps(line, ensure_ascii=False).encode() for line in lines)
    cut = [body[at : at + 1] for at in range(len(body))]
    for pieces in ([body], cut, [body[:17], body[17:18], body[18:]]):
        async with serving(stream(*pieces)) as server, OllamaClient(server.url) as client:
            assert (await client.generate(PROMPT).collect()).text == "Grüße 🎈\u2028lineend"


async def test_what_had_come_of_a_stream_left_early_can_be_collected() -> None:
    async with (
        serving(stream(generate_chunk("so"), generate_chunk("<"), generate_end("far"))) as server,
        OllamaClient(server.url) as client,
    ):
        async with client.generate(PROMPT) as pieces:
            await anext(pieces)
        kept = await pieces.collect()
        assert (kept.text, kept.done) == ("so", False)
        async with client.chat(HELLO) as other:
            assert other.text == ""
    async with (
        serving(stream(generate_chunk("<thi"), generate_end("far"))) as server,
        OllamaClient(server.url) as client,
    ):
        async with client.generate(PROMPT) as pieces:
            assert (await anext(pieces)).text == ""
        assert pieces.text == "<thi"


async def test_leaving_a_stream_early_closes_the_connection() -> None:
    async def talk_until_left(_: RawRequest, connection: Connection) -> None:
        await connection.send(STREAM_HEAD, chunk(json.dumps(generate_chunk("a")).encode() + b"\n"))
        await connection.wait_gone()

    async with serving(talk_until_left) as server, OllamaClient(server.url) as client:
        async with client.generate(PROMPT) as pieces:
            await anext(pieces)
        async with asyncio.timeout(30):
            await server.connections[0].gone.wait()
        assert client.requests_in_flight == 0


@pytest.mark.parametrize("answered", [False, True])
async def test_cancelling_a_call_closes_the_connection(answered: bool) -> None:
    asked = asyncio.Event()

    async def hold(_: RawRequest, connection: Connection) -> None:
        if answered:
            await connection.send(STREAM_HEAD, chunk(json.dumps(generate_chunk("a")).encode() + b"\n"))
        asked.set()
        await connection.wait_gone()

    async with serving(hold) as server, OllamaClient(server.url) as client:
        task = asyncio.create_task(client.generate(PROMPT).collect())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            await server.connections[0].gone.wait()
        assert client.requests_in_flight == 0


async def test_closing_a_stream_from_another_task_ends_its_reader() -> None:
    async def hold(_: RawRequest, connection: Connection) -> None:
        await connection.send(STREAM_HEAD, chunk(json.dumps(generate_chunk("a")).encode() + b"\n"))
        await connection.wait_gone()

    async with serving(hold) as server, OllamaClient(server.url) as client:
        pieces = client.generate(PROMPT)
        await anext(pieces)
        reading = asyncio.ensure_future(pieces.__anext__())
        await asyncio.sleep(0)
        await pieces.aclose()
        with pytest.raises(Interrupted) as caught:
            await reading
        assert caught.value.partial == "a"
        async with asyncio.timeout(30):
            await server.connections[0].gone.wait()


@pytest.mark.parametrize("before", [0, 2])
async def test_an_error_line_is_raised_with_the_text_before_it(before: int) -> None:
    lines = [generate_chunk("so")] * before + [
        {"error": "an error was encountered while running the model: unexpected EOF"}
    ]
    async with serving(stream(*lines)) as server, OllamaClient(server.url) as client:
        error = await failure(client)
        assert type(error) is RunnerFailed
        assert error.kind == "server_error"
        assert error.partial == "so" * before
        assert "unexpected EOF" in error.message


async def test_an_error_as_first_line_has_the_kind_that_its_status_would_give() -> None:
    async with serving(stream({"error": "model 'm' not found"})) as server, OllamaClient(server.url) as client:
        assert type(await failure(client)) is ModelNotFound


async def test_an_error_after_a_partial_object_is_raised_when_nothing_was_streamed() -> None:
    quiet = GenerateRequest(model="m", prompt="hi", stream=False)
    body = json.dumps(generate_chunk("par")) + "\n" + json.dumps({"error": "rate limit exceeded"})
    async with serving(response(body)) as server, OllamaClient(server.url) as client:
        error = await failure(client, quiet)
        assert (error.kind, error.partial) == ("busy", "par")


async def test_an_error_after_the_last_piece_is_raised() -> None:
    lines = [generate_end("all"), {"error": "rate limit exceeded"}]
    async with serving(stream(*lines)) as server, OllamaClient(server.url) as client:
        error = await failure(client)
        assert (error.kind, error.partial) == ("busy", "all")
        async with client.generate(PROMPT) as pieces:
            assert (await anext(pieces)).done


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_without_a_last_piece_is_interrupted(streamed: bool) -> None:
    async with (
        serving(stream(generate_chunk("so"), generate_chunk(" far"))) as server,
        OllamaClient(server.url) as client,
    ):
        error = await failure(client, GenerateRequest(model="m", prompt="hi", stream=streamed))
        assert type(error) is Interrupted
        assert error.partial == "so far"


async def test_a_connection_that_breaks_within_the_answer_is_interrupted() -> None:
    async with serving(stream(generate_chunk("so far"), end=b"5\r\n{")) as server, OllamaClient(server.url) as client:
        error = await failure(client)
        assert type(error) is Interrupted
        assert error.partial == "so far"


@pytest.mark.parametrize("line", [b"{broken\n", b"[1]\n", b'{"x":1}\n', b'{"response":1}\n', b"\xff\xfe\n", b"<html>"])
async def test_a_line_that_is_none_of_ollamas_is_a_bad_answer(line: bytes) -> None:
    async with serving(stream(generate_chunk("so far"), line)) as server, OllamaClient(server.url) as client:
        error = await failure(client)
        assert type(error) is BadAnswer
        assert error.partial == "so far"
        assert len(str(error)) <= 400


DEEP = b"[" * 20_000


@pytest.mark.parametrize(
    "answer",
    [
        stream(b'{"response":' + DEEP + b"\n"),
        response(DEEP, 500),
        response(json.dumps({"error": '{"a":' + "[" * 20_000}), 500),
    ],
)
async def test_an_answer_nested_without_end_is_an_error_of_the_host(answer: Script) -> None:
    async with serving(answer) as server, OllamaClient(server.url) as client:
        assert isinstance(await failure(client), BadAnswer | ServerError)


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", b"\xed\xa0\xbd"])
async def test_half_a_surrogate_pair_becomes_a_character_that_can_be_sent_on(half: bytes) -> None:
    call = b'{"function":{"name":"f' + half + b'","arguments":{"k' + half + b'":["v' + half + b'",1]}}}'
    line = (
        b'{"message":{"content":"a' + half + rb'\ud83d\ude00","tool_calls":[' + call + b']},"model":"m","done":true}\n'
    )
    async with serving(stream(line)) as server, OllamaClient(server.url) as client:
        answer = await client.chat(HELLO).collect()
    assert answer.text == "a\ufffd😀"
    (asked,) = answer.tool_calls
    assert (asked.name, asked.arguments) == ("f\ufffd", {"k\ufffd": ["v\ufffd", 1]})
    json.dumps([answer.text, asked.to_json()], ensure_ascii=False).encode()


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_an_answer_that_a_router_put_together_from_half_of_one_is_incomplete(end: bytes) -> None:
    line = b'{"message":{"role":"assistant","content":"One two"},"response":"One two","done":true}'
    async with serving(stream(line + end)) as server, OllamaClient(server.url) as client:
        error = await failure(client)
    assert isinstance(error, Interrupted) and error.partial == "One two"


async def test_an_over_long_line_is_refused_while_it_comes() -> None:
    async def flood(_: RawRequest, connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        while not connection.writer.is_closing():
            await connection.send(chunk(b"x" * 2**20))

    async with serving(flood) as server, OllamaClient(server.url) as client:
        error = await failure(client)
        assert type(error) is BadAnswer
        assert "16 MB" in error.message


async def test_a_line_of_nine_megabytes_is_read() -> None:
    async with serving(stream(generate_end("x" * 9 * 2**20))) as server, OllamaClient(server.url) as client:
        assert len((await client.generate(PROMPT).collect()).text) == 9 * 2**20


@pytest.mark.parametrize("trickle", [False, True])
async def test_silence_within_an_answer_is_a_timeout_that_keeps_the_text(trickle: bool) -> None:
    async def stall(_: RawRequest, connection: Connection) -> None:
        await connection.send(STREAM_HEAD, chunk(json.dumps(generate_chunk("so far")).encode() + b"\n"))
        while trickle and not connection.writer.is_closing():
            await connection.send(chunk(b" "))
            await asyncio.sleep(0.02)
        await connection.wait_gone()

    limits = ClientTimeouts(idle=0.1)
    async with serving(stall) as server, OllamaClient(server.url, timeouts=limits) as client:
        error = await failure(client)
        assert type(error) is Timeout
        assert error.partial == "so far"
        async with asyncio.timeout(30):
            await server.connections[0].gone.wait()


async def test_a_head_that_does_not_come_in_time_is_a_timeout() -> None:
    async def silent(_: RawRequest, connection: Connection) -> None:
        await connection.wait_gone()

    limits = ClientTimeouts(first_byte=0.05)
    async with serving(silent) as server, OllamaClient(server.url, timeouts=limits) as client:
        error = await failure(client)
        assert type(error) is Timeout
        assert "0.05 s" in error.message


async def test_a_server_that_holds_the_connection_after_the_last_line_delays_nobody_for_ever() -> None:
    async def hold(_: RawRequest, connection: Connection) -> None:
        await connection.send(STREAM_HEAD, chunk(json.dumps(generate_end("a")).encode() + b"\n"))
        await connection.wait_gone()

    async with serving(hold) as server, OllamaClient(server.url) as client:
        assert (await client.generate(PROMPT).collect()).text == "a"
        await server.connections[0].gone.wait()


async def test_thinking_in_the_text_is_taken_apart() -> None:
    lines = [chat_chunk(piece) for piece in ("\n<th", "ink>\nhm", "m</thi", "nk>\n", "\nans", "wer <think>")]
    async with serving(stream(*lines, chat_end())) as server, OllamaClient(server.url) as client:
        answer = await client.chat(HELLO).collect()
        assert (answer.thinking, answer.text) == ("hmm", "answer <think>")
        plain = await client.chat(HELLO.model_copy(update={"split_thinking": False})).collect()
        assert plain.text.startswith("\n<think>")


async def test_thinking_that_the_server_split_is_left_alone() -> None:
    lines = [chat_chunk("", thinking="hm"), chat_chunk("<think>"), chat_end("x")]
    async with serving(stream(*lines)) as server, OllamaClient(server.url) as client:
        answer = await client.chat(HELLO).collect()
        assert (answer.thinking, answer.text) == ("hm", "<think>x")


async def test_text_held_back_for_a_tag_is_part_of_what_was_kept() -> None:
    async with serving(stream(generate_chunk("<th"), b"{\n")) as server, OllamaClient(server.url) as client:
        assert (await failure(client)).partial == "<th"


async def test_raw_text_is_never_split() -> None:
    async with serving(stream(generate_end("<think>a</think>b"))) as server, OllamaClient(server.url) as client:
        answer = await client.generate(GenerateRequest(model="m", prompt="x", raw=True)).collect()
        assert (answer.thinking, answer.text) == ("", "<think>a</think>b")


async def test_a_stream_that_was_never_read_sends_nothing() -> None:
    async with serving(stream(generate_end("a"))) as server, OllamaClient(server.url) as client:
        unread = client.generate(PROMPT)
        await unread.aclose()
        assert [piece async for piece in unread] == []
        with pytest.raises(InternalError):
            await unread.collect()
        assert server.requests == []


async def test_a_stream_that_was_read_to_its_end_stays_at_its_end() -> None:
    async with serving(stream(generate_end("a"))) as server, OllamaClient(server.url) as client:
        pieces = client.generate(PROMPT)
        assert [piece.text async for piece in pieces] == ["a"]
        assert [piece async for piece in pieces] == []
        assert (await pieces.collect()).text == "a"


async def test_a_last_line_without_its_line_end_counts() -> None:
    async with (
        serving(stream(generate_chunk("a"), json.dumps(generate_end("b")).encode())) as server,
        OllamaClient(server.url) as client,
    ):
        assert (await client.generate(PROMPT).collect()).text == "ab"


async def test_an_answer_that_ends_within_thinking_is_all_thinking() -> None:
    lines = [chat_chunk("<think>so"), chat_chunk(" far</th"), chat_end()]
    async with serving(stream(*lines)) as server, OllamaClient(server.url) as client:
        answer = await client.chat(HELLO).collect()
        assert (answer.thinking, answer.text) == ("so far</th", "")


async def test_tool_calls_and_figures_of_generate_are_read() -> None:
    line = generate_end(
        tool_calls=[{"function": {"name": "f", "arguments": {}}}],
        prompt_eval_cached_count=0,
        total_duration=4 * 10**9,
        load_duration=10**9,
        prompt_eval_duration=2 * 10**9,
    )
    async with serving(stream(line)) as server, OllamaClient(server.url) as client:
        answer = await client.generate(PROMPT).collect()
        assert [call.name for call in answer.tool_calls] == ["f"]
        assert answer.stats is not None
        assert (answer.stats.total_seconds, answer.stats.load_seconds, answer.stats.prompt_eval_seconds) == (4, 1, 2)
        assert answer.stats.prompt_eval_cached_count == 0
        assert answer.stats.prompt_eval_count is None
