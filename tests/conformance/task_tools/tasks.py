"""The tools that the conformance suite asks for in its scenarios of tasks, as tool files of a user."""

import asyncio

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    ElicitRequest,
    ElicitRequestFormParams,
)

from ollama_mcp import READS, Call, Data, InvalidArgument, tool
from ollama_mcp.server.types import Background


class Said(Data):
    """Something said."""

    words: str

    def as_text(self) -> str:
        return self.words


async def _once_a_task(call: Call) -> None:
    """Wait until the call is a task: what is asked sooner is asked by the call."""
    assert call.consent.inputs is not None
    async with asyncio.timeout(10):
        while not call.consent.inputs.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@tool(title="Greet", toolset="system", hints=READS)
async def greet(name: str) -> Said:
    """Answers at once."""
    return Said(words=f"Hello, {name}!")


@tool(title="Compute", toolset="system", hints=READS)
async def slow_compute(seconds: float, label: str = "", background: Background = False) -> Said:
    """Answers after a while."""
    await asyncio.sleep(seconds)
    return Said(words=f"{label} took {seconds:g} s")


@tool(title="Fail", toolset="system", hints=READS)
async def failing_job(background: Background = False) -> Said:
    """Fails as a tool does."""
    await asyncio.sleep(1)
    raise InvalidArgument("This always fails.")


@tool(title="Panic", toolset="system", hints=READS)
async def protocol_error_job(call: Call, background: Background = False) -> Said:
    """Fails as a request does."""
    await _once_a_task(call)
    raise MCPError(INTERNAL_ERROR, "This always panics.")


@tool(title="Delete", toolset="system", hints=READS)
async def confirm_delete(call: Call, filename: str, background: Background = False) -> Said:
    """Asks one question as a task."""
    await _once_a_task(call)
    await call.confirm(f"{filename} would be deleted.", subject=filename, confirmed=False, action="delete")
    return Said(words=f"Deleted {filename}")


@tool(title="Ask twice", toolset="system", hints=READS)
async def multi_input(call: Call, background: Background = False) -> Said:
    """Asks two questions at once."""
    await _once_a_task(call)
    assert call.consent.inputs is not None
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    forms = [ElicitRequestFormParams(message=message, requested_schema=schema) for message in ("First?", "Second?")]
    answers = await asyncio.gather(*(call.consent.inputs.ask(ElicitRequest(params=form)) for form in forms))
    return Said(words=str([answer.action for answer in answers]))


@tool(title="Ask first", toolset="system", hints=READS)
async def test_tool_with_task(call: Call, name: str = "", background: Background = False) -> Said:
    """Answers as a task, once the call has got the name; see serve_tasks.py."""
    await _once_a_task(call)
    return Said(words=f"Hello, {name}!")
