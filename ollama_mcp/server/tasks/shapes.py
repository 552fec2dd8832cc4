"""A job in the shapes of the Tasks extension."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from mcp.types import INTERNAL_ERROR, ErrorData

if TYPE_CHECKING:
    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.server.caller import Caller
    from ollama_mcp.server.job import Job
    from ollama_mcp.settings.model import JobSettings

TaskStatus = Literal["working", "input_required", "completed", "cancelled", "failed"]

# A client asks after a tenth of the time that the work has taken, within these bounds.
_POLL_MS = (1_000, 10_000)


def status_of(job: Job) -> TaskStatus:
    """The status of a job as a task. An error that a tool returns is its result: such a task is completed."""
    if job.state == "running":
        inputs = job.consent.inputs
        return "input_required" if inputs is not None and inputs.requests else "working"
    if job.is_waiting:
        return "working"
    if job.error is None and job.result is not None:
        return "completed"
    return "cancelled" if job.error is None and job.state in ("cancelled", "cut") else "failed"


def created_task(job: Job, keep: JobSettings) -> dict[str, Any]:
    """The CreateTaskResult of a call that continues as a job."""
    return {"resultType": "task", **_task(job, keep)}


def detailed_task(server: OllamaServer, job: Job, caller: Caller) -> dict[str, Any]:
    """A task with what its status adds: the open questions, the result as far as the client takes it, or the error."""
    task = _task(job, server.ollama_settings.jobs)
    match task["status"]:
        case "input_required":
            assert job.consent.inputs is not None
            task["inputRequests"] = job.consent.inputs.requests
        case "completed":
            assert job.result is not None
            result = server.result_of(job, job.result, caller)
            task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        case "failed":
            error = job.error or ErrorData(code=INTERNAL_ERROR, message="The work ended without a result.")
            task["statusMessage"] = error.message
            task["error"] = error.model_dump(by_alias=True, mode="json", exclude_none=True)
        case _:
            pass
    return task


def _task(job: Job, keep: JobSettings) -> dict[str, Any]:
    """The fields that every task has."""
    status = status_of(job)
    ended = status not in ("working", "input_required")
    created_at = job.created_at
    inputs = job.consent.inputs
    updated_at = created_at + job.seconds if ended else max(created_at, inputs.changed_at if inputs else 0.0)
    kept_seconds = keep.keep_cut_seconds if status == "cancelled" else keep.keep_seconds
    task = {
        "taskId": job.id,
        "status": status,
        "statusMessage": job.status_text,
        "createdAt": _iso(created_at),
        "lastUpdatedAt": _iso(updated_at),
        # While the work goes on it is not discarded, however long it takes.
        "ttlMs": round((job.seconds + kept_seconds) * 1_000) if ended else None,
    }
    if not ended:
        least, most = _POLL_MS
        task["pollIntervalMs"] = min(max(round(job.seconds * 100), least), most)
    return task


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
