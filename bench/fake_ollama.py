"""An Ollama that always gives the same answer; raw asyncio, so that it costs less than what is measured.

`python -m bench.fake_ollama [--tokens N --seconds S]` prints its URL and serves until its stdin is closed. By default
it answers at once; with the options it writes N tokens one by one in S seconds, each a line of a stream of its own, as
a GPU does. A request that asks for fewer (num_predict) gets those in the same time. With --echo the answer to a prompt
of several words is the prompt itself, streamed in words; to one word it answers at once. With --slots N it works on so
many at a time, and the others wait; with --spread 0.5 an answer takes, by its request, up to half of the time less or
more. With --note FILE the answer to a chat is its last message, after S seconds, and FILE gets a byte for each that
begins. /asked tells how many requests for an answer have come, each with another prompt.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from zlib import crc32

_TIMINGS = {"total_duration": 1, "load_duration": 1, "prompt_eval_count": 1, "prompt_eval_duration": 1}
_FIELDS = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop"}
_SHOW = {
    "details": {"family": "llama", "parameter_size": "1B", "quantization_level": "Q4_0"},
    "model_info": {"general.architecture": "llama", "llama.context_length": 131_072},
    "capabilities": ["completion", "tools", "embedding"],
}
_LETTERS = "ABCDEFGHJKLMNOPQRSTU"
_TOP = [{"token": letter, "logprob": -0.1 - place, "bytes": [65]} for place, letter in enumerate(_LETTERS)]
_LOGPROBS = [{"token": "A", "logprob": -0.1, "bytes": [65], "top_logprobs": _TOP}]
_VECTOR = [0.125] * 256
_asked: set[int] = set()


def _words(path: str, text: str, asked: Mapping[str, Any]) -> dict[str, object]:
    if path == "/api/generate":
        return {"response": text}
    words: dict[str, object] = {"message": {"role": "assistant", "content": text}}
    return words | {"logprobs": _LOGPROBS} if asked.get("logprobs") and text else words


def _last(path: str, text: str, tokens: int, asked: Mapping[str, Any]) -> bytes:
    return _line(_FIELDS | _TIMINGS | {"eval_count": tokens, "eval_duration": 1} | _words(path, text, asked))


def _line(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


async def _complete(writer: asyncio.StreamWriter, path: str, body: bytes, tokens: int, seconds: float) -> None:
    begin = time.monotonic()
    _asked.add(hash(body))
    asked: dict[str, Any] = json.loads(body)
    limit = asked.get("options", {}).get("num_predict", tokens)
    tokens = min(tokens, limit) if limit > 0 else tokens
    word = "ok" if tokens == 1 else "A" if asked.get("logprobs") else "ok "
    if not asked.get("stream", True):
        await _until(begin + seconds)
        writer.write(_whole(_last(path, word * tokens, tokens, asked)))
        return
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    part = _chunk(_line(_FIELDS | {"done": False} | _words(path, word, asked)))
    for number in range(1, tokens + 1):
        await _until(begin + seconds * number / tokens)
        writer.write(head + part)
        head = b""
    writer.write(_chunk(_last(path, "", tokens, asked)) + b"0\r\n\r\n")


async def _until(moment: float) -> None:
    if (left := moment - time.monotonic()) > 0:
        await asyncio.sleep(left)


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def _whole(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )


def _answer(path: str, body: bytes) -> bytes:
    if path == "/api/embed":
        texts: list[str] = json.loads(body)["input"]
        return _whole(json.dumps({"model": "m", "embeddings": [_VECTOR for _ in texts]}).encode())
    model = {"name": "m", "model": "m", "size": 1, "digest": "0" * 64, "modified_at": _FIELDS["created_at"]}
    loaded = model | {"size_vram": 1, "context_length": 4_096, "expires_at": "2099-01-01T00:00:00Z"}
    known = {
        "/api/version": {"version": "0.15.0"},
        "/api/tags": {"models": [model]},
        "/api/show": _SHOW,
        "/api/ps": {"models": [loaded]},
        "/asked": {"count": len(_asked)},
    }
    return _whole(json.dumps(known.get(path, {"models": []})).encode())


async def _stream_prompt(body: bytes, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Stream the words of the prompt, evenly over the time."""
    words = json.loads(body)["prompt"].split(" ")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
    lines = [_FIELDS | {"response": word, "done": False} for word in [words[0], *(f" {word}" for word in words[1:])]]
    begin = time.monotonic()
    for number, fields in enumerate([*lines, _FIELDS | _TIMINGS | {"eval_duration": 1, "response": ""}]):
        # Against the clock, so that the lag of one line does not add to the next.
        await _until(begin + seconds * number / len(lines))
        writer.write(_chunk(_line(fields)))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def _say_back(body: bytes, writer: asyncio.StreamWriter, note: int, seconds: float) -> None:
    """Answer with what was said last; noted before, since whoever ends this process wants to know what it was asked."""
    os.write(note, b".")
    asked: dict[str, Any] = json.loads(body)
    await asyncio.sleep(seconds)
    line = _last("/api/chat", asked["messages"][-1]["content"], 1, {})
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head + _chunk(line) + b"0\r\n\r\n" if asked.get("stream", True) else _whole(line))


async def _serve(
    options: argparse.Namespace, slots: asyncio.Semaphore, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while True:
            start, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            length = next((int(field[15:]) for field in fields if field.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            path = start.split()[1]
            if options.echo and path == "/api/generate" and " " in json.loads(body)["prompt"]:
                await _stream_prompt(body, writer, options.seconds)
            elif options.note and path == "/api/chat":
                await _say_back(body, writer, options.note, options.seconds)
            elif path in ("/api/generate", "/api/chat"):
                seconds = options.seconds * (1 + options.spread * (crc32(body) % 1_000 / 500 - 1))
                async with slots:
                    await _complete(writer, path, body, options.tokens, 0.0 if options.echo else seconds)
            else:
                writer.write(_answer(path, body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(options: argparse.Namespace) -> None:
    if options.note:
        options.note = os.open(options.note, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    slots = asyncio.Semaphore(options.slots)
    server = await asyncio.start_server(partial(_serve, options, slots), "127.0.0.1", options.port, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=sys.maxsize)
    parser.add_argument("--spread", type=float, default=0.0)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--note", default="")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_main(parser.parse_args()))
