"""Blobs on the host: files of models, which ollama_create_model takes by digest."""

import base64
import hashlib
from typing import Annotated

from pydantic import Field

from ollama_mcp import CHANGES, READS, Call, Data, InvalidArgument, tool
from ollama_mcp.server.types import Digest


class Blob(Data):
    """A blob, and whether the host has it."""

    digest: str
    present: bool
    note: str | None = None

    def as_text(self) -> str:
        return f"{self.digest}: {self.note or ('present' if self.present else 'absent')}"


@tool(title="Check a blob", toolset="blobs", hints=READS)
async def ollama_check_blob(call: Call, digest: Digest) -> Blob:
    """Check whether the host has a blob, before uploading it or naming it in ollama_create_model(files=...)."""
    return Blob(digest=digest, present=await call.client.blob_exists(digest))


@tool(title="Upload a blob", toolset="blobs", hints=CHANGES)
async def ollama_push_blob(
    call: Call,
    path: Annotated[str, Field(description="A model file: GGUF, safetensors, config or tokenizer.")] = "",
    data: Annotated[str, Field(description="Instead of path: the bytes as base64.")] = "",
    digest: Annotated[str, Field(description="Expected 'sha256:' + 64 hex digits; computed if absent.")] = "",
) -> Blob:
    """Upload a file or bytes to the host as a blob; the digest returned goes into ollama_create_model(files=...)."""
    if bool(path) == bool(data):
        raise InvalidArgument("Provide exactly one of path and data.", next_step="data is base64.")
    return await (_push_file(call, path, digest) if path else _push_bytes(call, data, digest))


async def _push_file(call: Call, path: str, digest: str) -> Blob:
    # Imported with the first file: listing the tools must not load what reads files.
    from ollama_mcp.server.model_creation import upload_file

    actual = await upload_file(call, path, digest)
    return Blob(digest=actual, present=True, note="uploaded, or already present")


async def _push_bytes(call: Call, data: str, digest: str) -> Blob:
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except ValueError:  # binascii's, and another one for text that is not ASCII
        raise InvalidArgument(
            "data is not valid base64.", next_step="Encode the file's bytes as standard base64."
        ) from None
    actual = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if digest and digest.lower() != actual:
        raise InvalidArgument(f"data has the digest {actual}, not {digest[:80]!r}.", next_step="Omit digest.")
    async with call.progress.phase(f"uploading {len(content)} bytes"):
        sent = await call.client.push_blob(actual, content)
    return Blob(digest=actual, present=True, note="uploaded" if sent else "already present, nothing was sent")
