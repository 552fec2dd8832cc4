"""The work of a call that may become a task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.server.elicitation import NeedsInput
from ollama_mcp.server.tasks.inputs import TaskInputs

if TYPE_CHECKING:
    from ollama_mcp.server.elicitation import Forms
    from ollama_mcp.server.job import Job


def run_for_task(
    job: Job,
    run: Callable[[], Awaitable[CallToolResult]],
    fail: Callable[[Exception], Awaitable[CallToolResult]],
    forms: Forms,
) -> Coroutine[Any, Any, CallToolResult]:
    """Run a tool, again from its beginning after each answer of the user.

    Args:
        job: The call, which becomes a task when its client has waited long enough.
        run: Runs the tool.
        fail: The result that tells of an error.
        forms: How the user is asked.

    Raises:
        NeedsInput: The user has to answer before the call is a task: the call asks itself.
    """
    # Before the work begins: the call may be answered first.
    inputs = job.consent.inputs = TaskInputs()
    return _run(job, inputs, run, fail, forms)


async def _run(
    job: Job,
    inputs: TaskInputs,
    run: Callable[[], Awaitable[CallToolResult]],
    fail: Callable[[Exception], Awaitable[CallToolResult]],
    forms: Forms,
) -> CallToolResult:
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
            job.consent.granted_keys.add(await forms.ask_in_task(question, inputs, job.progress))
        except OllamaMCPError as error:
            return await fail(error)
