"""An Ollama that accepts uploads and discards them, to measure uploads and to make them fail."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from types import TracebackType
from typing import Self

_LIMIT = 1 << 20
_ANSWERS: dict[str, object] = {
    "/api/version": {"version": "0.33.0"},
    "/api/tags": {"models": []},
    "/api/ps": {"models": []},
    "/api/create": {"status": "success"},
}


class UploadSink:
    """The server; an async context manager that listens while its block runs.

    Attributes:
        cut_after: Disconnects the next upload after this many bytes, once.
        pause: Seconds before each read.
        received: Bytes of all uploads so far.
        broken: Uploads whose client disconnected.
        most_at_once: Most uploads in parallel.
        digests: SHA-256 digests of the complete uploads.
    """

    def __init__(self, *, check: bool = True) -> None:
        self.cut_after = 0
        self.pause = 0.0
        self.received = self.broken = self.most_at_once = 0
        self.digests: set[str] = set()
        self.url = ""
        self._check = check
        self._running = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_LIMIT)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = int(headers.get("content-length", "0"))
        if path.startswith("/api/blobs/"):
            digest = path.rsplit("/", 1)[1]
            if method == "HEAD":
                status, body = ("200 OK" if digest in self.digests else "404 Not Found"), b""
            elif not await self._take(reader, length, digest):
                return False
            else:
                status, body = "201 Created", b""
        else:
            await reader.readexactly(length)
            status, body = "200 OK", json.dumps(_ANSWERS[path]).encode() + b"\n"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True

    async def _take(self, reader: asyncio.StreamReader, length: int, digest: str) -> bool:
        """Read an upload; False if it was cut or its client disconnected."""
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        hasher, remaining = hashlib.sha256(), length
        try:
            while remaining:
                await asyncio.sleep(self.pause)
                data = await reader.read(min(remaining, _LIMIT))
                if not data:
                    self.broken += 1
                    return False
                remaining -= len(data)
                self.received += len(data)
                if self._check:
                    hasher.update(data)
                if self.cut_after and length - remaining >= self.cut_after:
                    self.cut_after = 0
                    return False
        except ConnectionError:
            self.broken += 1
            raise
        finally:
            self._running -= 1
        self.digests.add(f"sha256:{hasher.hexdigest()}" if self._check else digest)
        return True


async def _main() -> None:
    async with UploadSink(check=False) as sink:
        print(sink.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
