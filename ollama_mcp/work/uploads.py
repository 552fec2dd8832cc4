"""Files on their way to an Ollama host: hashed, asked for, sent in pieces, and never more than a piece in memory."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ollama_mcp.access import Purpose
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import BadRequest, DiskError, Interrupted, InvalidArgument, Unreachable
from ollama_mcp.work.model_files import stamp

if TYPE_CHECKING:
    from ollama_mcp.access import Access, OpenedFile
    from ollama_mcp.api import OllamaClient
    from ollama_mcp.work.model_files import ModelFile

    R = TypeVar("R")

PIECE = 1024 * 1024
HASHED_AT_ONCE = 4 * PIECE
AT_ONCE = 2
ATTEMPTS = 3
PAUSE_SECONDS = 0.5

# Called with the file, what is done with it ("reading" or "uploading"), and how many of its bytes are done.
Report = Callable[["ModelFile", str, int], Awaitable[None]]


async def upload(
    files: Sequence[ModelFile], *, access: Access, client: OllamaClient, report: Report, expected: str = ""
) -> dict[str, str]:
    """Bring files to the host unless it has them, two at a time.

    Args:
        files: Proven files.
        access: What may be read; asked again, since rules and files may have changed.
        client: The host.
        report: Told of the progress.
        expected: The digest that the file must have, where there is one to expect.

    Returns:
        The digest of each file, by its name.

    Raises:
        InvalidArgument: A file has another digest than expected, or changed since it was proven or while it was read.
        OllamaMCPError: As `Access.open_file` and `OllamaClient.push_blob`.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(file: ModelFile) -> str:
        async with gate:
            return await _upload_one(file, access, client, report, expected)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(file)) for file in files]
    except BaseExceptionGroup as failed:
        # The first is the cause; what else failed was cancelled, or fell to the same.
        raise failed.exceptions[0] from None
    return {file.name: task.result() for file, task in zip(files, tasks, strict=True)}


async def _upload_one(file: ModelFile, access: Access, client: OllamaClient, report: Report, expected: str) -> str:
    with await asyncio.to_thread(access.open_file, file.path, Purpose.UPLOAD) as opened:
        reading = _Reading(file, opened, report)
        digest = await reading.digest()
        if expected not in ("", digest):
            raise InvalidArgument(
                f"The file has the digest {digest}, not {expected[:80]!r}.", next_step="Leave it out."
            )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await client.push_blob(digest, reading.pieces(), size=file.size)
                break
            except BadRequest as error:
                if "digest mismatch" in error.detail:
                    raise reading.changed() from None
                raise
            except (Interrupted, Unreachable):
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.0))
        await report(file, "uploading", file.size)
        return digest


class _Reading:
    """An open file that is read twice, for its digest and for the host, and must not change meanwhile."""

    def __init__(self, file: ModelFile, opened: OpenedFile, report: Report) -> None:
        self._file, self._opened, self._report = file, opened, report

    async def digest(self) -> str:
        """The file's SHA-256 as Ollama writes it."""
        hasher, done = hashlib.sha256(), 0

        def hash_next() -> int:
            data = self._read(HASHED_AT_ONCE, done)
            hasher.update(data)
            return len(data)

        while done < self._file.size:
            done += await self._in_thread(hash_next)
            await self._report(self._file, "reading", done)
        return f"sha256:{hasher.hexdigest()}"

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The bytes, as they are sent."""
        await self._in_thread(lambda: self._opened.stream.seek(0))
        done = 0
        while done < self._file.size:
            data = await self._in_thread(partial(self._read, PIECE, done))
            done += len(data)
            yield data
            await self._report(self._file, "uploading", done)

    def changed(self) -> InvalidArgument:
        """The error of a file that is not what it was."""
        return InvalidArgument(
            f"{quoted(self._file.path)} changed or was removed while it was read, so no model was made of it.",
            next_step="Wait until whatever writes it has ended, then try again.",
        )

    def _read(self, most: int, done: int) -> bytes:
        """The next bytes; judged after they were read, so that the host never gets the whole of a changed file."""
        data = self._opened.stream.read(min(most, self._file.size - done))
        if not data or stamp(self._opened) != self._file.stamp:
            raise self.changed()
        return data

    async def _in_thread(self, work: Callable[[], R]) -> R:
        """Run disk work in a thread; a cancelled call waits for it, since the file is closed right after."""
        task = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise
        except OSError as error:
            raise DiskError(
                f"{quoted(self._file.path)} could not be read: {error.strerror}.", next_step="Check the disk."
            ) from error
