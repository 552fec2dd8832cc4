"""Connections: made, kept, replaced, given up; and what is said when there is none."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from ollama_mcp.api import ClientTimeouts, EmbedRequest, GenerateRequest, OllamaClient
from ollama_mcp.api.error_mapping import connect_error
from ollama_mcp.api.http_session import RequestInfo
from ollama_mcp.api.transport import FreeListTransport
from ollama_mcp.errors import ApiError, Busy, Interrupted, InvalidArgument, Timeout, Unreachable
from tests.api.failing import failure
from tests.api.raw_server import STREAM_HEAD, generate_chunk, generate_end, response, serving, stream

if TYPE_CHECKING:
    from tests.api.certificates import Authority
    from tests.api.raw_server import Connection, RawRequest, Script

PROMPT = GenerateRequest(model="m", prompt="hi")
VERSION = response('{"version":"0.33.0"}')


async def hang_up(_: RawRequest, connection: Connection) -> None:
    connection.writer.close()


async def reset(_: RawRequest, connection: Connection) -> None:
    connection.writer.transport.abort()


def then_closed(script: Script) -> Script:
    """The script's answer, after which the server closes the idle connection."""

    async def answer(request: RawRequest, connection: Connection) -> None:
        await script(request, connection)
        connection.writer.close()
        await connection.writer.wait_closed()

    return answer


async def test_importing_the_client_does_not_import_the_http_library() -> None:
    code = (
        "import sys; from ollama_mcp.api import OllamaClient; OllamaClient('http://127.0.0.1:1');"
        "sys.exit(any(name in sys.modules for name in ('httpx', 'httpcore', 'h11')))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


async def test_a_refused_connection_is_said_after_three_attempts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert type(error) is Unreachable
    assert "refused" in error.message
    assert "ollama serve" in error.next_step


async def test_a_name_that_does_not_resolve_is_said() -> None:
    error = await failure("http://no-such-host.invalid:11434")
    assert type(error) is Unreachable
    assert "DNS" in error.message


async def test_a_name_that_can_not_be_one_is_said() -> None:
    error = await failure("http://" + "a" * 70 + ".invalid")
    assert type(error) is Unreachable


async def test_a_connection_that_never_comes_about_is_given_up_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            error = await failure(url, ClientTimeouts(connect=0.1))
        finally:
            for one in waiting:
                one.close()
    assert type(error) is Unreachable
    assert "0.1 s" in error.message


async def test_a_v6_address_works_with_its_brackets() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    error = await failure(f"http://[::1]:{port}")
    assert f"http://[::1]:{port}" in error.message
    assert "refused" in error.message


async def test_a_name_of_two_addresses_is_refused_when_none_of_them_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure(f"http://localhost:{taken.getsockname()[1]}")
    assert "refused" in error.message


async def test_all_attempts_of_a_name_of_several_addresses_are_looked_at() -> None:
    where = RequestInfo("http://box", "box", "GET", "/")
    error = OSError("All connection attempts failed")
    error.__cause__ = ExceptionGroup("several", [ConnectionRefusedError(111, "Connection refused")])
    assert "refused" in connect_error(where, error, 5.0).message


async def test_a_host_that_can_not_be_written_in_a_request_is_refused() -> None:
    async with OllamaClient("http://-ü.example") as client:
        with pytest.raises(InvalidArgument, match="is not a URL"):
            await client.version()


async def test_what_the_system_says_about_an_address_is_passed_on() -> None:
    # A link-local address without an interface can't be connected to.
    error = await failure("http://[fe80::1]:11434")
    assert type(error) is Unreachable
    assert "no connection was established" not in error.message


async def test_localhost_is_reached_where_only_one_of_its_addresses_listens() -> None:
    async with serving(VERSION) as server:
        port = server.url.rpartition(":")[2]
        async with OllamaClient(f"http://localhost:{port}") as client:
            assert await client.version() == "0.33.0"


@pytest.mark.parametrize("tls", [False, True])
async def test_a_call_cancelled_at_any_moment_leaves_no_connection(authority: Authority, tls: bool) -> None:
    async def hold(_: RawRequest, connection: Connection) -> None:
        await connection.wait_gone()

    context = authority.server() if tls else None
    async with (
        serving(then_closed(VERSION), hold, tls=context) as server,
        OllamaClient(server.url, ca_file=str(authority.ca)) as client,
    ):
        # The HTTP library is imported and the CA read before it counts.
        await client.version()
        for ticks in range(80):
            call = asyncio.create_task(client.generate(PROMPT).collect())
            for _ in range(ticks):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        async with asyncio.timeout(30):
            for connection in server.connections:
                await connection.gone.wait()
        assert client.requests_in_flight == 0


async def test_an_idle_connection_that_the_server_closed_is_replaced_unseen() -> None:
    async with (
        serving(then_closed(stream(generate_end("a"))), stream(generate_end("b"))) as server,
        OllamaClient(server.url) as client,
    ):
        assert (await client.generate(PROMPT).collect()).text == "a"
        async with asyncio.timeout(30):
            await server.connections[0].gone.wait()
        assert (await client.generate(PROMPT).collect()).text == "b"
        assert len(server.connections) == 2


@pytest.mark.parametrize("break_off", [hang_up, reset])
async def test_a_read_is_repeated_once_when_the_connection_breaks_before_the_answer(break_off: Script) -> None:
    async with serving(break_off, VERSION) as server, OllamaClient(server.url) as client:
        assert await client.version() == "0.33.0"
        assert len(server.requests) == 2
    async with serving(break_off) as server:
        assert type(await failure(server.url)) is Interrupted
        assert len(server.requests) == 2


@pytest.mark.parametrize("break_off", [hang_up, reset])
async def test_a_generation_is_never_repeated(break_off: Script) -> None:
    async with serving(break_off) as server, OllamaClient(server.url) as client:
        with pytest.raises(Interrupted, match="may have been done"):
            await client.generate(PROMPT).collect()
        assert len(server.requests) == 1


async def test_embedding_is_repeated() -> None:
    async with serving(hang_up, response('{"embeddings":[[1.0]]}')) as server, OllamaClient(server.url) as client:
        assert (await client.embed(EmbedRequest(model="m", input="x"))).embeddings == [[1.0]]


async def test_something_that_does_not_speak_http_is_a_bad_answer() -> None:
    async def greet(_: RawRequest, connection: Connection) -> None:
        await connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    async with serving(greet) as server:
        error = await failure(server.url)
        assert error.kind == "bad_answer"
        assert "HTTP" in error.message


async def test_a_call_without_a_model_ends_at_the_total_limit() -> None:
    async def silent(_: RawRequest, connection: Connection) -> None:
        await connection.wait_gone()

    async with serving(silent) as server:
        error = await failure(server.url, ClientTimeouts(total=0.05))
        assert error.kind == "timeout"
        assert "0.05 s" in error.message


async def test_silence_is_never_to_be_looked_into_by_the_very_call_that_met_it() -> None:
    async def silent(_: RawRequest, connection: Connection) -> None:
        await connection.wait_gone()

    limits = ClientTimeouts(first_byte=0.05)
    async with serving(silent) as server, OllamaClient(server.url, timeouts=limits) as client:
        with pytest.raises(Timeout) as quick:
            await client.ps()
        with pytest.raises(Timeout) as slow:
            await client.show("m")
    assert "ollama_list_running" not in quick.value.next_step and "restart" in quick.value.next_step
    assert "ollama_list_running" in slow.value.next_step


def trickling(begin: bytes, piece: bytes, pause: float) -> Script:
    """A script that sends a beginning, then pieces for as long as somebody listens."""

    async def script(_: RawRequest, connection: Connection) -> None:
        await connection.send(begin)
        while not connection.writer.is_closing():
            await connection.send(piece)
            await asyncio.sleep(pause)

    return script


STATUS_LINE = b"HTTP/1.1 200 X\r\n"
TRICKLES = {
    "a header": (trickling(STATUS_LINE + b"X-A: ", b"a", 0.02), "no response"),
    "a status line": (trickling(b"HTTP/1.1 200 ", b"X", 0.02), "no response"),
    "interim responses": (trickling(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.0), "no response"),
    "the size of a chunk": (trickling(STREAM_HEAD + b"5;x=", b"a", 0.02), "no further line"),
}


@pytest.mark.parametrize("what", TRICKLES)
async def test_bytes_that_trickle_in_do_not_keep_a_call_for_ever(what: str) -> None:
    script, words = TRICKLES[what]
    limits = ClientTimeouts(first_byte=0.15, idle=0.15, total=None)
    async with asyncio.timeout(20), serving(script) as server, OllamaClient(server.url, timeouts=limits) as client:
        with pytest.raises(Timeout) as caught:
            await client.generate(PROMPT).collect()
    assert words in caught.value.message
    assert "0.15 s" in caught.value.message


async def test_an_error_that_trickles_in_is_told_by_its_status() -> None:
    script = trickling(b"HTTP/1.1 500 X\r\n\r\n", b"x", 0.02)
    limits = ClientTimeouts(idle=0.15)
    async with asyncio.timeout(20), serving(script) as server, OllamaClient(server.url, timeouts=limits) as client:
        with pytest.raises(ApiError) as caught:
            await client.generate(PROMPT).collect()
    assert caught.value.status == 500


async def test_a_loop_that_is_late_is_not_booked_to_the_host() -> None:
    limits = ClientTimeouts(connect=0.02)
    async with serving(VERSION) as server, OllamaClient(server.url, timeouts=limits) as client:
        asking = asyncio.create_task(client.version())
        # Each turn of the loop takes longer than the limit, as with a thousand calls at once.
        for _ in range(12):
            await asyncio.sleep(0)
            time.sleep(0.03)  # noqa: ASYNC251 # the block is what is tested
        assert await asking == "0.33.0"


async def test_a_document_that_is_too_large_is_not_held() -> None:
    async def flood(_: RawRequest, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 X\r\n\r\n")
        while not connection.writer.is_closing():
            await connection.send(b"x" * 2**20)

    async with serving(flood) as server:
        error = await failure(server.url)
        assert error.kind == "bad_answer"
        assert "64 MB" in error.message


async def test_an_error_body_that_breaks_off_or_never_ends_still_gives_its_status() -> None:
    async def broken(_: RawRequest, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf")
        connection.writer.close()

    async def endless(_: RawRequest, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 500 X\r\n\r\n")
        while not connection.writer.is_closing():
            await connection.send(b"x" * 2**16)

    for script in (broken, endless):
        async with serving(script) as server:
            assert (await failure(server.url)).kind == "server_error"


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    async def echo(request: RawRequest, connection: Connection) -> None:
        await stream(generate_end(request.json["prompt"]))(request, connection)

    async with serving(echo) as server, OllamaClient(server.url) as client:
        prompts = [GenerateRequest(model="m", prompt=str(number)) for number in range(200)]
        answers = await asyncio.gather(*(client.generate(prompt).collect() for prompt in prompts))
        assert [answer.text for answer in answers] == [str(number) for number in range(200)]
        assert client.requests_in_flight == 0


async def test_idle_connections_are_bounded_and_closed_with_the_client() -> None:
    started = asyncio.Barrier(100)

    async def together(request: RawRequest, connection: Connection) -> None:
        if len(server.requests) <= 100:
            await started.wait()
        await stream(generate_end("a"))(request, connection)

    async with serving(together) as server:
        async with OllamaClient(server.url) as client:
            await asyncio.gather(*(client.generate(PROMPT).collect() for _ in range(100)))
            assert len(server.connections) == 100
            gone = [asyncio.ensure_future(connection.gone.wait()) for connection in server.connections]
            for _, closed in zip(range(36), asyncio.as_completed(gone, timeout=5), strict=False):
                await closed
        async with asyncio.timeout(30):
            await asyncio.gather(*(connection.gone.wait() for connection in server.connections))


async def test_an_answer_that_ends_after_the_client_was_closed_leaves_no_connection() -> None:
    async with serving(stream(generate_chunk("a"), generate_end("b"))) as server:
        client = OllamaClient(server.url)
        async with client.generate(PROMPT) as pieces:
            await anext(pieces)
            await client.aclose()
            assert (await anext(pieces)).done
        async with asyncio.timeout(30):
            await server.connections[0].gone.wait()


async def test_connections_that_were_idle_too_long_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ollama_mcp.api.transport.KEEPALIVE_SECONDS", -1.0)
    async with serving(stream(generate_end("a"))) as server, OllamaClient(server.url) as client:
        await client.generate(PROMPT).collect()
        await client.generate(PROMPT).collect()
        assert len(server.connections) == 2


async def test_the_transport_serves_an_ordinary_httpx_client() -> None:
    async def no_tls() -> ssl.SSLContext:
        raise NotImplementedError

    async with serving(response("Ollama is running", 200, "text/plain")) as server:
        async with httpx.AsyncClient(transport=FreeListTransport(no_tls), trust_env=False) as client:
            for _ in range(2):
                assert (await client.get(server.url)).text == "Ollama is running"
        assert len(server.connections) == 1


async def test_too_many_open_files_are_said() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(VERSION) as server, OllamaClient(server.url) as client:
        # Everything is imported before no file can be opened any more.
        await client.version()
        held: list[socket.socket] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    held.append(socket.socket())
            error = await failure("http://127.0.0.1:9")
        finally:
            for one in held:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert type(error) is Busy
