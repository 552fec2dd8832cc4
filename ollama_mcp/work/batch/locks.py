"""One batch at a time for each output and for each checkpoint, whichever process runs it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from ollama_mcp.errors import Busy, DiskError


@asynccontextmanager
async def locked(names: Sequence[str], *, shown: str) -> AsyncGenerator[None]:
    """Hold a lock of each name; the system lets go of them with the process, however that ends.

    The lock files lie in the user's data folder, so that servers with stores of their own see them too.

    Raises:
        Busy: Another batch holds one.
        DiskError: No lock file can be made.
    """
    held = await asyncio.to_thread(_hold, names, shown)
    try:
        yield
    finally:
        await asyncio.to_thread(held.close)


def _hold(names: Sequence[str], shown: str) -> ExitStack:
    import platformdirs
    from filelock import FileLock, Timeout

    folder = Path(platformdirs.user_data_dir("ollama-mcp-server", appauthor=False)) / "locks"
    with ExitStack() as held:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in names:
                path = folder / f"{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}.lock"
                # Any thread may let go of it, not only the one that took it.
                held.enter_context(FileLock(path, timeout=0, mode=0o600, thread_local=False))
        except Timeout:
            raise Busy(
                f"Another batch is at work on {shown}.",
                next_step="Wait for it (ollama_job lists this server's), or give another output.",
            ) from None
        except OSError as error:
            raise DiskError(
                f"No lock file can be made in {str(folder)!r}: {error.strerror or type(error).__name__}.",
                next_step="Check the rights of that folder.",
            ) from error
        return held.pop_all()
