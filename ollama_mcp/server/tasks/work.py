"""The work of a call that may become a task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.server.elicitation import NeedsInput, UserQuestion
from ollama_mcp.work.progress import Progress

if TYPE_CHECKING:
    from ollama_mcp.server.jobs import Job
    from ollama_mcp.server.tasks.inputs import TaskInputs


class Ask(Protocol):
    """Asks the client of the task; returns the key that the user agreed to, or raises the refusal."""

    async def __call__(self, question: UserQuestion, *, progress: Progress) -> str: ...


async def run_for_task(
    job: Job,
    inputs: TaskInputs,
    run: Callable[[], Awaitable[CallToolResult]],
    fail: Callable[[Exception], Awaitable[CallToolResult]],
    ask: Ask,
) -> CallToolResult:
    """Run a tool, again from its beginning after each answer of the user.

    Args:
        job: The call, which becomes a task when its client has waited long enough.
        inputs: Where the task asks, once there is one.
        run: Runs the tool.
        fail: The result that tells of an error.
        ask: Asks the user.

    Raises:
        NeedsInput: The user has to answer before the call is a task: the call asks itself.
    """
    while True:
        try:
            return await run()
        except NeedsInput as pause:
            if not inputs.is_open:
                raise
            question = pause.question
        except MCPError as error:
            if inputs.is_open:
                job.error = error.error
            return await fail(error)
        try:
            job.consent.granted_keys.add(await ask(question, progress=job.progress))
        except OllamaMCPError as error:
            return await fail(error)
