"""The threads that read and write what an event loop cannot watch."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import anyio
import pytest

from ollama_mcp.server.transports.lines import LineEvent, LineReader, LineWriter
from ollama_mcp.server.transports.pipes import ReaderThread, WriterThread


async def test_a_reader_that_is_not_read_from_pauses_its_source() -> None:
    reading, writing = os.pipe()
    reader = LineReader()
    ReaderThread(reading, reader)
    lines = [bytes([65 + n % 26]) * 100_000 for n in range(120)]
    feeder = threading.Thread(target=lambda: [os.write(writing, b"%b\n" % line) for line in lines])
    feeder.start()
    assert [await reader.readline() for _ in lines] == lines
    feeder.join()
    os.close(writing)
    assert await reader.readline() is LineEvent.END
    assert await reader.readline() is LineEvent.END
    os.close(reading)


async def test_a_source_that_cannot_be_read_has_ended(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    reader = LineReader()
    ReaderThread(folder, reader)
    assert await reader.readline() is LineEvent.END
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
    writer = LineWriter(lambda: None)
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
    writer = LineWriter(lost.set)
    WriterThread(writing, writer)
    os.close(reading)
    await writer.write(b"into the void")
    async with asyncio.timeout(30):
        await lost.wait()
    with pytest.raises(anyio.BrokenResourceError):
        await writer.write(b"again")
    await writer.close(10)
    os.close(writing)
