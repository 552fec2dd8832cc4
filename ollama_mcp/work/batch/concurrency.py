"""Locks that hold between processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from ollama_mcp.errors import Busy, DiskError
from ollama_mcp.work.threads import close_in_thread, open_in_thread

# `is_locked` holds a lock for a moment to find out: no batch is refused for that.
_WAIT_SECONDS = 0.2


@asynccontextmanager
async def batch_locks(names: Sequence[str], *, label: str) -> AsyncGenerator[None]:
    """Hold a lock for each name, so that no other process works on the same checkpoint or output.

    The operating system releases them with the process, however that ends. The lock files are in the user's data
    folder, so that servers with stores of their own see them too.

    Args:
        names: What is locked.
        label: What the message of `Busy` calls it.

    Raises:
        Busy: Another batch holds one.
        DiskError: A lock file cannot be created.
    """
    held = await open_in_thread(partial(_acquire, names, label))
    try:
        yield
    finally:
        await close_in_thread(held)


def run_lock(key: str) -> str:
    """The name of the lock that a batch holds while it works on the checkpoint with this key."""
    return f"run {key}"


async def is_locked(name: str) -> bool:
    """Whether a batch of any process holds this lock now; False where that cannot be found out."""
    try:
        held = await asyncio.to_thread(_acquire, [name], name)
    except Busy:
        return True
    except DiskError:
        return False
    await close_in_thread(held)
    return False


def _acquire(names: Sequence[str], label: str) -> ExitStack:
    import platformdirs
    from filelock import FileLock, Timeout

    folder = Path(platformdirs.user_data_dir("ollama-mcp-server", appauthor=False)) / "locks"
    with ExitStack() as held:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in names:
                path = folder / f"{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}.lock"
                # Not bound to a thread: whichever thread of the pool runs `close` releases it.
                held.enter_context(
                    FileLock(path, timeout=_WAIT_SECONDS, poll_interval=0.02, mode=0o600, thread_local=False)
                )
        except Timeout:
            raise Busy(
                f"Another batch is at work on {label}.",
                next_step="Wait for it (ollama_job lists this server's), or give another output.",
            ) from None
        except OSError as error:
            raise DiskError(
                f"No lock file can be created in {str(folder)!r}: {error.strerror or type(error).__name__}.",
                next_step="Check the permissions of that folder.",
            ) from error
        # Moves the locks out of this block, which would release them.
        return held.pop_all()
