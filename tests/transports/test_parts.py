"""The parts of the transports that a whole server shows too rarely."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.server.transports.body import Message, Receive, Scope, Send
from ollama_mcp.server.transports.exchange import answer
from ollama_mcp.server.transports.guard import Guard
from ollama_mcp.server.transports.lines import LineReader, LineSplitter, Odd
from ollama_mcp.server.transports.sdk import without_idle_tracing
from ollama_mcp.server.transports.signals import stopping_on_signals
from ollama_mcp.server.transports.threads import ReaderThread, WriterThread
from ollama_mcp.server.transports.writer import Writer
from ollama_mcp.settings.http import HttpSettings
from tests.transports.sample import Journal, sample_server


@given(st.lists(st.binary(max_size=12)), st.integers(1, 8))
def test_lines_do_not_depend_on_how_the_bytes_were_cut(chunks: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    found = [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()
    whole = b"".join(chunks).split(b"\n")
    expected = [line if len(line) <= limit else Odd.TOO_LONG for line in whole]
    assert found == (expected if whole[-1] else expected[:-1])


async def test_a_reader_that_is_not_read_from_pauses_its_source() -> None:
    reading, writing = os.pipe()
    reader = LineReader()
    ReaderThread(reading, reader)
    lines = [bytes([65 + n % 26]) * 100_000 for n in range(120)]
    feeder = threading.Thread(target=lambda: [os.write(writing, b"%b\n" % line) for line in lines])
    feeder.start()
    assert [await reader.next() for _ in lines] == lines
    feeder.join()
    os.close(writing)
    assert await reader.next() is Odd.END
    assert await reader.next() is Odd.END
    os.close(reading)


async def test_a_source_that_cannot_be_read_has_ended(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    reader = LineReader()
    ReaderThread(folder, reader)
    assert await reader.next() is Odd.END
    os.close(folder)


def test_a_reading_thread_ends_when_its_loop_has_gone() -> None:
    reading, writing = os.pipe()

    async def start() -> None:
        ReaderThread(reading, LineReader())

    asyncio.run(start())
    thread = next(each for each in threading.enumerate() if each.name == "stdin")
    os.write(writing, b"too late\n")
    thread.join(10)
    assert not thread.is_alive()
    os.close(writing)
    os.close(reading)


async def test_a_writing_thread_slows_its_callers_down_and_keeps_order() -> None:
    reading, writing = os.pipe()
    writer = Writer(lambda: None)
    WriterThread(writing, writer)
    sent = [b"%d" % number * 30_000 for number in range(10)]
    received = asyncio.create_task(asyncio.to_thread(read_exactly, reading, sum(map(len, sent))))
    for data in sent:
        await writer.write(data)
    assert await received == b"".join(sent)
    await writer.close(10)
    with pytest.raises(anyio.BrokenResourceError):
        await writer.write(b"closed")
    os.close(writing)
    os.close(reading)


def read_exactly(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(descriptor, 65_536)
    return data


async def test_a_writer_whose_reader_has_gone_says_so_once() -> None:
    reading, writing = os.pipe()
    lost = asyncio.Event()
    writer = Writer(lost.set)
    WriterThread(writing, writer)
    os.close(reading)
    await writer.write(b"into the void")
    async with asyncio.timeout(10):
        await lost.wait()
    with pytest.raises(anyio.BrokenResourceError):
        await writer.write(b"again")
    await writer.close(10)
    os.close(writing)


async def test_closing_does_not_wait_for_a_reader_that_never_reads() -> None:
    reading, writing = os.pipe()
    writer = Writer(lambda: None)
    loop = asyncio.get_running_loop()
    await loop.connect_write_pipe(lambda: writer, os.fdopen(writing, "wb", buffering=0))
    await writer.write(b"x" * 1_000_000)
    blocked = asyncio.create_task(writer.write(b"y"))
    await asyncio.sleep(0)
    writer.hurry()
    await blocked
    await writer.close(0.05)
    await asyncio.sleep(0)  # asyncio closes the pipe in its next step
    os.close(reading)


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    entered: list[bool] = []

    async def serve() -> None:
        with stopping_on_signals(lambda: None):
            entered.append(True)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    thread.join(10)
    assert entered == [True]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    import resource

    from ollama_mcp.server.transports.limits import raise_open_files

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        raise_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_tracing_stays_where_somebody_installed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = sample_server(Journal())
    before = len(server.middleware)
    with monkeypatch.context() as patched:
        (tmp_path / "opentelemetry" / "sdk").mkdir(parents=True)
        patched.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]  # pytest's stub says Any
        without_idle_tracing(server)
        assert len(server.middleware) == before
    without_idle_tracing(server)
    assert len(server.middleware) == before - 1


class Asked:
    """One ASGI request to a guard, and what it answered."""

    def __init__(self, **fields: Any) -> None:
        self.scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": "/mcp",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            **fields,
        }
        self.sent: list[Message] = []
        self.arrived = asyncio.Event()

    async def receive(self) -> Message:
        self.arrived.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]


def guarded(app: Any) -> Guard:
    async def ready() -> bool:
        return True

    return Guard(app, HttpSettings(), ready)


async def test_an_application_that_breaks_is_one_line_and_a_server_error(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("secret")

    asked = Asked()
    with caplog.at_level(logging.WARNING):
        await guarded(broken)(asked.scope, asked.receive, asked.send)
    assert asked.status == 500
    assert [record.getMessage() for record in caplog.records] == ["500 to GET '/mcp' from 127.0.0.1"]
    assert "secret" not in caplog.text


async def test_an_application_that_breaks_midway_is_left_unfinished() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("x")

    asked = Asked()
    await guarded(broken)(asked.scope, asked.receive, asked.send)
    assert [message["type"] for message in asked.sent] == ["http.response.start"]


async def test_a_guard_that_was_stopped_refuses_new_requests_and_ends_old_ones() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"
        await asyncio.Event().wait()

    guard, old, new = guarded(deaf), Asked(), Asked()
    serving = asyncio.create_task(guard(old.scope, old.receive, old.send))
    await old.arrived.wait()
    guard.stop()
    await guard(new.scope, new.receive, new.send)
    await serving
    assert (old.status, new.status) == (503, 503)


async def test_a_client_that_leaves_while_it_sends_gets_nothing() -> None:
    asked = Asked(method="POST")

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    await guarded(None)(asked.scope, gone, asked.send)
    assert asked.sent == []


async def test_a_short_answer_has_its_length() -> None:
    asked = Asked()
    await answer(asked.send, 200, "ähm")
    assert (b"content-length", b"4") in asked.sent[0]["headers"]
