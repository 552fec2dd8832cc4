"""An Ollama that gives the same answer immediately; raw asyncio, so that it costs less than what is measured.

`python -m bench.fake_ollama` prints its URL and serves until its stdin is closed. With --seconds the answer to
a prompt of several words is the prompt itself, streamed in words over that time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial

_TIMINGS = {"total_duration": 1, "load_duration": 1, "prompt_eval_count": 1, "prompt_eval_duration": 1}
_FIELDS = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop", "eval_count": 1}
_SHOW = {
    "details": {"family": "llama", "parameter_size": "1B", "quantization_level": "Q4_0"},
    "model_info": {"general.architecture": "llama", "llama.context_length": 131_072},
    "capabilities": ["completion", "tools"],
}


def _lines(path: str, streamed: bool) -> Sequence[Mapping[str, object]]:
    answer = {"message": {"role": "assistant", "content": "ok"}} if path == "/api/chat" else {"response": "ok"}
    empty = {"message": {"role": "assistant", "content": ""}} if path == "/api/chat" else {"response": ""}
    last = _FIELDS | _TIMINGS | {"eval_duration": 1}
    return [_FIELDS | answer | {"done": False}, last | empty] if streamed else [last | answer]


def _answer(path: str, body: bytes) -> bytes:
    if path in ("/api/generate", "/api/chat"):
        streamed = json.loads(body).get("stream", True)
        kind = "application/x-ndjson" if streamed else "application/json"
        content = b"".join(json.dumps(line).encode() + b"\n" for line in _lines(path, streamed))
    else:
        kind = "application/json"
        model = {"name": "m", "model": "m", "size": 1, "digest": "0" * 64, "modified_at": _FIELDS["created_at"]}
        known = {"/api/version": {"version": "0.15.0"}, "/api/tags": {"models": [model]}, "/api/show": _SHOW}
        content = json.dumps(known.get(path, {"models": []})).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def _stream_prompt(body: bytes, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Stream the words of the prompt, evenly over the time."""
    words = json.loads(body)["prompt"].split(" ")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
    lines = [_FIELDS | {"response": word, "done": False} for word in [words[0], *(f" {word}" for word in words[1:])]]
    begin = time.monotonic()
    for number, fields in enumerate([*lines, _FIELDS | _TIMINGS | {"eval_duration": 1, "response": ""}]):
        # Against the clock, so that the lag of one line does not add to the next.
        await asyncio.sleep(begin + seconds * number / len(lines) - time.monotonic())
        line = json.dumps(fields).encode() + b"\n"
        writer.write(b"%x\r\n%s\r\n" % (len(line), line))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def _serve(seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            start, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            length = next((int(field[15:]) for field in fields if field.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            path = start.split()[1]
            if seconds and path == "/api/generate" and " " in json.loads(body)["prompt"]:
                await _stream_prompt(body, writer, seconds)
            else:
                writer.write(_answer(path, body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(seconds: float, port: int) -> None:
    server = await asyncio.start_server(partial(_serve, seconds), "127.0.0.1", port, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=0.0)
    options.add_argument("--port", type=int, default=0)
    chosen = options.parse_args()
    asyncio.run(_main(chosen.seconds, chosen.port))
