"""What a process needs of the place where jobs are kept that outlive it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from ollama_mcp.server.auth.authenticator import Authenticator

Job = TypeVar("Job")


class JobStorage(Protocol[Job]):
    """Where jobs are kept that outlive their process."""

    async def add(self, job: Job) -> None:
        """Keep a job before the answer leaves that names it; where it cannot be kept, `unkept` says why."""
        ...

    async def conclude(self, job: Job, result: CallToolResult) -> bool:
        """Write the result of a job whose work is about to end; False where it is another process's by now."""
        ...

    def end(self, job: Job) -> None:
        """Begin to write how a job ended."""
        ...

    async def written(self, job: Job) -> None:
        """Wait until what was begun to write of a job is written."""
        ...

    async def find(self, job_id: str, owner: str | None) -> Job | None:
        """A job that another process began; it goes on here where its process has ended and it may."""
        ...

    async def listed(self, owner: str | None) -> list[Job]:
        """The jobs of an owner that are kept, newest first."""
        ...

    async def refresh(self, job: Job) -> Job:
        """A job that is elsewhere as it is now, which may be here by now."""
        ...

    async def cancel(self, job: Job) -> None:
        """Have a job stopped that is elsewhere."""
        ...

    async def go_on_with(self, job: Job) -> Job | None:
        """Run a job again whose process has ended; None where another does, or its tool is not offered."""
        ...

    def resume(self) -> None:
        """Begin to go on with what earlier processes left."""
        ...

    async def watch(self, auth: Authenticator | None) -> None:
        """Go on with what other processes leave, with the rights that `auth` knows of, until cancelled."""
        ...

    async def aclose(self) -> None:
        """Write all that is left to write; nothing is run any more."""
        ...
