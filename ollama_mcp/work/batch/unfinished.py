"""Batches that stopped before their end, with this process or an earlier one: what is kept, so that they can go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import DiskError
from ollama_mcp.work.batch.concurrency import is_locked, run_lock

if TYPE_CHECKING:
    from ollama_mcp.store import Store
    from ollama_mcp.work.batch.spec import BatchSpec

# The batches used last are listed; older ones are found by their own call.
_MAX_LISTED = 10
_TASK_CHARS = 120


@dataclass(frozen=True, slots=True)
class UnfinishedBatch:
    """A batch of which rows are kept.

    Args:
        input: What it reads.
        task: How its prompt or its first question begins, or "embed".
        model: The model that worked on it.
        output: The file that its last call named, or "".
        done: Rows that succeeded.
        failed: Rows that failed.
        total: Rows of the input.
    """

    input: str
    task: str
    model: str
    output: str
    done: int
    failed: int
    total: int | None


def description(spec: BatchSpec) -> dict[str, Any]:
    """What a checkpoint keeps of its batch, so that somebody who finds it knows which call resumes it."""
    task = spec.questions[0].question if spec.questions else spec.prompt or "embed"
    task = " ".join(task[: 2 * _TASK_CHARS].split())
    shown = task if len(task) <= _TASK_CHARS else f"{task[: _TASK_CHARS - 1]}…"
    return {"prompt": shown, "output": spec.output}


async def unfinished_batches(store: Store) -> list[UnfinishedBatch]:
    """The batches with kept rows on which no server works now, the one used last first; none from a broken store."""
    try:
        runs = await store.batches.unfinished()
    except DiskError:
        return []
    found: list[UnfinishedBatch] = []
    for run in runs:
        if len(found) == _MAX_LISTED:
            break
        if not (run.done or run.failed) or await is_locked(run_lock(run.key)):
            continue
        known = run.metadata
        words = {name: str(known.get(name, "")) for name in ("input", "prompt", "model", "output")}
        found.append(
            UnfinishedBatch(
                words["input"], words["prompt"], words["model"], words["output"], run.done, run.failed, run.total
            )
        )
    return found
