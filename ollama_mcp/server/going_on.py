"""Running a job again that an earlier process left: the same call, under the permissions of this server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ollama_mcp import clock
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, LOCAL
from ollama_mcp.server.bound_tool import BACKGROUND
from ollama_mcp.server.caller import Caller
from ollama_mcp.server.job import Job
from ollama_mcp.server.jobs import JobManager
from ollama_mcp.server.results import META
from ollama_mcp.settings.model import OLD_TOOL_NAMES
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
Run = Callable[["BoundTool", "Call", dict[str, Any], None, Job], Awaitable["CallToolResult"]]
Fail = Callable[[Exception, str], Awaitable["CallToolResult"]]


class Continuation:
    """Runs jobs again by the call path of a server.

    Args:
        manager: The jobs of this process.
        tools: The tools that are offered.
        make: Makes the context of a call.
        run: Runs a tool with checked arguments.
        fail: Turns an error into a result.
    """

    def __init__(self, manager: JobManager, tools: Mapping[str, BoundTool], make: Make, run: Run, fail: Fail) -> None:
        self._manager, self._tools, self._make, self._run, self._fail = manager, tools, make, run, fail

    def go_on(self, stored: StoredJob, owner: str | None) -> Job | None:
        """Run a stored job again; None where its tool is not offered to whoever this task works for.

        What the user agreed to holds for this call too, and nothing else: nobody can be asked.
        """
        tool = self._tools.get(OLD_TOOL_NAMES.get(stored.tool, stored.tool))
        request = stored.request or {}
        if tool is None or not tool.is_long:
            return None
        progress = Progress(None)
        progress.run = int(stored.progress.get("run", 0))
        principal = CURRENT_PRINCIPAL.get()
        caller = Caller(owner, principal=LOCAL if principal is None else principal.name)
        call = self._make(tool, caller, progress, set(stored.progress.get("agreed", ())))
        call.consent.detach()
        roots = tuple(request.get("roots", ()))
        call = replace(call, make_access=_with_roots(call.make_access, roots), resumed=True)
        job = Job(stored.tool, stored.model, owner, progress, call.consent)
        job.id = progress.job = stored.id
        job.goes_on, job.resumes = True, tool.spec.hints.resumes
        seconds = float(stored.progress.get("seconds", 0))
        job.continue_from(seconds)
        job.created_at = float(stored.progress.get("created", clock.now() - seconds))
        arguments: dict[str, Any] = dict(request.get("arguments", {}))
        arguments.pop(BACKGROUND, None)
        if stored.model and not arguments.get("model") and "model" in tool.arguments.schema["properties"]:
            # The choice of the first process, which this one might not repeat.
            arguments["model"] = stored.model
        job.arguments = arguments
        self._manager.go_on(job, self._again(tool, call, arguments, job))
        return job

    async def _again(self, tool: BoundTool, call: Call, arguments: dict[str, Any], job: Job) -> CallToolResult:
        """Run the call, and wait where the process that had it before still holds a file or a checkpoint of it."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                run = partial(self._run, tool, call, tool.arguments.check(arguments), None, job)
                if (principal := CURRENT_PRINCIPAL.get()) is not None:
                    from ollama_mcp.server.auth.scopes import check_scope, within_limits

                    check_scope(principal, tool.spec)
                    run = partial(within_limits, principal, tool.spec, run)
                result = await run()
            except Exception as error:
                return await self._fail(error, tool.name)
            kind = (result.meta or {}).get(f"{META}/error", {}).get("kind")
            if kind != "busy" or time.monotonic() > deadline:
                return result
            async with call.progress.phase("waiting for the process that had this job before"):
                await asyncio.sleep(_AGAIN_SECONDS)


def _with_roots(make_access: Callable[[], Access], roots: tuple[str, ...]) -> Callable[[], Access]:
    """What this server may read, with the client's roots as they were when the call was made."""

    def made() -> Access:
        access = make_access()
        if not roots:
            return access
        rules = access.read_rules
        return replace(access, read_rules=replace(rules, environment=replace(rules.environment, roots=roots)))

    return made
