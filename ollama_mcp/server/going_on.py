"""Running a job again that an earlier process left: the same call, under the permissions of this server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.server.bound_tool import BACKGROUND
from ollama_mcp.server.caller import Caller
from ollama_mcp.server.jobs import Job
from ollama_mcp.server.results import META
from ollama_mcp.work.progress import Progress

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from ollama_mcp.access import Access
    from ollama_mcp.server.bound_tool import BoundTool
    from ollama_mcp.server.call import Call
    from ollama_mcp.store.jobs import StoredJob

# A process that was stopped and not ended may still hold what the job needs, until it wakes.
_BUSY_SECONDS = 600.0
_AGAIN_SECONDS = 1.0

Make = Callable[["BoundTool", Caller, Progress, set[str]], "Call"]
Run = Callable[["Call", dict[str, Any]], Awaitable["CallToolResult"]]


def job_again(stored: StoredJob, owner: str | None, tool: BoundTool, make: Make) -> tuple[Job, Call, dict[str, Any]]:
    """A stored job with the call that goes on with it, and that call's arguments, not checked yet.

    What the user agreed to holds for this call too, and for nothing else: nobody can be asked.
    """
    progress, request = Progress(None), stored.request or {}
    call = make(tool, Caller(owner), progress, set(stored.progress.get("agreed", ())))
    call.consent.detach()
    if roots := tuple(request.get("roots", ())):
        call = replace(call, make_access=_with_roots(call.make_access, roots), resumed=True)
    else:
        call = replace(call, resumed=True)
    job = Job(stored.tool, stored.model, owner, progress, call.consent)
    job.id, job.goes_on, job.resumes = stored.id, True, tool.spec.hints.resumes
    job.continue_from(float(stored.progress.get("seconds", 0)))
    arguments: dict[str, Any] = dict(request.get("arguments", {}))
    arguments.pop(BACKGROUND, None)
    if stored.model and not arguments.get("model") and "model" in tool.arguments.schema["properties"]:
        # The choice of the first process, which this one might not repeat.
        arguments["model"] = stored.model
    job.arguments = arguments
    return job, call, arguments


async def run_again(run: Run, call: Call, arguments: dict[str, Any]) -> CallToolResult:
    """Run the call, and wait where the process that had it before still holds a file or a checkpoint of it."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        result = await run(call, arguments)
        kind = (result.meta or {}).get(f"{META}/error", {}).get("kind")
        if kind != "busy" or time.monotonic() > deadline:
            return result
        async with call.progress.phase("waiting for the process that had this job before"):
            await asyncio.sleep(_AGAIN_SECONDS)


def _with_roots(make_access: Callable[[], Access], roots: tuple[str, ...]) -> Callable[[], Access]:
    """What this server may read, with the client's roots as they were when the call was made."""

    def made() -> Access:
        access = make_access()
        rules = access.read_rules
        return replace(access, read_rules=replace(rules, environment=replace(rules.environment, roots=roots)))

    return made
