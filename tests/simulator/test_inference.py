from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests.simulator.helpers import CHAT, EMBEDDER, THINKER, VISION, WEATHER_TOOL, lines, user

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big"))


async def _text(client: httpx.AsyncClient, prompt: str, **options: Any) -> str:
    body = {"model": CHAT, "prompt": prompt, "stream": False, "options": options}
    return (await client.post("/api/generate", json=body)).json()["response"]


async def test_the_same_seed_gives_the_same_text_and_another_seed_another(client: httpx.AsyncClient) -> None:
    first, again, other = [await _text(client, "Tell me of rivers", seed=seed) for seed in (1, 1, 2)]
    assert first == again
    assert first != other


async def test_temperature_zero_is_deterministic_and_depends_on_the_prompt(client: httpx.AsyncClient) -> None:
    first, again = [await _text(client, "Tell me of rivers", temperature=0) for _ in range(2)]
    assert first == again
    assert await _text(client, "Tell me of mountains", temperature=0) != first


async def test_without_a_seed_answers_vary(client: httpx.AsyncClient) -> None:
    assert len({await _text(client, "Tell me of rivers") for _ in range(5)}) > 1


async def test_an_answer_says_that_it_is_simulated_and_what_it_is_about(client: httpx.AsyncClient) -> None:
    text = await _text(client, "Why is the sky blue?")
    assert text.startswith("This is a simulated answer about sky blue.")


async def test_num_predict_truncates_the_answer(client: httpx.AsyncClient) -> None:
    body = {"model": CHAT, "prompt": "hello", "stream": False, "options": {"num_predict": 3}}
    answer = (await client.post("/api/generate", json=body)).json()
    assert (answer["response"], answer["done_reason"], answer["eval_count"]) == ("This is a", "length", 3)


async def test_zero_tokens_are_one_in_chat_and_no_limit_in_generate(client: httpx.AsyncClient) -> None:
    options = {"num_predict": 0}
    chat = await client.post(
        "/api/chat", json={"model": CHAT, "messages": user("x"), "stream": False, "options": options}
    )
    assert chat.json()["eval_count"] == 1
    generated = await client.post(
        "/api/generate", json={"model": CHAT, "prompt": "x", "stream": False, "options": options}
    )
    assert generated.json()["done_reason"] == "stop"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_invalid_template_fails_when_the_prompt_is_rendered(client: httpx.AsyncClient, stream: bool) -> None:
    body = {"model": CHAT, "template": "{{ .Prompt", "stream": stream}
    refused = await client.post("/api/generate", json={**body, "prompt": "x"})
    assert (refused.status_code, refused.json()) == (500, {"error": "template: :1: unclosed action"})
    assert (await client.post("/api/generate", json={**body, "prompt": ""})).status_code == 200


async def test_a_stop_string_ends_the_answer(client: httpx.AsyncClient) -> None:
    assert await _text(client, "hello", stop=["mulated"]) == "This is a si"


async def test_asking_for_many_words_gets_many(client: httpx.AsyncClient) -> None:
    assert len((await _text(client, "Write 300 words about tea")).split()) > 250


async def test_streaming_does_not_change_the_text(client: httpx.AsyncClient) -> None:
    body = {"model": CHAT, "messages": user("rivers"), "options": {"seed": 4}}
    streamed = await lines(client, "/api/chat", body)
    whole = (await client.post("/api/chat", json={**body, "stream": False})).json()
    assert "".join(line["message"]["content"] for line in streamed) == whole["message"]["content"]
    assert [line["done"] for line in streamed] == [False] * (len(streamed) - 1) + [True]


async def test_logprobs_have_the_requested_number_of_alternatives(client: httpx.AsyncClient) -> None:
    body = {"model": CHAT, "prompt": "x", "logprobs": True, "top_logprobs": 2, "options": {"num_predict": 12}}
    shown = [line["logprobs"][0] for line in await lines(client, "/api/generate", body) if "logprobs" in line]
    assert len(shown) == 12
    assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) <= 2 for entry in shown)
    assert bytes(shown[0]["bytes"]).decode() == shown[0]["token"]


async def test_a_thinking_model_thinks_unless_told_not_to(client: httpx.AsyncClient) -> None:
    body = {"model": THINKER, "messages": user("rivers"), "stream": False}
    assert "rivers" in (await client.post("/api/chat", json=body)).json()["message"]["thinking"]
    silent = (await client.post("/api/chat", json={**body, "think": False})).json()
    assert "thinking" not in silent["message"]


@pytest.mark.parametrize("think", [True, "high"])
async def test_thinking_is_rejected_for_a_model_without_it(client: httpx.AsyncClient, think: bool | str) -> None:
    answer = await client.post("/api/chat", json={"model": CHAT, "messages": user("x"), "think": think})
    assert (answer.status_code, answer.json()["error"]) == (400, f'"{CHAT}" does not support thinking')


@pytest.mark.parametrize("think", [5, [1]])
async def test_think_must_be_a_boolean_or_a_level(client: httpx.AsyncClient, think: Any) -> None:
    answer = await client.post("/api/chat", json={"model": THINKER, "messages": user("x"), "think": think})
    assert answer.json()["error"].startswith("think must be a boolean or string (")


async def test_a_matching_tool_is_called_with_arguments_that_match_its_schema(client: httpx.AsyncClient) -> None:
    prompt = "What will the weather be in Paris for 3 days, in celsius?"
    body = {"model": THINKER, "messages": user(prompt), "tools": [WEATHER_TOOL], "stream": False}
    message = (await client.post("/api/chat", json=body)).json()["message"]
    function = message["tool_calls"][0]["function"]
    assert function["name"] == "get_weather"
    assert function["arguments"] == {"city": "Paris", "unit": "celsius", "days": 3}
    assert message["content"] == ""


async def test_no_tool_is_called_when_none_matches(client: httpx.AsyncClient) -> None:
    body = {"model": CHAT, "messages": user("Sing a song"), "tools": [WEATHER_TOOL], "stream": False}
    assert "tool_calls" not in (await client.post("/api/chat", json=body)).json()["message"]


async def test_after_a_tool_result_the_model_answers_in_words(client: httpx.AsyncClient) -> None:
    call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    messages = [
        *user("The weather in Paris?"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "get_weather", "content": "11 degrees"},
    ]
    body = {"model": CHAT, "messages": messages, "tools": [WEATHER_TOOL], "stream": False}
    message = (await client.post("/api/chat", json=body)).json()["message"]
    assert "11 degrees" in message["content"]
    assert "tool_calls" not in message


async def test_rendered_calls_come_before_the_last_line(client: httpx.AsyncClient) -> None:
    body = {"model": CHAT, "messages": user("weather in Rome"), "tools": [WEATHER_TOOL]}
    streamed = await lines(client, "/api/chat", body)
    assert streamed[-2]["message"]["tool_calls"][0]["id"].startswith("call_")
    assert "tool_calls" not in streamed[-1]["message"]
    assert streamed[-1]["done_reason"] == "stop"


async def test_an_answer_with_a_schema_is_an_instance_of_it(client: httpx.AsyncClient) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18, "maximum": 30}},
        "required": ["name", "age"],
    }
    body = {"model": CHAT, "messages": user("A person aged 25"), "format": schema}
    streamed = await lines(client, "/api/chat", body)
    assert len(streamed) > 5
    value = json.loads("".join(line["message"]["content"] for line in streamed))
    assert value["age"] == 25
    assert isinstance(value["name"], str)


QUOTE = {"type": "object", "properties": {"a": {"enum": ['say "hi"']}}, "required": ["a"]}
NAME = {"type": "object", "properties": {'a"b': {"type": "integer"}}, "required": ['a"b']}
MANY = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2001}


@pytest.mark.parametrize(
    ("version", "schema", "becomes"),
    [
        ("0.5.7", QUOTE, "prose"),
        ("0.5.7", NAME, "prose"),
        ("0.5.7", MANY, "JSON"),
        ("0.17.7", QUOTE, "JSON"),
        ("0.17.7", NAME, "JSON"),
        ("0.17.7", MANY, "runner has unexpectedly stopped"),
        ("0.33.0", QUOTE, "JSON"),
        ("0.33.0", MANY, "JSON"),
    ],
)
async def test_what_a_grammar_that_cannot_be_read_becomes_depends_on_the_version(
    version: str, schema: dict[str, Any], becomes: str
) -> None:
    body = {"model": CHAT, "messages": user("Go on"), "format": schema, "stream": False}
    async with Simulator(version=version) as simulator, httpx.AsyncClient(base_url=simulator.url) as client:
        answer = await client.post("/api/chat", json=body)
    if becomes in ("prose", "JSON"):
        text = answer.json()["message"]["content"]
        assert (text[0] in "{[") is (becomes == "JSON")
    else:
        assert answer.status_code == 500 and becomes in answer.json()["error"]


async def test_json_format_gives_an_object(client: httpx.AsyncClient) -> None:
    body = {"model": CHAT, "prompt": "List rivers", "format": "json", "stream": False}
    assert json.loads((await client.post("/api/generate", json=body)).json()["response"])["answer"]


async def test_a_vision_model_says_what_image_it_was_given(client: httpx.AsyncClient) -> None:
    body = {"model": VISION, "prompt": "Describe it", "images": [PNG.decode()], "stream": False}
    text = (await client.post("/api/generate", json=body)).json()["response"]
    assert text.startswith("This is a 640x480 PNG image of 24 bytes.")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xd8\xff\xe0\x00\x02\xff\xc0\x00\x11\x08" + b"\x00\x10\x00\x20" + bytes(8), "a 32x16 JPEG image"),
        (b"\xff\xd8\xff\xd9", "a JPEG image"),
        (b"GIF89a\x03\x00\x04\x00", "a 3x4 GIF image"),
        (b"BM" + bytes(16) + b"\x05\x00\x00\x00\x06\x00\x00\x00", "a 5x6 BMP image"),
        (b"RIFF\x00\x00\x00\x00WEBP", "a WebP image"),
        (b"what", "a unknown image"),
    ],
)
async def test_the_common_image_formats_are_told_apart(client: httpx.AsyncClient, data: bytes, said: str) -> None:
    message = {"role": "user", "content": "what", "images": [base64.b64encode(data).decode()]}
    body = {"model": VISION, "messages": [message], "stream": False}
    assert said in (await client.post("/api/chat", json=body)).json()["message"]["content"]


async def test_a_prompt_beyond_the_context_is_truncated_or_rejected(client: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"model": CHAT, "prompt": "word " * 500, "stream": False, "options": {"num_ctx": 64}}
    assert (await client.post("/api/generate", json=body)).status_code == 200
    refused = await client.post("/api/generate", json={**body, "truncate": False})
    assert json.loads(refused.json()["error"])["error"]["type"] == "exceed_context_size_error"
    unshifted = await client.post("/api/generate", json={**body, "shift": False})
    assert unshifted.json()["error"].startswith("the prompt is longer than the context length")


async def test_the_context_of_an_answer_can_be_continued(client: httpx.AsyncClient) -> None:
    body = {"model": CHAT, "prompt": "hello", "stream": False}
    first = (await client.post("/api/generate", json=body)).json()
    second = (await client.post("/api/generate", json={**body, "context": first["context"]})).json()
    assert second["prompt_eval_count"] == first["prompt_eval_count"] + len(first["context"])
    assert second["context"][: len(first["context"])] == first["context"]


async def test_a_repetition_ends_the_stream_without_its_last_line(
    simulator: Simulator, client: httpx.AsyncClient
) -> None:
    simulator.script(CHAT, Answer(["same"] * 60), Answer(["same"] * 60))
    body = {"model": CHAT, "prompt": "x"}
    streamed = await lines(client, "/api/generate", body)
    assert len(streamed) == 30
    assert not streamed[-1]["done"]
    whole = (await client.post("/api/generate", json={**body, "stream": False})).json()
    assert (whole["done"], "eval_count" in whole) == (False, False)


@pytest.mark.parametrize(("input", "count"), [("", 0), ([], 0), ([""], 1), (["a", "b"], 2), ("one", 1), (None, 0)])
async def test_each_text_gets_a_vector_of_length_one(client: httpx.AsyncClient, input: Any, count: int) -> None:
    answer = (await client.post("/api/embed", json={"model": EMBEDDER, "input": input})).json()
    vectors: list[list[float]] = answer["embeddings"]
    assert len(vectors) == count
    assert all(abs(sum(value * value for value in vector) - 1) < 1e-5 and len(vector) == 768 for vector in vectors)


async def test_similar_texts_have_similar_vectors(client: httpx.AsyncClient) -> None:
    texts = ["the cat sat on the mat", "a cat sits on a mat", "quarterly revenue fell sharply"]
    vectors = (await client.post("/api/embed", json={"model": EMBEDDER, "input": texts})).json()["embeddings"]
    near, far = (sum(a * b for a, b in zip(vectors[0], other, strict=True)) for other in vectors[1:])
    assert near > far + 0.2


async def test_dimensions_shorten_and_renormalize(client: httpx.AsyncClient) -> None:
    body = {"model": EMBEDDER, "input": "hello", "dimensions": 16}
    vector = (await client.post("/api/embed", json=body)).json()["embeddings"][0]
    assert len(vector) == 16
    assert sum(value * value for value in vector) == pytest.approx(1)


@pytest.mark.parametrize("input", [5, [1], ["a", None], {"a": 1}])
async def test_only_text_can_be_embedded(client: httpx.AsyncClient, input: Any) -> None:
    answer = await client.post("/api/embed", json={"model": EMBEDDER, "input": input})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid input type")


async def test_old_embeddings_take_one_prompt(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/embeddings", json={"model": EMBEDDER, "prompt": "hello"})
    assert len(answer.json()["embedding"]) == 768
    long = await client.post("/api/embeddings", json={"model": EMBEDDER, "prompt": "word " * 5000})
    assert long.status_code == 500


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"num_ctx": "big"}, 'option "num_ctx" must be of type integer'),
        ({"use_mmap": 1}, 'option "use_mmap" must be of type boolean'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
        ({"stop": [1]}, 'option "stop" must be of an array of strings'),
    ],
)
async def test_a_wrong_option_type_is_an_internal_error(
    client: httpx.AsyncClient, options: dict[str, Any], text: str
) -> None:
    answer = await client.post("/api/generate", json={"model": CHAT, "prompt": "x", "options": options})
    assert (answer.status_code, answer.json()["error"]) == (500, text)


async def test_options_that_are_unknown_or_null_are_ignored(client: httpx.AsyncClient) -> None:
    options = {"bogus": 1, "mirostat": 2, "seed": None, "num_predict": 2.7, "use_mmap": True}
    body = {"model": CHAT, "prompt": "x", "stream": False, "options": options}
    assert (await client.post("/api/generate", json=body)).json()["eval_count"] == 2


@pytest.mark.parametrize("sampling", [{"top_k": 1}, {"top_p": 0.01}])
async def test_sampling_from_one_candidate_is_deterministic(
    client: httpx.AsyncClient, sampling: dict[str, float]
) -> None:
    texts = {await _text(client, "rivers", num_predict=14, **sampling) for _ in range(4)}
    assert len(texts) == 1
