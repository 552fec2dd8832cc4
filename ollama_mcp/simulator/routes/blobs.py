"""HEAD and POST /api/blobs/:digest."""

from __future__ import annotations

import hashlib
import re

from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import JSON, Reply
from ollama_mcp.simulator.store import Layer

_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")
# Enough for the token lists in the header of a GGUF file.
_KEPT = 64 * 1024 * 1024


class BlobUpload:
    """The body of an upload: hashed as it comes, only its beginning kept."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._beginning = bytearray()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
        self._beginning += data[: _KEPT - len(self._beginning)]

    @property
    def layer(self) -> Layer:
        """What came."""
        return Layer("blob", f"sha256:{self._hash.hexdigest()}", self._size)

    @property
    def beginning(self) -> bytes:
        """The first bytes of it."""
        return bytes(self._beginning)


async def head(machine: Machine, request: Request, reply: Reply) -> None:
    """Whether a blob is there."""
    digest = _digest(request)
    if digest in machine.store.blobs:
        reply.send(200)
    else:
        reply.send(404, content_type=JSON)


async def post(machine: Machine, request: Request, reply: Reply) -> None:
    """A blob stored under its own digest, whatever it was called."""
    digest = _digest(request)
    if digest in machine.store.blobs:
        return reply.send(200)
    upload = request.upload if isinstance(request.upload, BlobUpload) else BlobUpload()
    # Kept before it is compared: the real server stores a mismatch too.
    machine.store.keep(upload.layer, upload.beginning)
    wanted = request.path.rsplit("/", 1)[1]
    if upload.layer.digest != wanted:
        raise Failure(400, f'digest mismatch, expected "{wanted}", got "{upload.layer.digest}"')
    reply.send(201)


def _digest(request: Request) -> str:
    given = request.path.rsplit("/", 1)[1]
    if not _DIGEST.fullmatch(given):
        raise Failure(400, "invalid digest format")
    return given.replace("-", ":").lower()
