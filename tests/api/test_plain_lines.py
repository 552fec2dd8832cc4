"""Lines of a stream that are nothing but text are read in a shorter way, which must not show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ollama_mcp.api import ChatMessage, ChatRequest, OllamaClient
from ollama_mcp.errors import ApiError, BadAnswer, RunnerFailed
from tests.api.raw_server import STREAM_HEAD, Connection, RawRequest, chat_chunk, chat_end, chunk, serving, stream

HELLO = ChatRequest(model="m", messages=[ChatMessage(role="user", content="hi")])


@pytest.mark.parametrize(
    "odd",
    [
        r'{"message": {"content": "\ud83d"}, "done": false}',
        '{"message": {"content": null}, "done": false}',
        '{"message": {"role": "assistant"}, "done": false, "more": [1, {"a": NaN}]}',
        '{"message": {"content": "b", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}, "done": false}',
        '{"message": {"content": "b"}, "done": false, "logprobs": [{"token": "b", "logprob": -1.0}]}',
        '{"done": false}',
    ],
    ids=["half an emoji", "null", "no text", "a tool call", "logprobs", "no message"],
)
async def test_a_line_that_is_more_than_text_is_read_as_when_it_comes_first(odd: str) -> None:
    text, line = chat_chunk("a"), odd.encode() + b"\n"
    answers: list[Any] = []
    for lines in ((line, text, text), (text, line, text)):
        async with serving(stream(*lines, chat_end(""))) as server, OllamaClient(server.url) as client:
            answers.append(await client.chat(HELLO).collect())
    first, second = answers
    assert sorted(first.text) == sorted(second.text)
    assert (first.tool_calls, first.logprobs) == (second.tool_calls, second.logprobs)


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        ('{"error": "an error was encountered while running the model"}', RunnerFailed),
        ('{"message": {"content": 7}, "done": false}', BadAnswer),
        ('{"message": {"content": "b"}, "done": fal', BadAnswer),
        ("[1]", BadAnswer),
    ],
)
async def test_a_wrong_line_among_plain_ones_is_an_error_with_the_text_before_it(
    odd: str, kind: type[ApiError]
) -> None:
    async with (
        serving(stream(*map(chat_chunk, "abc"), odd.encode() + b"\n", chat_end())) as server,
        OllamaClient(server.url) as client,
    ):
        with pytest.raises(kind) as caught:
            await client.chat(HELLO).collect()
    assert caught.value.partial == "abc"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1_000])
async def test_a_chunked_body_may_be_cut_anywhere_and_its_connection_is_used_again(size: int) -> None:
    lines = [chat_chunk("Ü" * 30), chat_chunk("b"), chat_end("c")]
    bodies = [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines]
    # Several lines in a chunk, a line in several, a size with zeros and in capitals, an extension and a trailer.
    odd = bodies[0] + bodies[1][:5]
    sent = (
        b"%04X\r\n%s\r\n" % (len(odd), odd) + chunk(bodies[1][5:]) + b"%x;a=1\r\n%s\r\n" % (len(bodies[2]), bodies[2])
    )
    answer = STREAM_HEAD + sent + b"0\r\nX-More: 1\r\n\r\n"

    async def script(_: RawRequest, connection: Connection) -> None:
        await connection.send(*(answer[start : start + size] for start in range(0, len(answer), size)))

    async with serving(script) as server, OllamaClient(server.url) as client:
        for _ in range(2):
            assert (await client.chat(HELLO).collect()).text == "Ü" * 30 + "bc"
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    "wrong", [b"xyz\r\n", b"\r\n", b"-5\r\nhello\r\n", b"3\r\nabcde\r\n", b"fffffffff", b"0x3\r\nabc\r\n"]
)
async def test_a_wrong_chunk_breaks_the_answer_and_keeps_what_came(wrong: bytes) -> None:
    async def script(_: RawRequest, connection: Connection) -> None:
        await connection.send(STREAM_HEAD, chunk(json.dumps(chat_chunk("a")).encode() + b"\n"), wrong)
        connection.writer.close()

    async with serving(script) as server, OllamaClient(server.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.chat(HELLO).collect()
    assert caught.value.kind == "interrupted" and caught.value.partial == "a"
