"""Answers recorded from real Ollama servers, byte for byte over a socket, and what the client makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from ollama_mcp.api import (
    ChatMessage,
    ChatRequest,
    CreateRequest,
    EmbeddingsRequest,
    EmbedRequest,
    GenerateRequest,
    OllamaClient,
)
from ollama_mcp.errors import ApiError
from ollama_mcp.formats.escaping import redact_paths
from tests.api.raw_server import END, chunk, head, response, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.api.raw_server import Connection, RawRequest, Script

FOLDER = Path(__file__).parents[1] / "recordings"
# The client has no method for these; they are recorded for what the server says about them.
NOT_OURS = {"/api/nope", "/v1/models", "/api/signout", "/api/web_search", "/v1/chat/completions", "/v1/embeddings"}


@dataclass
class Recording:
    name: str
    method: str
    path: str
    sent: dict[str, Any]
    status: int
    headers: dict[str, str]
    lines: list[str] | None
    body: str

    @property
    def pieces(self) -> list[bytes]:
        """The bytes of the answer: each recorded line a chunk, as it was flushed."""
        if self.lines is None:
            data = self.body.encode()
            kept = {name: value for name, value in self.headers.items() if name == "content-type"}
            return [head(self.status, {**kept, "content-length": str(len(data))}), data]
        chunks = [chunk(line.encode() + b"\n") for line in self.lines]
        return [head(self.status, self.headers), *chunks, END]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON of the answer."""
        texts = self.lines if self.lines is not None else [self.body]
        return [json.loads(text) for text in texts if text.startswith("{") and not self.is_cut]

    @property
    def is_cut(self) -> bool:
        """Whether the recorder kept only the beginning of a long answer."""
        return self.body.endswith("…")

    def play(self) -> Script:
        async def script(request: RawRequest, connection: Connection) -> None:
            if request.path == "/api/version":
                await response('{"version":"0.0.0"}')(request, connection)
            elif request.method == "HEAD" and self.method == "POST" and self.status >= 400:
                await response("", 404)(request, connection)
            else:
                await connection.send(*(self.pieces[:1] if request.method == "HEAD" else self.pieces))

        return script


@cache
def recordings() -> dict[str, Recording]:
    found: dict[str, Recording] = {}
    for file in sorted(FOLDER.glob("*/*.json")):
        data = json.loads(file.read_text(encoding="utf-8"))
        request, response = data["request"], data["response"]
        sent: object = request.get("json")
        lines = response.get("lines")
        name = f"{file.parent.name}/{file.stem}"
        found[name] = Recording(
            name,
            request["method"],
            request["path"],
            cast("dict[str, Any]", sent) if isinstance(sent, dict) else {},
            response["status"],
            response["headers"],
            [line["line"] for line in lines] if lines is not None else None,
            response.get("body", ""),
        )
    return found


# Left by the recording client, or an older server that ignored what was asked.
UNLIKE = ("generate_disconnect", "v0.5.7/generate_logprobs", "v0.5.7/generate_logprobs_too_many")
# Which kind each refusal is; a name with its generation wins.
KINDS = """
model_not_found chat_missing_model copy_missing delete_missing embed_missing_model generate_missing_model
    generate_no_model pull_not_found pull_not_found_nostream push_missing v0.5.7/push_bad_name show_missing
    062-post-generate 063-post-chat 064-post-embed 065-post-embeddings 066-post-show 067-post-copy 068-post-generate
    070-post-embed 102-post-push 114-delete-delete
unsupported chat_tool_role chat_tools chat_tools_unsupported embed_with_chat_model generate_images_unsupported
    generate_suffix_unsupported generate_think_unsupported generate_with_embed_model 078-post-chat 079-post-generate
    080-post-embed 081-post-embeddings 082-post-chat 083-post-chat 085-post-generate 095-post-chat
too_long embed_too_long_error generate_prompt_too_long 060-post-embed 061-post-embeddings 096-post-chat
    097-post-generate
unauthorized pull_denied v0.33/experimental_web_fetch v0.33/experimental_web_search
forbidden cors_foreign_origin host_header_foreign 110-get-tags 111-get-tags
busy pull_rate_limited
unsupported_by_version experimental_web_fetch experimental_web_search v0.5.7/me v0.5.7/status
    v0.5.7/generate_logprobs v0.5.7/generate_logprobs_too_many
interrupted generate_disconnect
bad_answer 029-post-show
server_error create_from_missing embed_too_long_truncated me pull_insecure_refused pull_registry_down
    v0.17.7/generate_format_class pull_registry_error
    098-post-chat 100-post-pull 101-post-pull 103-post-web_search 104-post-me
invalid_argument blob_post_bad_digest_form blob_post_wrong_digest chat_tool_calls_bad_arguments copy_bad_name
    copy_no_fields create_bad_name create_bad_template create_missing_blob create_no_model create_nothing
    create_old_modelfile_field create_quantize_bad create_quantize_q8 delete_no_model embed_wrong_type
    chat_format_true generate_bad_json generate_bad_option_type generate_empty_body generate_format_bad
    generate_format_class generate_format_not_anchored generate_format_true generate_images_not_base64
    generate_keep_alive_bad generate_logprobs_too_many generate_think_bad generate_wrong_type pull_bad_name
    push_bad_name show_no_body show_no_model 023-post-create 069-post-chat 071-post-embeddings 072-post-show
    073-post-pull 074-post-push 075-post-create 076-post-generate 077-post-chat 084-post-chat 086-post-chat
    087-post-chat 088-post-generate 089-post-generate 090-post-generate 091-post-generate 092-post-generate
    093-post-generate 094-post-generate 099-post-chat 107-post-chat-bad-json
"""
KIND = {name: line.split()[0] for line in KINDS.replace("\n    ", " ").splitlines() for name in line.split()[1:]}


def ours(recording: Recording) -> bool:
    return recording.path not in NOT_OURS and not recording.name.endswith(("method_not_allowed", "108-put-tags"))


def call(client: OllamaClient, recording: Recording) -> Awaitable[object]:
    """The client's method for a recorded request, with arguments that it takes."""
    model, stream = str(recording.sent.get("model") or recording.sent.get("name") or ""), recording.lines is not None
    logprobs = recording.sent.get("logprobs") is True or None
    match recording.path:
        case "/":
            return client.ping()
        case "/api/version":
            return client.version()
        case "/api/status":
            return client.status()
        case "/api/tags":
            return client.tags()
        case "/api/ps":
            return client.ps()
        case "/api/me":
            return client.me()
        case "/api/show":
            return client.show(model)
        case "/api/copy":
            return client.copy("a", "b")
        case "/api/delete":
            return client.delete(model)
        case "/api/generate":
            return client.generate(GenerateRequest(model=model, stream=stream, logprobs=logprobs)).collect()
        case "/api/chat":
            messages = [ChatMessage(role="user", content="hi")]
            return client.chat(ChatRequest(model=model, messages=messages, stream=stream)).collect()
        case "/api/embed":
            return client.embed(EmbedRequest(model=model, input="x"))
        case "/api/embeddings":
            return client.embeddings(EmbeddingsRequest(model=model, prompt="x"))
        case "/api/create":
            return client.create(CreateRequest(model=model, from_="x")).collect()
        case "/api/pull":
            return client.pull(model).collect()
        case "/api/push":
            return client.push(model).collect()
        case "/api/experimental/web_search":
            return client.web_search("x")
        case "/api/experimental/web_fetch":
            return client.web_fetch("x")
        case "/api/experimental/model-recommendations":
            return client.recommendations()
        case path if path.startswith("/api/blobs/") and recording.method == "HEAD":
            return client.blob_exists(path.removeprefix("/api/blobs/"))
        case path if path.startswith("/api/blobs/"):
            return client.push_blob("sha256:" + "0" * 64, b"")
        case path:
            raise AssertionError(f"{recording.name}: the client has no method for {path}")


NAMES = [name for name, recording in recordings().items() if ours(recording)]


def is_fine(recording: Recording) -> bool:
    """Whether the answer is whole and without an error."""
    whole_answer = recording.status in (200, 201) and not recording.is_cut and recording.body != "null"
    return whole_answer and not recording.name.endswith(UNLIKE) and not any("error" in one for one in recording.objects)


FINE = [name for name in NAMES if is_fine(recordings()[name])]
MISSING = [name for name in NAMES if name.endswith("/blob_head_missing")]
FAILED = [name for name in NAMES if name not in FINE and name not in MISSING]


async def test_there_are_recordings_of_every_generation() -> None:
    assert {name.partition("/")[0] for name in recordings()} == {"v0.5.7", "v0.17.7", "v0.33", "v0.33-scripted"}
    assert len(FINE) > 200
    assert len(FAILED) > 200


@pytest.mark.parametrize("name", FINE)
async def test_a_recorded_success_is_read_in_full(name: str) -> None:
    recording = recordings()[name]
    async with serving(recording.play()) as server, OllamaClient(server.url) as client:
        if recording.path in ("/api/generate", "/api/chat") and not recording.objects[-1].get("done"):
            # The guard against repetition ended it without a last line.
            with pytest.raises(ApiError) as caught:
                await call(client, recording)
            assert caught.value.kind == "interrupted"
            return
        result = await call(client, recording)
        assert told(result) == expected(recording)


def told(result: object) -> object:
    """What of a result is compared with the recorded bytes."""
    match result:
        case list():
            items = cast("list[Any]", result)
            return [getattr(item, "name", None) or getattr(item, "model", item) for item in items]
        case _ if hasattr(result, "text"):
            answer = cast("Any", result)
            whole_text = answer.thinking + answer.text
            calls = [(one.name, one.arguments) for one in answer.tool_calls]
            return whole_text, calls, len(answer.logprobs), answer.stats.eval_count, answer.done_reason
        case _ if hasattr(result, "model_dump"):
            card = cast("Any", result)
            return {
                name: getattr(card, name) for name in ("modelfile", "embeddings", "embedding") if hasattr(card, name)
            }
        case _ if hasattr(result, "status"):
            return cast("Any", result).status
        case _:
            return result


def expected(recording: Recording) -> object:
    """The same, read from the recorded bytes without the client."""
    objects = recording.objects
    answer = objects[-1] if objects else {}
    match recording.path:
        case "/api/tags" | "/api/ps":
            return [entry["name"] for entry in answer["models"]]
        case "/api/experimental/model-recommendations":
            return [entry["model"] for entry in answer["recommendations"]]
        case "/api/generate" | "/api/chat":
            pieces = [one.get("message", {"content": one.get("response"), **one}) for one in objects]
            text = "".join(one.get("thinking", "") for one in pieces) + "".join(one["content"] for one in pieces)
            calls = [one["function"] for piece in pieces for one in piece.get("tool_calls") or ()]
            logprobs = sum(len(one.get("logprobs") or ()) for one in objects)
            named = [(one["name"], one["arguments"]) for one in calls]
            return without_tags(text), named, logprobs, answer.get("eval_count"), answer.get("done_reason")
        case "/api/show" | "/api/embed" | "/api/embeddings":
            return {key: answer[key] for key in ("modelfile", "embeddings", "embedding") if key in answer}
        case "/api/create" | "/api/pull" | "/api/push":
            return "success"
        case "/api/version":
            return "0.0.0"
        case "/":
            return None
        case "/api/copy" | "/api/delete":
            return None
        case path if path.startswith("/api/blobs/"):
            # The host has what it answers 200 for, so nothing is uploaded then.
            return recording.method == "HEAD"
        case _:
            return {}


def without_tags(text: str) -> str:
    if text.lstrip().startswith("<think>"):
        thinking, _, answer = text.lstrip().removeprefix("<think>").partition("</think>")
        return thinking.lstrip("\n") + answer.lstrip()
    return text


@pytest.mark.parametrize("name", FAILED)
async def test_a_recorded_failure_is_told_apart(name: str) -> None:
    recording = recordings()[name]
    async with serving(recording.play()) as server, OllamaClient(server.url) as client:
        with pytest.raises(ApiError) as caught:
            await call(client, recording)
    error = caught.value
    assert error.kind == (KIND.get(name) or KIND[name.partition("/")[2]])
    assert len(str(error)) <= 400
    assert error.next_step
    assert "/usr/share" not in str(error)
    words = upstream(recording)
    if words and error.kind not in ("unsupported_by_version", "interrupted", "bad_answer"):
        assert error.detail == redact_paths(words)


@pytest.mark.parametrize("name", MISSING)
async def test_a_blob_that_is_not_there_is_no_error(name: str) -> None:
    recording = recordings()[name]
    async with serving(recording.play()) as server, OllamaClient(server.url) as client:
        assert await call(client, recording) is False


def upstream(recording: Recording) -> str:
    """Ollama's own words in a recorded failure."""
    words = recording.objects[-1].get("error", "") if recording.objects else ""
    if isinstance(words, str) and words.startswith("{"):
        return json.loads(words)["error"]["message"]
    return words if isinstance(words, str) else ""
