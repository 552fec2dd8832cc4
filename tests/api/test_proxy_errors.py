"""Responses of the proxies in front of Ollama, as those servers send them, and the error that each becomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ollama_mcp.api import GenerateRequest, OllamaClient
from ollama_mcp.errors import ApiError
from tests.api.raw_server import error, head, response, serving

if TYPE_CHECKING:
    from tests.api.raw_server import Connection, RawRequest, Script

REASONS = {
    401: "401 Authorization Required",
    403: "403 Forbidden",
    404: "404 Not Found",
    408: "408 Request Time-out",
    413: "413 Request Entity Too Large",
    429: "429 Too Many Requests",
    499: "499 Client Closed Request",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


def nginx(status: int) -> Script:
    title = REASONS[status]
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx/1.24.0 (Ubuntu)</center>\r\n</body>\r\n</html>\r\n"
    )
    login = {"WWW_Authenticate": 'Basic realm="Ollama"'} if status == 401 else {}
    return response(page, status, "text/html", Server="nginx/1.24.0 (Ubuntu)", **login)


def caddy(status: int) -> Script:
    login = {"WWW-Authenticate": 'Basic realm="restricted"'} if status == 401 else {}
    return raw(head(status, {"Server": "Caddy", "Content-Length": "0", **login}))


def traefik(status: int) -> Script:
    texts = {401: "401 Unauthorized\n", 404: "404 page not found\n", 503: "no available server\n"}
    text = texts.get(status, REASONS[status][4:].replace("Time-out", "Timeout"))
    more = {"WWW_Authenticate": 'Basic realm="traefik"'} if status == 401 else {}
    more |= {"X_Content_Type_Options": "nosniff"} if status in (401, 404) else {}
    return response(text, status, "text/plain; charset=utf-8", **more)


def cloudflare(status: int) -> Script:
    headers = {"Server": "cloudflare", "CF_RAY": "9a1b2c3d4e5f6789-FRA"}
    if status == 429:
        return response("error code: 1015", status, "text/plain; charset=UTF-8", **headers)
    title = REASONS[status]
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center>cloudflare</center>\r\n</body></html>"
    return response(page, status, "text/html; charset=UTF-8", **headers)


def raw(data: bytes) -> Script:
    async def script(_: RawRequest, connection: Connection) -> None:
        await connection.send(data)

    return script


SERVERS = {"nginx": nginx, "Caddy": caddy, "Traefik": traefik, "Cloudflare": cloudflare}
KINDS = {
    401: "unauthorized",
    403: "forbidden",
    404: "bad_answer",
    408: "timeout",
    413: "invalid_argument",
    429: "busy",
    499: "interrupted",
    502: "unreachable",
    503: "busy",
    504: "timeout",
}


async def refused(url: str) -> ApiError:
    async with OllamaClient(url, name="box") as client:
        with pytest.raises(ApiError) as caught:
            await client.generate(GenerateRequest(model="llama9", prompt="hi")).collect()
    assert len(str(caught.value)) <= 400
    return caught.value


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("status", KINDS)
async def test_a_proxys_status_is_about_the_proxy(name: str, status: int) -> None:
    async with serving(SERVERS[name](status)) as server:
        failure = await refused(server.url)
    assert (failure.kind, failure.status) == (KINDS[status], status)
    words = str(failure)
    for wrong in ("llama9", "ollama signin", "num_ctx", "Update Ollama", "argument that it names", "too long"):
        assert wrong not in words
    # An empty 403 may be Ollama's own; Traefik's texts mostly name nobody.
    if (name, status) != ("Caddy", 403) and name != "Traefik":
        assert name in words
    # The status alone was tried, and nothing was sent twice.
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "setting"),
    [("nginx", "client_max_body_size"), ("Caddy", "request_body max_size"), ("Traefik", "client_max_body_size")],
)
async def test_a_limit_on_the_body_names_the_setting_that_lifts_it(name: str, setting: str) -> None:
    async with serving(SERVERS[name](413)) as server:
        failure = await refused(server.url)
    assert setting in failure.next_step
    assert "bytes" in failure.message


@pytest.mark.parametrize("name", SERVERS)
async def test_a_login_of_the_proxy_names_the_settings_that_answer_it(name: str) -> None:
    async with serving(SERVERS[name](401)) as server:
        failure = await refused(server.url)
    assert "api_key" in failure.next_step
    assert "headers" in failure.next_step


GATEWAYS: list[tuple[int, str, dict[str, str]]] = [
    (407, "{}", {}),
    (401, '{"error":"unauthorized"}', {"WWW_Authenticate": "Bearer"}),
    (401, '{"error":{"message":"No api key passed in.","type":"auth_error"}}', {}),
    (401, '{"message":"No API key found in request"}', {}),
    (401, '{"detail":"Not authenticated"}', {}),
]


@pytest.mark.parametrize(("status", "body", "headers"), GATEWAYS)
async def test_a_gateway_that_asks_for_a_login_in_json_is_no_ollama(
    status: int, body: str, headers: dict[str, str]
) -> None:
    async with serving(response(body, status, **headers)) as server:
        failure = await refused(server.url)
    assert failure.kind == "unauthorized"
    assert "api_key" in failure.next_step


@pytest.mark.parametrize("status", [520, 521, 522, 523, 525, 526, 530])
async def test_cloudflares_own_statuses_mean_that_nothing_answers_behind_it(status: int) -> None:
    body = f"error code: {status}"
    async with serving(response(body, status, "text/plain; charset=UTF-8", CF_RAY="9a1b-FRA")) as server:
        failure = await refused(server.url)
    assert failure.kind == "unreachable"
    assert "Cloudflare" in failure.message


@pytest.mark.parametrize(
    ("status", "text", "kind", "words"),
    [
        (404, "model 'llama9' not found", "model_not_found", "not installed"),
        (401, "unauthorized", "unauthorized", "ollama signin"),
        (413, "request body must not exceed 64 KiB", "too_long", "64 KiB"),
        (499, "request canceled", "interrupted", "request canceled"),
        (503, "server busy, please try again.  maximum pending requests exceeded", "busy", "maximum pending"),
    ],
)
async def test_ollamas_own_words_stay_ollamas_behind_a_proxy(status: int, text: str, kind: str, words: str) -> None:
    async with serving(error(text, status, Server="nginx/1.24.0", Via="1.1 Caddy", CF_RAY="9a-FRA")) as server:
        failure = await refused(server.url)
    assert failure.kind == kind
    assert words in str(failure)


async def test_ollamas_router_is_known_behind_a_proxy() -> None:
    missing = response("404 page not found", 404, "text/plain", Server="nginx/1.24.0")
    async with serving(missing) as server, OllamaClient(server.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.status()
    assert caught.value.kind == "unsupported_by_version"


@pytest.mark.parametrize("path", ["/api", "/v1", "/api/", "/ollama/api", "/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("missing", [response("404 page not found", 404, "text/plain"), nginx(404), traefik(404)])
async def test_an_address_that_goes_on_into_the_api_is_to_be_cut(path: str, missing: Script) -> None:
    async with serving(missing) as server:
        failure = await refused(server.url + path)
        prefix = "/ollama" if path.startswith("/ollama") else ""
        assert failure.kind == "bad_answer"
        expected = f"Leave {path.removeprefix('/ollama').rstrip('/')} off the host's address: {server.url}{prefix}."
        assert expected in failure.next_step


async def test_a_404_of_something_else_is_no_missing_model() -> None:
    body = json.dumps({"timestamp": 1, "status": 404, "error": "Not Found", "path": "/api/tags"})
    async with serving(response(body, 404)) as server, OllamaClient(server.url) as client:
        with pytest.raises(ApiError) as caught:
            await client.tags()
    assert caught.value.kind == "bad_answer"


async def test_a_file_that_is_not_there_is_told_behind_a_proxy_too() -> None:
    missing = raw(head(404, {"Server": "Caddy", "Content-Length": "0"}))
    async with serving(missing) as server, OllamaClient(server.url + "/api") as client:
        assert not await client.blob_exists("sha256:" + "0" * 64)


MAPS = [
    (
        "llama-server chat error: map[code:500 message:The model produced output that does not match the expected "
        "peg-native format type:server_error]",
        "server_error",
        "without tools",
    ),
    (
        "llama-server chat error: map[code:400 message:request (3602 tokens) exceeds the available context size (512 "
        "tokens), try increasing it n_ctx:512 n_prompt_tokens:3602 type:exceed_context_size_error]",
        "too_long",
        "3602 tokens",
    ),
    ("error: map[error:map[code:500 message:boom [x] type:server_error]]", "server_error", "'error: boom [x]'"),
    ("no map[here at all", "server_error", "no map[here at all"),
]


@pytest.mark.parametrize(("text", "kind", "words"), MAPS)
async def test_an_error_that_go_printed_as_a_map_is_unpacked(text: str, kind: str, words: str) -> None:
    async with serving(error(text, 500)) as server:
        failure = await refused(server.url)
    assert failure.kind == kind
    assert words in str(failure).replace('"', "'")
    assert "map[code" not in str(failure)
    assert "type:" not in str(failure)


async def test_a_processor_that_ollama_was_not_built_for_gets_its_own_advice() -> None:
    async with serving(error("llama runner process has terminated: signal: illegal instruction", 500)) as server:
        failure = await refused(server.url)
    assert failure.kind == "server_error"
    assert "processor" in failure.message
    assert "smaller model" not in failure.next_step


async def test_a_deadline_is_no_length() -> None:
    text = 'Post "http://127.0.0.1:39123/completion": context deadline exceeded (Client.Timeout exceeded)'
    async with serving(error(text, 500)) as server:
        assert (await refused(server.url)).kind == "server_error"


async def test_an_empty_stream_of_ollama_is_an_empty_answer() -> None:
    empty = response("", 200, "application/x-ndjson")
    async with serving(empty) as server:
        failure = await refused(server.url)
    assert failure.kind == "interrupted"
    assert "empty" in failure.message
    assert "address" not in str(failure)
