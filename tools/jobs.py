"""Following the jobs that long calls become."""

from dataclasses import asdict
from typing import Annotated, Literal

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from ollama_mcp import READS, Call, Data, InvalidArgument, tool
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.server.formatting import format_bytes, format_table
from ollama_mcp.server.job import Job


class JobRow(BaseModel):
    """One job, or a cancelled call whose text is kept."""

    id: str
    tool: str
    model: str
    about: str
    state: Literal["running", "done", "failed", "cancelled", "cut"]
    since: str
    seconds: int
    per_second: float | None = None
    seconds_left: int | None = None
    so_far: str


class UnfinishedRow(BaseModel):
    """A batch that stopped before its end, with the rows that are kept."""

    input: str
    task: str
    model: str
    output: str
    done: int
    failed: int
    total: int | None = None


class JobList(Data):
    """Jobs, newest first."""

    jobs: list[JobRow]
    unfinished_batches: list[UnfinishedRow] | None = None
    note: str | None = None

    def as_text(self) -> str:
        columns = ("id", "tool", "model", "about", "state", "since", "seconds", "rate", "left", "so far")
        rows = map(_cells, self.jobs)
        shown = format_table(columns, rows) if self.jobs else "No job is running and no result is kept."
        lines = [shown]
        if self.unfinished_batches:
            batches = [(*row.model_dump().values(),) for row in self.unfinished_batches]
            columns = ("input", "task", "model", "output", "done", "failed", "rows")
            lines += ["Unfinished batches:", format_table(columns, batches)]
        return "\n".join([*lines, self.note] if self.note else lines)


@tool(title="Follow long work", toolset="system", hints=READS)
async def ollama_job(
    call: Call,
    action: Annotated[
        Literal["list", "status", "result", "cancel", "resume"], Field(description="All but list and cancel wait.")
    ] = "list",
    id: Annotated[str, Field(description="Job id, from a result or list.")] = "",
    offset: Annotated[int, Field(ge=0, description="Where result goes on.")] = 0,
) -> JobList | CallToolResult:
    """Follow work that outlasted its call: get its result, or cancel it and keep what there is. list also names
    cancelled calls whose text was kept, and unfinished batches.

    A result is that of another tool, so there is no output schema.
    """
    if action == "list":
        return await _list(call)
    if not id:
        raise InvalidArgument("id is required.", next_step="ollama_job(action='list') names the jobs.")
    job = await call.jobs.get(id, call.caller)
    if action == "cancel":
        await call.jobs.cancel(job)
    else:
        if action == "resume":
            job = await call.jobs.go_on_with(job)
        job = await call.jobs.follow(job, call.caller, call.progress)
    if action == "status" or job.state == "running":
        return JobList(jobs=[_row(job)], note=_next_step(job))
    if job.result is None:
        # Kept, so that what is cut of it can be named by this job.
        job.result = _partial_result(job)
    return job.read_on(job.result, offset, call.caller.result_bytes) if offset else job.result


async def _list(call: Call) -> JobList:
    from ollama_mcp.work.batch import unfinished_batches

    jobs = [_row(job) for job in await call.jobs.list_for(call.caller)]
    # All clients over HTTP would see the files that others work on.
    batches = await unfinished_batches(call.store) if call.settings.transport == "stdio" else []
    if not batches:
        return JobList(jobs=jobs)
    note = (
        "Their rows are kept for 30 days. The same ollama_batch call, with overwrite where its output exists, does the "
        "rest and writes the output."
    )
    rows = [UnfinishedRow(**asdict(batch)) for batch in batches]
    return JobList(jobs=jobs, unfinished_batches=rows, note=note)


def _row(job: Job) -> JobRow:
    rate, left = job.progress.pace()
    if left is not None and " left" in job.status_text:
        # It tells both itself, by the last seconds and not by all, so other numbers would contradict it.
        rate, left = 0.0, None
    return JobRow(
        id=job.id,
        tool=job.tool,
        model=job.model,
        about=job.about,
        state=job.state,
        since=job.began_at.isoformat(timespec="seconds"),
        seconds=round(job.seconds),
        per_second=float(f"{rate:.3g}") if rate else None,
        seconds_left=None if left is None else round(left),
        so_far=job.status_text,
    )


def _cells(row: JobRow) -> tuple[object, ...]:
    rate = row.per_second or 0
    # What goes that fast are bytes.
    shown = f"{format_bytes(rate)}/s" if rate >= 100_000 else f"{rate:g}/s" if rate else ""
    left = "" if row.seconds_left is None else format_seconds(row.seconds_left)
    return (row.id, row.tool, row.model, row.about, row.state, row.since, row.seconds, shown, left, row.so_far)


def _next_step(job: Job) -> str:
    if job.state == "running":
        return f"Still running; ollama_job(action='result', id='{job.id}') keeps waiting."
    return f"ollama_job(action='result', id='{job.id}') returns the result."


def _partial_result(job: Job) -> CallToolResult:
    """What stopped work had written, with the note about it in a block of its own, so that neither is mistaken."""
    how = "Ended with its server" if job.is_orphan else "Stopped"
    note = f"{how} after {job.seconds:.0f} s; " + (
        "this is the text so far." if job.partial_text else "there was no text yet."
    )
    # A transfer has no text that is worth returning; that its work was not lost is what matters.
    if job.is_orphan and job.goes_on:
        note = (
            f"Its server ended: {job.status_text}. ollama_job(action='resume', id='{job.id}') goes on with it; so does "
            "the next server with the same settings and folder, unless jobs.resume is off or ask."
        )
    elif job.resumes:
        note = f"Stopped: {job.status_text}. The same {job.tool} call resumes."
    texts = [job.partial_text, note] if job.partial_text else [note]
    return CallToolResult(content=[TextContent(type="text", text=text) for text in texts])
