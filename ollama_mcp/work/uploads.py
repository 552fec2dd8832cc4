"""Upload of model files to an Ollama host: hashed, looked up there, and sent in chunks that are not kept in memory."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ollama_mcp.access import Purpose
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import BadRequest, DiskError, Interrupted, InvalidArgument, Unreachable
from ollama_mcp.work.threads import open_in_thread, run_in_thread
from ollama_mcp.work.weight_files import file_state

if TYPE_CHECKING:
    from ollama_mcp.access import Access, OpenedFile
    from ollama_mcp.api import OllamaClient
    from ollama_mcp.work.weight_files import ModelFile

    R = TypeVar("R")

CHUNK_BYTES = 1024 * 1024
# Larger, since each chunk costs a switch to a thread and back.
HASH_CHUNK_BYTES = 4 * CHUNK_BYTES
MAX_CONCURRENT = 2
MAX_ATTEMPTS = 3
# Doubled with each attempt.
PAUSE_SECONDS = 0.5

# Called with the file, the phase ("reading" or "uploading"), and how many of its bytes are done.
Report = Callable[["ModelFile", str, int], Awaitable[None]]


async def upload(
    files: Sequence[ModelFile], *, access: Access, client: OllamaClient, report: Report, expected: str = ""
) -> dict[str, str]:
    """Upload the files that the host lacks, two at a time.

    Args:
        files: Verified files.
        access: What may be read; checked again, since rules and files may have changed.
        client: The host.
        report: Called with the progress.
        expected: The digest that the file must have, or "".

    Returns:
        The digest of each file, by its name.

    Raises:
        InvalidArgument: A file has another digest than expected, or changed since it was verified or while it was read.
        OllamaMCPError: As `Access.open_file` and `OllamaClient.push_blob`.
    """
    semaphore = asyncio.Semaphore(MAX_CONCURRENT)

    async def upload_one(file: ModelFile) -> str:
        async with semaphore:
            return await _upload_one(file, access, client, report, expected)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(upload_one(file)) for file in files]
    except BaseExceptionGroup as failed:
        # The first is the cause: the group cancels the others, and those that fail too mostly fail for the same reason.
        raise failed.exceptions[0] from None
    return {file.name: task.result() for file, task in zip(files, tasks, strict=True)}


async def _upload_one(file: ModelFile, access: Access, client: OllamaClient, report: Report, expected: str) -> str:
    with await open_in_thread(partial(access.open_file, file.path, Purpose.UPLOAD)) as opened:
        source = _UploadSource(file, opened, report)
        digest = await source.digest()
        if expected not in ("", digest):
            raise InvalidArgument(
                f"The file has the digest {digest}, not {expected[:80]!r}.",
                next_step="Correct the expected digest, or leave it out.",
            )
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                await client.push_blob(digest, source.chunks(), size=file.size)
                break
            except BadRequest as error:
                # The host received other bytes than those that were hashed here.
                if "digest mismatch" in error.detail:
                    raise source.changed_error() from None
                raise
            except (Interrupted, Unreachable):
                if attempt == MAX_ATTEMPTS:
                    raise
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.0))
        await report(file, "uploading", file.size)
        return digest


class _UploadSource:
    """An open file that is read twice, to hash it and to send it, and must not change in between."""

    def __init__(self, file: ModelFile, opened: OpenedFile, report: Report) -> None:
        self._file, self._opened, self._report = file, opened, report
        self._digest = ""

    async def digest(self) -> str:
        """The file's SHA-256 as Ollama writes it."""
        hasher, done = hashlib.sha256(), 0

        def hash_next() -> int:
            data = self._read(HASH_CHUNK_BYTES, done)
            hasher.update(data)
            return len(data)

        while done < self._file.size:
            done += await self._in_thread(hash_next)
            await self._report(self._file, "reading", done)
        self._digest = f"sha256:{hasher.hexdigest()}"
        return self._digest

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The content from its start; called once for each attempt.

        It is hashed once more as it is sent, since a program may rewrite a file in place and keep its size and times;
        the host never gets the last piece of another content.
        """
        await self._in_thread(lambda: self._opened.stream.seek(0))
        hasher, done = hashlib.sha256(), 0

        def read_next() -> bytes:
            data = self._read(CHUNK_BYTES, done)
            hasher.update(data)
            return data

        while done < self._file.size:
            data = await self._in_thread(read_next)
            done += len(data)
            if done >= self._file.size and f"sha256:{hasher.hexdigest()}" != self._digest:
                raise self.changed_error()
            yield data
            await self._report(self._file, "uploading", done)

    def changed_error(self) -> InvalidArgument:
        """Return the error for a file that is not what was verified."""
        return InvalidArgument(
            f"{quoted(self._file.path)} changed or was removed while it was read, so no model was created.",
            next_step="Wait until the program that writes it has finished, then try again.",
        )

    def _read(self, limit: int, done: int) -> bytes:
        """The next bytes; the file is checked after the read, so that the host never gets all of a changed file."""
        data = self._opened.stream.read(min(limit, self._file.size - done))
        if not data or file_state(self._opened) != self._file.state:
            raise self.changed_error()
        return data

    async def _in_thread(self, work: Callable[[], R]) -> R:
        """Run disk work in a thread; if cancelled, wait for its end, since the file is closed right after."""
        try:
            return await run_in_thread(lambda _: work())
        except OSError as error:
            raise DiskError(
                f"{quoted(self._file.path)} could not be read: {error.strerror}.", next_step="Check the disk."
            ) from error
