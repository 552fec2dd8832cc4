"""Inference and the web: what is sent, what comes back, and what must not leave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from ollama_mcp import api
from ollama_mcp.api import (
    ChatMessage,
    ChatRequest,
    ChoiceAnswer,
    DecisionQuestion,
    DecisionRequest,
    EmbeddingsRequest,
    EmbedRequest,
    GenerateRequest,
    NoulAnswer,
    OllamaClient,
    ScoreAnswer,
    ToolCall,
)
from ollama_mcp.errors import BadAnswer, InvalidArgument
from tests.api.raw_server import by_path, chat_chunk, chat_end, generate_end, response, serving, stream


async def test_only_what_was_given_is_sent() -> None:
    async with serving(stream(generate_end())) as server, OllamaClient(server.url) as client:
        await client.generate(GenerateRequest(model="m", prompt="hi")).collect()
        assert server.requests[0].json == {"model": "m", "stream": True, "prompt": "hi"}
        full = GenerateRequest(
            model="m",
            prompt="hi",
            stream=False,
            suffix="s",
            system="y",
            template="t",
            context=[1],
            raw=False,
            images=["aGk="],
            format="json",
            options={"stop": ["a"], "seed": None},
            think=False,
            keep_alive="5m",
        )
        await client.generate(full).collect()
        assert server.requests[1].json == {
            **full.model_dump(exclude={"split_thinking"}, exclude_none=True),
            "options": {"stop": ["a"], "seed": None},
        }


async def test_a_conversation_with_tools_goes_out_and_comes_back() -> None:
    call = {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"city": "Paris"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"default": None}}}]
    lines = [
        chat_chunk("", tool_calls=[call]),
        chat_end("", tool_calls=[{"function": {"name": "g", "arguments": None}}]),
    ]
    async with serving(stream(*lines)) as server, OllamaClient(server.url) as client:
        asked = ChatMessage(role="user", content="hi", images=["aGk="])
        answer = await client.chat(ChatRequest(model="m", messages=[asked], tools=tools)).collect()
        assert answer.tool_calls == [ToolCall("f", {"city": "Paris"}, "call_1", 0), ToolCall("g", {})]
        again = [
            ChatMessage(role="assistant", thinking="hm", tool_calls=answer.tool_calls),
            ChatMessage(role="tool", content="sunny", tool_name="f", tool_call_id="call_1"),
        ]
        await client.chat(ChatRequest(model="m", messages=again, tools=tools, keep_alive=-1)).collect()
        sent = server.requests[1].json
        assert sent["messages"][0]["tool_calls"] == [call, {"function": {"name": "g", "arguments": {}}}]
        assert sent["tools"] == tools


STRANGE: list[dict[str, Any]] = [
    chat_end("", tool_calls=5),
    chat_end("", tool_calls=[5]),
    chat_end("", tool_calls=[{"function": 5}]),
    chat_end("", tool_calls=[{"function": {"name": 5}}]),
    {**chat_end(), "logprobs": 5},
    {**chat_end(), "logprobs": [5]},
    {"message": 5},
    {"model": "m"},
]


@pytest.mark.parametrize("line", STRANGE)
async def test_a_line_of_another_shape_is_a_bad_answer(line: dict[str, Any]) -> None:
    async with serving(stream(line)) as server, OllamaClient(server.url) as client:
        with pytest.raises(BadAnswer):
            await client.chat(ChatRequest(model="m")).collect()


async def test_a_large_request_arrives_whole() -> None:
    image = "QUJD" * 500_000
    async with serving(stream(chat_end("x"))) as server, OllamaClient(server.url) as client:
        await client.chat(ChatRequest(model="m", messages=[ChatMessage(role="user", images=[image])])).collect()
        assert server.requests[0].json["messages"][0]["images"] == [image]


async def test_embedding_returns_vectors_in_order() -> None:
    vectors = [[float(number)] * 5000 for number in range(5)]
    answer = response(
        json.dumps({"model": "m", "embeddings": vectors, "total_duration": 10**9, "load_duration": 5 * 10**8})
    )
    async with serving(answer) as server, OllamaClient(server.url) as client:
        embedded = await client.embed(EmbedRequest(model="m", input=["a"] * 5, truncate=False))
        assert embedded.embeddings == vectors
        assert (embedded.total_seconds, embedded.load_seconds) == (1.0, 0.5)
        assert server.requests[0].json == {"model": "m", "input": ["a"] * 5, "truncate": False}
        assert api.EmbedResponse().total_seconds is None
        assert api.EmbedResponse().load_seconds is None


async def test_where_embed_is_absent_texts_are_embedded_one_by_one() -> None:
    scripts = by_path(embeddings=response('{"embedding":[1.0,2.0]}'))
    async with serving(scripts) as server, OllamaClient(server.url) as client:
        assert (await client.embed(EmbedRequest(model="m", input=["a", "b"]))).embeddings == [[1.0, 2.0]] * 2
        assert (await client.embed(EmbedRequest(model="m", input="c"))).embeddings == [[1.0, 2.0]]
        assert (await client.embeddings(EmbeddingsRequest(model="m", prompt="d"))).embedding == [1.0, 2.0]
        prompts = [request.json["prompt"] for request in server.requests if request.path == "/api/embeddings"]
        assert prompts == ["a", "b", "c", "d"]
    async with serving(by_path(embeddings=response('{"embedding":[]}'))) as server, OllamaClient(server.url) as client:
        assert (await client.embed(EmbedRequest(model="m", input=""))).embeddings == []
        assert (await client.embed(EmbedRequest(model="m", input=["", ""]))).embeddings == [[], []]


async def test_a_decision_is_asked_and_read() -> None:
    answers = {
        "c": {"type": "choice", "choice": "a", "probabilities": {"a": 0.9, "b": 0.1}, "confidence": 0.5},
        "n": {"type": "noul", "noul": 0.25},
        "s": {"type": "score", "score": 1.5, "legend": {"0": "bad"}, "probabilities": {"0": 0.5}, "confidence": 0.1},
    }
    body = {"model": "nimble", "answers": answers, "usage": {"input_tokens": 3, "output_tokens": 0}}
    questions = {
        "c": DecisionQuestion(type="choice", instructions="which", criteria={"a": None, "b": "the other"}),
        "n": DecisionQuestion(type="noul", instructions="is it"),
        "s": DecisionQuestion(type="score", criteria=["bad", "good"]),
    }
    async with serving(response(json.dumps(body))) as server, OllamaClient(server.url) as client:
        decided = await client.systemone(DecisionRequest(model="nimble", state=None, questions=questions))
        choice, noul, score = decided.answers.values()
        assert isinstance(choice, ChoiceAnswer)
        assert isinstance(noul, NoulAnswer)
        assert isinstance(score, ScoreAnswer)
        assert (choice.choice, noul.noul, score.score, decided.usage.input_tokens) == ("a", 0.25, 1.5, 3)
        [sent] = server.requests
        assert sent.path == "/v1/systemone"
        assert sent.json["state"] is None
        assert sent.json["questions"]["c"]["criteria"] == {"a": None, "b": "the other"}


async def test_the_web_is_asked_through_the_local_server() -> None:
    scripts = by_path(
        web_search=response('{"results":[{"title":"t","url":"u","content":"c"}]}'),
        web_fetch=response('{"title":"t","content":"c","links":null}'),
    )
    async with serving(scripts) as server, OllamaClient(server.url) as client:
        [found] = await client.web_search("q", 3)
        assert (found.title, found.url, found.content) == ("t", "u", "c")
        assert (await client.web_fetch("https://example.com")).links == []
        await client.web_search("q")
        paths = [request.path for request in server.requests]
        assert paths[:2] == ["/api/experimental/web_search", "/api/experimental/web_fetch"]
        assert [request.json for request in server.requests[::2]] == [{"query": "q", "max_results": 3}, {"query": "q"}]
        async with OllamaClient(server.url, cloud=True) as cloud:
            await cloud.web_search("q")
        assert server.requests[-1].path == "/api/web_search"


@pytest.mark.parametrize("image", ["data:image/png;base64,aGk=", "https://example.com/a.png", "aGk"])
async def test_an_image_that_is_no_base64_is_refused(image: str) -> None:
    with pytest.raises(InvalidArgument, match="plain base64"):
        GenerateRequest(model="m", images=[image])


async def test_typical_p_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidArgument, match=r"0\.34\.1"):
        ChatRequest(model="m", options={"typical_p": 0.5})


async def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        GenerateRequest.model_validate({"model": "m", "promt": "x"})


def test_usual_and_unusual_bodies_of_vectors_are_read_alike():
    body = b'{"model": "m", "embeddings": [[0.5, -1, 1e-7]], "total_duration": 7, "prompt_eval_count": 3}'
    found = api.EmbedResponse.from_body(body)
    unusual = body.replace(b"}", b', "load_duration": "soon"}')
    assert found.model_dump() == api.EmbedResponse.from_body(unusual).model_dump()
    assert found.embeddings == [[0.5, -1.0, 1e-7]] and found.prompt_eval_count == 3 and found.load_duration is None
    for wrong in ("[[1e999]]", '[["a"]]', "[[NaN]]", "[[true"):
        with pytest.raises(ValueError):
            api.EmbedResponse.from_body(f'{{"embeddings": {wrong}}}'.encode())
