"""What of a job goes into its row in the store, and what a row shows of its job."""

from __future__ import annotations

import json
from typing import Any, cast

from mcp.types import CallToolResult

from ollama_mcp import clock
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL
from ollama_mcp.server.caller import EVERYBODY
from ollama_mcp.server.job import Job, JobState
from ollama_mcp.store.jobs import JobUpdate, StoredJob

_LOCAL = "local"


def show(job: Job, stored: StoredJob) -> None:
    progress = stored.progress
    result = None if stored.result is None else CallToolResult.model_validate_json(stored.result)
    status, seconds = str(progress.get("status", "")), float(progress.get("seconds", 0))
    job.is_orphan = bool(progress.get("orphan"))
    job.progress.done, job.progress.total = progress.get("done", 0.0), progress.get("total")
    about = str(progress.get("about", ""))
    job.created_at = float(progress.get("created", clock.now() - seconds))
    job.show(
        cast("JobState", stored.state), text=stored.text, status=status, seconds=seconds, about=about, result=result
    )


def update_of(job: Job, stored: StoredJob) -> JobUpdate:
    text = plain(job.partial_text)
    return JobUpdate(
        job.id, stored.fence, plain(job.model), progress_of(job), None if len(text) == len(stored.text) else text
    )


def describe_end(stored: StoredJob, job: Job, state: JobState, result: CallToolResult | None) -> None:
    stored.state, stored.model, stored.progress = state, plain(job.model), progress_of(job)
    stored.text, stored.result, stored.tokens = plain("" if result else job.partial_text), None, None
    if result is not None:
        fields = result.model_dump(mode="python", by_alias=True, exclude_none=True)
        stored.result = json.dumps(fields, default=str)
        tokens = cast("dict[str, Any]", result.structured_content or {}).get("tokens")
        stored.tokens = tokens if isinstance(tokens, int) else None


def progress_of(job: Job) -> dict[str, Any]:
    return {
        "status": job.status_text,
        "seconds": round(job.seconds, 1),
        "done": job.progress.done,
        "total": job.progress.total,
        "agreed": sorted(job.consent.granted_keys | job.consent.confirmed_keys),
        "orphan": job.is_orphan,
        # What is kept of a call is what it can go on by, and never the words of a chat.
        "about": plain(job.about) if job.goes_on else "",
        "created": job.created_at,
        "run": job.progress.run,
    }


def may_repeat(arguments: dict[str, Any]) -> bool:
    """Whether running a call again that repeats some of its work costs nothing: no model of it is on ollama.com."""
    named = arguments.get("models", [arguments.get("model", "")])
    return not any(isinstance(name, str) and name and parse_name(name).is_cloud for name in named)


def principal_of(owner: str | None) -> str:
    """Whose a job is in the store. A session ends with its process: after that, its job is known by its id."""
    if owner == EVERYBODY:
        return _LOCAL
    return owner if owner is not None and owner.startswith("token ") else ""


def is_of_caller(principal: str) -> bool:
    """Whether whoever asks may lend a job its rights: the token that it began with; without tokens, any other's."""
    current = CURRENT_PRINCIPAL.get()
    return not principal.startswith("token ") if current is None else principal == f"token {current.name}"


def owner_of(principal: str) -> str | None:
    return EVERYBODY if principal == _LOCAL else principal or None


def plain(text: str) -> str:
    # Half a surrogate pair, which a model may write, has no place in the file.
    return text.encode("utf-8", "replace").decode()
