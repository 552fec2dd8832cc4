"""`/files`: clients on HTTP send files there, whose names calls then take in place of a path.

The body goes to the disk as it comes, a mebibyte in memory at most.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

from ollama_mcp.access.sent_files import IncomingFile, SentFile, SentFiles, clean_name, tidy
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.hosts.principal import Principal
from ollama_mcp.media.sent_kinds import HEAD_BYTES, sent_kind
from ollama_mcp.server.auth.personal import sent_files_of, uploads_folder
from ollama_mcp.server.transports.asgi import (
    PRINCIPAL_KEY,
    ClientGone,
    Message,
    Receive,
    Refused,
    Scope,
    Send,
    body_parts,
    declared_bytes,
    headers,
    send_text,
)
from ollama_mcp.settings import Settings

_log = logging.getLogger("ollama_mcp.http")
PATH = "/files"
_BUFFER_BYTES = 1 << 20
_TIDY_SECONDS = 600.0
_DRAINED_BYTES, _DRAINED_SECONDS = 64 << 20, 5.0
_JSON = b"application/json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

T = TypeVar("T")


@dataclass
class _Account:
    """What one principal has on the disk.

    Attributes:
        kept: Bytes of whole files, as they were found and received since.
        files: How many.
        coming: Bytes that are set aside for what is being received.
        receiving: How many.
        lock: Held while the disk is looked at, or a file becomes a whole one.
    """

    kept: int = 0
    files: int = 0
    coming: int = 0
    receiving: int = 0

    def __post_init__(self) -> None:
        self.lock = asyncio.Lock()


class FilesRoute:
    """An ASGI application for `/files` and what is below.

    Args:
        settings: Limits, and where the files are kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = settings.uploads
        self._folder, self._keep_seconds = uploads_folder(settings), settings.uploads.keep_hours * 3_600
        # Those who send something now.
        self._accounts: dict[str, _Account] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Refused: It is none that can be done.
        """
        principal: Principal = scope[PRINCIPAL_KEY]
        files = sent_files_of(self._settings, principal)
        assert files is not None  # The guard lets nobody in without the scope.
        method, path = scope["method"], scope["path"].rstrip("/")
        if path != PATH:
            if method != "DELETE":
                raise Refused(405, "Method Not Allowed", ((b"allow", b"DELETE"),))
            await self._delete(files, path.removeprefix(f"{PATH}/").partition("/")[0], send)
        elif method == "GET":
            await self._list(principal, files, send)
        elif method == "POST":
            body = _Body(receive)
            try:
                sent, kind = await self._receive(principal, files, scope, body)
            except ClientGone:
                return
            except Refused:
                await body.drain(scope)
                raise
            _log.info("%r sent a file: %s, %d bytes", principal.name[:80], kind, sent.size)
            told = {**self._told(sent), "kind": kind}
            await send_text(send, 201, json.dumps(told), _location(sent), content_type=_JSON)
        else:
            raise Refused(405, "Method Not Allowed", ((b"allow", b"GET, POST"),))

    async def keep_tidy(self) -> None:
        """Delete what has expired, now and again, until cancelled."""
        while True:
            await asyncio.to_thread(tidy, self._folder, self._keep_seconds)
            await asyncio.sleep(min(_TIDY_SECONDS, self._keep_seconds))

    async def _list(self, principal: Principal, files: SentFiles, send: Send) -> None:
        listed = await asyncio.to_thread(files.listed)
        told = {
            "files": [self._told(file) for file in listed],
            "bytes": sum(file.size for file in listed),
            "quota_bytes": self._quota(principal),
        }
        await send_text(send, 200, json.dumps(told), content_type=_JSON)

    async def _delete(self, files: SentFiles, file_id: str, send: Send) -> None:
        if not await asyncio.to_thread(files.delete, file_id):
            raise Refused(404, "there is no such file of this token")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _receive(
        self, principal: Principal, files: SentFiles, scope: Scope, receive: Receive
    ) -> tuple[SentFile, str]:
        """Receive one file.

        Raises:
            Refused: 411 to 415 for what is not taken, 507 where there is no room.
            ClientGone: Not all of it came.
        """
        name = _name(scope)
        account = self._accounts.setdefault(principal.name, _Account())
        account.receiving += 1
        incoming = _Incoming(account, self._quota(principal))
        try:
            async with account.lock:
                listed = await asyncio.to_thread(files.listed)
                account.kept, account.files = sum(file.size for file in listed), len(listed)
            if account.files + account.receiving > self._limits.quota_files:
                raise Refused(507, f"over {self._limits.quota_files} files of one token; DELETE {PATH}/ID makes room")
            incoming.reserve(min(declared_bytes(scope), self._limits.max_bytes + 1))
            return await self._to_disk(incoming, files, name, scope, receive)
        except OSError as error:
            _log.error("a file cannot be received in %s: %s", self._folder, error.strerror)
            why = "the disk is full" if error.errno in _FULL else "the disk cannot be written to"
            raise Refused(507, f"the file was not kept: {why}") from None
        finally:
            incoming.end()
            account.receiving -= 1
            if not account.receiving:
                self._accounts.pop(principal.name, None)

    async def _to_disk(
        self, incoming: _Incoming, files: SentFiles, name: str, scope: Scope, receive: Receive
    ) -> tuple[SentFile, str]:
        most, seconds = self._limits.max_bytes, self._settings.http.body_seconds
        buffer, kind = bytearray(), ""
        async with aclosing(body_parts(scope, receive, limit=most, seconds=seconds)) as parts:
            async for part in parts:
                buffer += part
                if kind and len(buffer) < _BUFFER_BYTES:
                    continue
                if not kind and len(buffer) >= HEAD_BYTES:
                    kind = await asyncio.to_thread(self._kind, bytes(buffer), name)
                if kind:
                    await incoming.write(files, bytes(buffer))
                    buffer.clear()
        kind = kind or await asyncio.to_thread(self._kind, bytes(buffer), name)
        await incoming.write(files, bytes(buffer))
        return await incoming.publish(name), kind

    def _kind(self, head: bytes, name: str) -> str:
        try:
            kind = sent_kind(head, name)
        except InvalidArgument as error:
            raise Refused(415, f"the file is not taken: {error.message}") from None
        if kind not in self._limits.kinds:
            raise Refused(415, f"files of kind {kind} are not taken here (setting uploads.kinds)")
        return kind

    def _quota(self, principal: Principal) -> int:
        own = principal.limits.upload_bytes
        return self._limits.quota_bytes if own is None else own

    def _told(self, file: SentFile) -> dict[str, Any]:
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(file.sent_at + self._keep_seconds))
        return {"name": file.reference, "bytes": file.size, "expires": expires}


class _Incoming:
    """A file that is being received, and the room that is set aside for it."""

    def __init__(self, account: _Account, quota: int) -> None:
        self._account, self._quota = account, quota
        self._reserved = self._size = 0
        self._file: IncomingFile | None = None

    def reserve(self, size: int) -> None:
        """Set room aside for so many bytes in all.

        Raises:
            Refused: There is not that much left for this principal.
        """
        more = size - self._reserved
        if more <= 0:
            return
        if self._account.kept + self._account.coming + more > self._quota:
            raise Refused(507, f"over the {self._quota:,} bytes of one token; DELETE {PATH}/ID makes room")
        self._account.coming += more
        self._reserved = size

    async def write(self, files: SentFiles, data: bytes) -> None:
        """Write bytes to the disk, for which room has been set aside."""
        self._size += len(data)
        self.reserve(self._size)
        if self._file is None:
            self._file = await _to_its_end(files.begin, lambda file: file.discard())
        await _to_its_end(partial(self._file.write, data))

    async def publish(self, name: str) -> SentFile:
        """End the file."""
        assert self._file is not None
        account = self._account
        async with account.lock:
            sent = await _to_its_end(partial(self._file.publish, name))
            # At once, so that nobody counts it twice or not at all.
            account.kept += sent.size
            account.files += 1
            account.coming -= self._reserved
            self._reserved = 0
        return sent

    def end(self) -> None:
        """Give the room back, and remove what was not published."""
        self._account.coming -= self._reserved
        if self._file is not None:
            self._file.discard()


class _Body:
    """The ASGI channel of a request that may be refused before its body has come to its end."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._has_ended = not message.get("more_body", False)
        return message

    async def drain(self, scope: Scope) -> None:
        """Let a client send what it is sending: a connection that is closed meanwhile would take the answer with it."""
        # Who asks first whether to send stops once it is refused.
        if self._has_ended or headers(scope, b"expect"):
            return
        left = body_parts({**scope, "headers": []}, self, limit=_DRAINED_BYTES, seconds=_DRAINED_SECONDS)
        with suppress(Refused, ClientGone):
            async with aclosing(left) as parts:
                async for _ in parts:
                    pass


async def _to_its_end(work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Run work in a thread; a caller that is cancelled waits for its end, and what it made is undone."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if undo is not None and task.exception() is None:
            undo(task.result())
        raise


def _name(scope: Scope) -> str:
    """The name that the client gives its file.

    Raises:
        Refused: The request is not made as this server takes files.
    """
    names = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("name", [])
    if len(names) != 1:
        raise Refused(400, f"the address needs one name: POST {PATH}?name=report.pdf, with the content as body")
    if any(value.lower().startswith("multipart/") for value in headers(scope, b"content-type")):
        raise Refused(415, "forms are not taken: send the content of the file itself as the body (docs/team.md)")
    if any(value.lower() != "identity" for value in headers(scope, b"content-encoding")):
        raise Refused(415, f"Content-Encoding {headers(scope, b'content-encoding')[0]!r:.40} is not taken")
    return clean_name(names[0])


def _location(file: SentFile) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"location", f"{PATH}/{file.id}".encode()),)
