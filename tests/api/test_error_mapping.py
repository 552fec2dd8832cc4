"""What Ollama, its router and proxies refuse with, and the error that each becomes."""

from __future__ import annotations

import json

import pytest

from ollama_mcp.api import GenerateRequest, OllamaClient
from ollama_mcp.errors import ApiError
from tests.api.raw_server import RawServer, error, response, serving, stream

PROMPT = GenerateRequest(model="llama9", prompt="hi")


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is sent once: the tests of retries are elsewhere."""
    monkeypatch.setattr("ollama_mcp.api.retries.ATTEMPTS", 1)


def nested(code: int, message: str, **more: object) -> str:
    return json.dumps({"error": {"code": code, "message": message, "type": "x", **more}})


async def refused(server: RawServer, operation: str = "generate") -> ApiError:
    """The error of an operation, checked for what holds for all of them."""
    with pytest.raises(ApiError) as caught:
        async with OllamaClient(server.url, name="box") as client:
            match operation:
                case "generate":
                    await client.generate(PROMPT).collect()
                case "pull":
                    await client.pull("llama9").collect()
                case "push":
                    await client.push("me/llama9").collect()
                case "status":
                    await client.status()
                case "web":
                    await client.web_search("x")
                case _:
                    await client.show("llama9")
    failure = caught.value
    assert len(str(failure)) <= 400
    assert failure.next_step
    assert failure.host == server.url
    return failure


TEXTS = [
    (404, "model 'llama9' not found", "model_not_found", "'llama9' is not installed on box"),
    (404, 'model "llama9" not found, try pulling it first', "model_not_found", "not installed"),
    (404, "something else is gone", "model_not_found", "something else is gone"),
    (400, '"llama9" does not support thinking', "unsupported", "does not support thinking"),
    (400, "registry.ollama.ai/library/llama9:latest does not support tools", "unsupported", "support tools"),
    (501, "This server does not support embeddings. Start it with `--embeddings`", "unsupported", "embeddings"),
    (501, "nope", "unsupported", "nope"),
    (500, nested(500, "image input is not supported - hint: mmproj"), "unsupported", "image input is not supported"),
    (400, nested(400, "Multimodal data provided, but model does not support multimodal requests."), "unsupported", ""),
    (400, "the input length exceeds the context length", "too_long", "num_ctx"),
    (400, "input length exceeds maximum context length", "too_long", ""),
    (400, "the prompt is longer than the context length currently available to the model", "too_long", ""),
    (400, nested(400, "request (3602 tokens) exceeds the available context size (512 tokens)"), "too_long", "3602"),
    (413, "request body must not exceed 64 KiB", "too_long", "64 KiB"),
    (413, "no", "too_long", "Send less"),
    (400, "invalid model name", "invalid_argument", "invalid model name"),
    (400, "anything else", "invalid_argument", "anything else"),
    (500, 'option "temperature" must be of type float32', "invalid_argument", "'temperature'"),
    (500, 'invalid format: "xml"; expected "json" or a valid JSON Schema object', "invalid_argument", "xml"),
    (400, 'time: missing unit in duration "5"', "invalid_argument", "missing unit"),
    (400, "typical_p is no longer supported", "invalid_argument", "typical_p"),
    (401, "unauthorized", "unauthorized", "ollama signin"),
    (402, "payment required", "unauthorized", "payment required"),
    (403, "ollama cloud is disabled: remote model is unavailable", "forbidden", "OLLAMA_NO_CLOUD"),
    (403, "not you", "forbidden", "not you"),
    (429, "rate limit exceeded", "busy", "rate limit exceeded"),
    (503, "server busy, please try again.  maximum pending requests exceeded", "busy", "maximum pending"),
    (503, "whatever", "busy", "whatever"),
    (500, "CUDA error: out of memory", "server_error", "not enough memory"),
    (500, "model requires more system memory (9 GiB) than is available (2 GiB)", "server_error", "9 GiB"),
    (500, "llama-server process has terminated: exit status 2", "server_error", "died or did not start"),
    (500, "llama runner process no longer running: 2 error:", "server_error", "died or did not start"),
    (500, 'POST predict: Post "http://127.0.0.1:4021/completion": EOF', "server_error", "died or did not start"),
    (500, 'health resp: Get "http://127.0.0.1:4021/health": dial tcp', "server_error", "died or did not start"),
    (500, "error reading llm response: unexpected EOF", "server_error", "died or did not start"),
    (500, "prediction aborted, token repeat limit reached", "server_error", "repeat_penalty"),
    (500, "write /x: no space left on device", "server_error", "disk of box"),
    (502, 'Post "https://ollama.com:443/api/chat": dial tcp: lookup ollama.com: no such host', "server_error", "reach"),
    (500, "unheard of", "server_error", "unheard of"),
    (500, "{not json", "server_error", "{not json"),
    (500, json.dumps({"error": "plain"}) + "\nout of memory", "server_error", "not enough memory"),
    (500, "\x1b[31mred\u202e\U000e0041", "server_error", "\\x1b[31mred\\u202e\\U000e0041"),
    (500, "long " * 200, "server_error", "…"),
    (500, "open /root/.ollama/models/blobs/sha256-1: denied", "server_error", "<model store>"),
]


@pytest.mark.parametrize(("status", "text", "kind", "words"), TEXTS)
async def test_a_refusal_becomes_the_error_of_its_kind(status: int, text: str, kind: str, words: str) -> None:
    async with serving(error(text, status)) as server:
        failure = await refused(server)
        assert (failure.kind, failure.status) == (kind, status)
        assert words in str(failure)
        assert (failure.endpoint, failure.model) == ("POST /api/generate", "llama9")


@pytest.mark.parametrize(("status", "text", "kind", "words"), [row for row in TEXTS if row[0] in (400, 404, 500)])
async def test_the_same_words_in_a_line_mean_the_same(status: int, text: str, kind: str, words: str) -> None:
    # Servers before v0.12.6 put the status into the line.
    async with serving(stream({"error": text, "status": status})) as server:
        failure = await refused(server)
        assert failure.kind == kind
        assert words in str(failure)


PULLS = [
    ("pull model manifest: file does not exist", "model_not_found", "registry has no model 'llama9'"),
    ("pull model manifest: 412: requires a newer version of Ollama", "unsupported_by_version", "too old"),
    ('pull model manifest: 429: {"errors":[{"code":"TOOMANYREQUESTS"}]}', "busy", "TOOMANYREQUESTS"),
    ('pull model manifest: 500: {"errors":[{"code":"BOOM"}]}', "server_error", "BOOM"),
    ("pull model manifest: open /root/.ollama/id_ed25519: no such file or directory", "unauthorized", "no key"),
    ('pull model manifest: Get "http://127.0.0.1:1/v2": connect: connection refused', "server_error", "reach another"),
    ("blocked redirect to a different host", "server_error", "blocked redirect"),
    ("write: no space left on device", "server_error", "full"),
]


@pytest.mark.parametrize(("text", "kind", "words"), PULLS)
async def test_a_pull_that_failed_tells_the_registrys_faults_apart(text: str, kind: str, words: str) -> None:
    async with serving(stream({"status": "pulling manifest"}, {"error": text})) as server:
        failure = await refused(server, "pull")
        assert failure.kind == kind
        assert words in str(failure)
        assert "/root" not in str(failure)


PUSHES = [
    ("unauthorized: access denied", "unauthorized", "namespace"),
    ('403: {"errors":[{"code":"ACCESS DENIED","message":"access denied"}]}', "unauthorized", "ollama signin"),
    ("open /root/.ollama/models/manifests/x/latest: no such file or directory", "model_not_found", "not installed"),
    ("file does not exist", "model_not_found", "can't be pushed"),
]


@pytest.mark.parametrize(("text", "kind", "words"), PUSHES)
async def test_a_push_that_failed_says_whether_name_or_sign_in_is_wrong(text: str, kind: str, words: str) -> None:
    async with serving(stream({"status": "retrieving manifest"}, {"error": text})) as server:
        failure = await refused(server, "push")
        assert failure.kind == kind
        assert words in str(failure)


@pytest.mark.parametrize("long", ["[" * 60_000, "model '" * 9_000, "<model store> context " * 2_500])
async def test_a_long_text_means_what_its_end_says(long: str) -> None:
    async with serving(response(json.dumps({"error": f"{long}\nthe context is exceeded"}), 500)) as server:
        assert (await refused(server)).kind == "too_long"


async def test_an_error_without_words_still_says_what_failed() -> None:
    async with serving(response('{"error":{}}', 500)) as server:
        failure = await refused(server)
        assert failure.kind == "server_error"
        assert "nothing more" in failure.message


async def test_an_error_of_a_remote_model_is_read_like_others() -> None:
    body = '{"StatusCode":429,"Status":"429 Too Many Requests","error":"slow down"}\n'
    async with serving(response(body, 429, "application/x-ndjson")) as server:
        assert (await refused(server)).kind == "busy"


SIGNINS = [
    ("https://ollama.com/connect?name=a&key=b", True),
    ("http://ollama.com/connect", False),
    ("https://ollama.com.evil.example/connect", False),
    ("https://user@ollama.com/connect", False),
    ("https://ollama.com/\u202e", False),
    ("https://ollama.com/" + "x" * 300, False),
    (987_654_321, False),
]


@pytest.mark.parametrize(("url", "shown"), SIGNINS)
async def test_only_a_sign_in_address_of_ollama_is_passed_on(url: object, shown: bool) -> None:
    async with serving(response(json.dumps({"error": "unauthorized", "signin_url": url}), 401)) as server:
        failure = await refused(server, "web")
        assert failure.kind == "unauthorized"
        assert (str(url) in str(failure)) is shown


RETRIES = [
    ("1", 1.0),
    ("120", 120.0),
    ("0.5", 0.5),
    ("-3", None),
    ("soon", None),
    ("nan", None),
    ("1e12", 86_400.0),
    # Fixed dates: parameters that differ from process to process are different tests to pytest-xdist.
    ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
]


@pytest.mark.parametrize(("header", "seconds"), RETRIES)
@pytest.mark.parametrize("body", ['{"error":"rate limit exceeded"}', "<html>busy</html>"])
async def test_retry_after_is_read_as_number_or_date(header: str, seconds: float | None, body: str) -> None:
    async with serving(response(body, 429, Retry_After=header)) as server:
        failure = await refused(server)
        assert (failure.kind, failure.retry_after) == ("busy", seconds)


async def test_an_empty_403_names_the_host_and_origin_check() -> None:
    async with serving(response("", 403)) as server:
        failure = await refused(server)
        assert failure.kind == "forbidden"
        assert "OLLAMA_HOST" in str(failure)
        assert "OLLAMA_ORIGINS" in str(failure)


@pytest.mark.parametrize(("status", "text"), [(404, "404 page not found"), (405, "405 method not allowed"), (404, "")])
async def test_an_absent_route_names_the_version_that_has_it(status: int, text: str) -> None:
    async with serving(response(text, status, "text/plain")) as server:
        failure = await refused(server, "status")
        assert failure.kind == "unsupported_by_version"
        assert "GET /api/status" in str(failure)
        assert "0.16.2" in str(failure)
        assert "does not have it" in str(await refused(server, "show"))


PROXIES = [
    (404, "text/html", "<h1>Not found</h1>", "bad_answer"),
    (400, "text/html", "<h1>Bad</h1>", "bad_answer"),
    (404, "text/plain", "no such thing", "bad_answer"),
    (401, "text/html", "<h1>Login</h1>", "unauthorized"),
    (502, "text/html", "<h1>Bad Gateway</h1>", "unreachable"),
    (503, "text/plain", "upstream down", "busy"),
    (504, "text/plain", "", "timeout"),
    (500, "text/html", "<h1>Oops</h1>", "server_error"),
]


@pytest.mark.parametrize(("status", "content_type", "body", "kind"), PROXIES)
async def test_a_proxys_page_is_not_echoed(status: int, content_type: str, body: str, kind: str) -> None:
    async with serving(response(body + "x" * 500 if body else body, status, content_type)) as server:
        failure = await refused(server)
        assert failure.kind == kind
        assert "x" * 90 not in str(failure)


async def test_a_plain_request_to_a_tls_port_is_told_to_use_https() -> None:
    async with serving(response("Client sent an HTTP request to an HTTPS server.\n", 400, "text/plain")) as server:
        failure = await refused(server)
        assert failure.kind == "unreachable"
        assert "https://" in failure.next_step


REDIRECTS = [
    ("https://user:secret@evil.example/api/generate?key=secret", "https://evil.example/api/generate"),
    ("http://127.0.0.1:9/api/generate", "http://127.0.0.1:9/api/generate"),
    ("/login?token=secret", "/login"),
    ("", "''"),
]


@pytest.mark.parametrize(("target", "shown"), REDIRECTS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_an_error_that_names_the_target(status: int, target: str, shown: str) -> None:
    async with serving(response("", status, Location=target)) as server:
        failure = await refused(server)
        assert failure.kind == "bad_answer"
        assert shown in failure.message
        assert "secret" not in str(failure)
        assert len(server.requests) == 1


async def test_a_compressed_answer_is_refused_unread() -> None:
    async with serving(response(b"\x1f\x8b" + b"x" * 100, Content_Encoding="gzip")) as server:
        failure = await refused(server)
        assert failure.kind == "bad_answer"
        assert "gzip" in failure.message
        assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("operation", ["generate", "show"])
@pytest.mark.parametrize("body", ["<html>Welcome to nginx</html>", "", "[]"])
async def test_a_web_server_that_is_no_ollama_is_a_bad_answer(body: str, operation: str) -> None:
    async with serving(response(body, 200, "text/html")) as server:
        failure = await refused(server, operation)
        assert failure.kind == "bad_answer"
        assert "box" in failure.message


async def test_long_names_of_host_and_model_do_not_make_the_error_longer() -> None:
    async with serving(error("x" * 300, 500)) as server:
        url = server.url + "/" + "p" * 200
        async with OllamaClient(url, name="n" * 40) as client:
            with pytest.raises(ApiError) as caught:
                await client.show("m" * 400)
        assert len(str(caught.value)) == 400
        assert caught.value.next_step in str(caught.value)
