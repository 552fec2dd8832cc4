"""The same questions about many texts, files and images: some at once, and one that fails does not sink the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.errors import (
    Forbidden,
    ModelNotFound,
    OllamaMCPError,
    Unauthorized,
    Unreachable,
    UnsupportedByVersion,
)
from ollama_mcp.work.cloud import keep_home
from ollama_mcp.work.decide.decider import Decider, prepare_decider
from ollama_mcp.work.decide.inputs import Inputs, Judged, gather
from ollama_mcp.work.decide.questions import Question, check_questions

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext

# What says nothing about the one input, so that the next would fail alike.
_FOR_ALL = (Unreachable, ModelNotFound, Unauthorized, Forbidden, UnsupportedByVersion)


@dataclass(frozen=True, slots=True)
class Judgement:
    """All inputs, in their order, and what should be known of them."""

    model: str
    way: str
    rows: list[Judged]
    unread: list[tuple[str, str]]
    notes: list[str]


async def judge(
    call: CallContext,
    questions: Sequence[Question],
    inputs: Inputs,
    model: str,
    *,
    shuffle: bool = False,
) -> Judgement:
    """Ask the questions about each input by itself.

    Raises:
        OllamaMCPError: A question is wrong, the model cannot do it, or every input failed: then the first failure.
    """
    check_questions(questions, call.settings.limits.questions)
    rows, unread = await gather(call, inputs)
    # A picture among files of text fails by itself; where there is nothing else, the model has to see.
    must_see = bool(inputs.images) or all(row.image for row in rows)
    decider = await prepare_decider(call, questions, model, images=must_see, shuffle=shuffle)
    if any(row.from_file for row in rows):
        await keep_home(call, decider.model, "cloud_files")
    await _judge_all(call, decider, rows)
    failed = [row.error for row in rows if row.error is not None]
    if len(failed) == len(rows):
        raise failed[0]
    return Judgement(decider.model, decider.way, rows, unread, decider.notes)


async def _judge_all(call: CallContext, decider: Decider, rows: Sequence[Judged]) -> None:
    waiting, done, total = iter(rows), 0, len(rows)
    fatal: OllamaMCPError | None = None

    async def lane() -> None:
        nonlocal done, fatal
        for row in waiting:
            if fatal is None:
                await _judge_one(call, decider, row)
                fatal = row.error if isinstance(row.error, _FOR_ALL) else None
            else:
                row.error = fatal
            done += 1
            said = f"{done} of {total} inputs"
            await call.progress.update(done, said.__str__, total=total)

    async with call.progress.phase(f"judging {total} inputs with {decider.model}"), asyncio.TaskGroup() as group:
        for _ in range(min(call.settings.work.parallel, total)):
            group.create_task(lane())


async def _judge_one(call: CallContext, decider: Decider, row: Judged) -> None:
    try:
        images: list[str] = []
        if row.image:
            from ollama_mcp.work.senses import see

            images = await see(call, [row.image], decider.model, [])
        row.verdicts = await decider.decide(row.text, images, from_file=row.from_file)
    except OllamaMCPError as error:
        row.error = error
    # A thousand texts need not stay in memory until the last is judged.
    row.text = row.image = ""
