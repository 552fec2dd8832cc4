"""An Ollama that always gives the same answer immediately; raw asyncio, so that it costs less than what is measured.

`python -m bench.fake_ollama` prints its URL and serves until its stdin is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence

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
        # Whatever has answered is loaded.
        running = model | {"context_length": 4096, "size_vram": 0, "expires_at": "2030-01-01T00:00:00Z"}
        known = {
            "/api/version": {"version": "0.15.0"},
            "/api/tags": {"models": [model]},
            "/api/ps": {"models": [running]},
            "/api/show": _SHOW,
        }
        content = json.dumps(known.get(path, {"models": []})).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            start, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            length = next((int(field[15:]) for field in fields if field.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            writer.write(_answer(start.split()[1], body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
