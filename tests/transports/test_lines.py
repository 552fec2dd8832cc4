"""Lines of a byte stream: splitting, and a writer that does not wait for a slow reader at the end."""

from __future__ import annotations

import asyncio
import os

from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.server.transports.lines import LineEvent, LineSplitter, LineWriter


@given(st.lists(st.binary(max_size=12)), st.integers(1, 8))
def test_lines_do_not_depend_on_how_the_bytes_were_cut(chunks: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    found = [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()
    whole = b"".join(chunks).split(b"\n")
    expected = [line if len(line) <= limit else LineEvent.TOO_LONG for line in whole]
    assert found == (expected if whole[-1] else expected[:-1])


async def test_closing_does_not_wait_for_a_reader_that_never_reads() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(lambda: None)
    loop = asyncio.get_running_loop()
    await loop.connect_write_pipe(lambda: writer, os.fdopen(writing, "wb", buffering=0))
    await writer.write(b"x" * 1_000_000)
    blocked = asyncio.create_task(writer.write(b"y"))
    await asyncio.sleep(0)
    writer.ignore_backpressure()
    await blocked
    await writer.close(0.05)
    await asyncio.sleep(0)  # asyncio closes the pipe in its next step
    os.close(reading)
