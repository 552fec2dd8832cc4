"""Work that outlasts its call."""

from typing import Annotated, Literal

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from ollama_mcp import READS, Call, Data, InvalidArgument, tool
from ollama_mcp.server.jobs import Job
from ollama_mcp.server.text import table


class JobRow(BaseModel):
    """One job, or a call that was cut."""

    id: str
    tool: str
    model: str
    state: Literal["running", "done", "failed", "cancelled", "cut"]
    seconds: int
    so_far: str


class JobList(Data):
    """Jobs, newest first."""

    jobs: list[JobRow]
    note: str | None = None

    def as_text(self) -> str:
        columns = ("id", "tool", "model", "state", "seconds", "so far")
        rows = ((row.id, row.tool, row.model, row.state, row.seconds, row.so_far) for row in self.jobs)
        shown = table(columns, rows) if self.jobs else "No job is running and no result is kept."
        return f"{shown}\n{self.note}" if self.note else shown


@tool(title="Follow long work", toolset="system", hints=READS)
async def ollama_job(
    call: Call,
    action: Literal["list", "status", "result", "cancel"] = "list",
    id: Annotated[str, Field(description="As the answer of the long call named it.")] = "",
) -> JobList | CallToolResult:
    """Get the rest of work that outlasted its call: status and result wait for its end as long as you can wait, cancel
    stops it and gives what there is. list also names calls that were cut, with their text so far.

    Its results are those of other tools, so that no output schema can tell of them.
    """
    if action == "list":
        return JobList(jobs=[_row(job) for job in call.jobs.of(call.caller)])
    if not id:
        raise InvalidArgument("id is required.", next_step="ollama_job(action='list') names the jobs.")
    job = call.jobs.find(id, call.caller)
    if action == "cancel":
        await call.jobs.cancel(job)
    else:
        await call.jobs.follow(job, call.caller, call.progress)
    if action == "status" or job.state == "running":
        return JobList(jobs=[_row(job)], note=_next(job))
    return job.result or _what_there_is(job, call.settings.limits.answer_chars)


def _row(job: Job) -> JobRow:
    return JobRow(
        id=job.id, tool=job.tool, model=job.subject, state=job.state, seconds=round(job.seconds), so_far=job.said
    )


def _next(job: Job) -> str:
    if job.state == "running":
        return f"Still running; ollama_job(action='result', id='{job.id}') waits on."
    return f"ollama_job(action='result', id='{job.id}') gives what there is."


def _what_there_is(job: Job, limit: int) -> CallToolResult:
    """The words of work that was stopped, apart from what is said about them."""
    note = f"Stopped after {job.seconds:.0f} s; " + ("this is what had come." if job.text else "nothing had come.")
    if job.resumes:
        note = f"Stopped: {job.said}. The same {job.tool} call goes on where it was."
    if len(job.text) > limit:
        note += f" Cut at {limit:,} of {len(job.text):,} characters (limits.answer_chars in the settings)."
    texts = [job.text[:limit], note] if job.text else [note]
    return CallToolResult(content=[TextContent(type="text", text=text) for text in texts])
