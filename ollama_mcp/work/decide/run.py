"""Running ollama_decide: collect the texts, files and images of a call, and answer the questions about each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import (
    Forbidden,
    InvalidArgument,
    ModelNotFound,
    OllamaMCPError,
    RunnerFailed,
    Unauthorized,
    Unreachable,
    UnsupportedByVersion,
)
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.decide.decider import Decider, prepare_decider
from ollama_mcp.work.decide.questions import ClosedQuestion, check_questions
from ollama_mcp.work.model_watch import ModelReplaced, ModelWatch
from ollama_mcp.work.parallel import parallel_requests
from ollama_mcp.work.progress import counted

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.decide.verdicts import Verdict
    from ollama_mcp.work.files import ReadResult

# What ollama_batch reads row by row.
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
# Errors that every other input would meet as well.
_FATAL = (Unreachable, ModelNotFound, Unauthorized, Forbidden, UnsupportedByVersion)
# Consecutive inputs, for each task, at which the runner dies and after which the others are not asked.
_CRASHES_PER_TASK = 3
# Fewer inputs take too little time for the model to be replaced.
_WATCHED_INPUTS = 20
_REPLACED = "The answers would come from two models. Make the same call again."


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What the questions are about.

    Args:
        texts: Texts.
        files: Paths, globs and what else `ollama_mcp.work.files` takes.
        images: Sources of images.
    """

    texts: Sequence[str] = ()
    files: Sequence[str] = ()
    images: Sequence[str] = ()


@dataclass(slots=True)
class InputResult:
    """One input, and once it is decided its verdicts or its error.

    Args:
        input: Its name in the result: "text 1", a path, "image 1".
        text: The text, or "".
        image: The source of the image, or "".
        from_file: Whether it was read from a file, so that the agent never saw it.
        verdicts: By name of the question; empty where it failed.
        error: Why it failed.
    """

    input: str
    text: str = ""
    image: str = ""
    from_file: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, "Verdict"])
    error: OllamaMCPError | None = None


@dataclass(frozen=True, slots=True)
class DecisionReport:
    """The results for all inputs, in their order.

    Args:
        model: The model that answered.
        method: See `Decider`.
        rows: A result for each input.
        unread: Path and reason of each file that could not be read.
        notes: What should be known about the results.
    """

    model: str
    method: str
    rows: list[InputResult]
    unread: list[tuple[str, str]]
    notes: list[str]


async def decide_inputs(
    call: CallContext,
    questions: Sequence[ClosedQuestion],
    inputs: DecisionInputs,
    model: str,
    *,
    shuffle: bool = False,
) -> DecisionReport:
    """Answer the questions about each input by itself, several inputs at a time; one that fails does not end the call.

    Raises:
        OllamaMCPError: A question is wrong, the model cannot do it, or every input failed: then the first failure.
    """
    check_questions(questions, call.settings.limits.questions)
    rows, unread = await collect_inputs(call, inputs)
    tables = _table_notes(rows)
    # An image among text files may fail by itself; where there is nothing else, the model needs vision.
    needs_vision = bool(inputs.images) or all(row.image for row in rows)
    decider = await prepare_decider(call, questions, model, images=needs_vision, shuffle=shuffle)
    # Only now is it known which model it is, and nothing was sent yet.
    if any(row.from_file for row in rows):
        await check_cloud_policy(call, decider.model, "cloud_files")
    notes = await _decide_all(call, decider, rows)
    failed = [row.error for row in rows if row.error is not None]
    if len(failed) == len(rows):
        raise failed[0]
    return DecisionReport(decider.model, decider.method, rows, unread, [*decider.notes, *tables, *notes])


async def _decide_all(call: CallContext, decider: Decider, rows: Sequence[InputResult]) -> list[str]:
    """Decide all inputs; returns what should be known about those that were left.

    Raises:
        ModelReplaced: Another model has the name now.
    """
    # One iterator for all tasks: each takes the next row.
    waiting, done, total = iter(rows), 0, len(rows)
    fatal: OllamaMCPError | None = None
    crashes = left = 0
    parallel = min(await parallel_requests(call, decider.model), total)
    limit = _CRASHES_PER_TASK * parallel
    watch = await ModelWatch.begin(call, decider.model, _REPLACED) if total >= _WATCHED_INPUTS else None

    async def work() -> None:
        nonlocal done, fatal, crashes, left
        for row in waiting:
            if fatal is None:
                await _decide_one(call, decider, row)
                crashes = crashes + 1 if isinstance(row.error, RunnerFailed) else 0
                if isinstance(row.error, _FATAL) or crashes >= limit:
                    fatal = row.error
                if watch is not None and watch.is_due(1):
                    fatal = await _replaced(watch) or fatal
            else:
                # A host that is gone is not asked for each of the inputs that are left.
                row.error = fatal
                left += 1
            done += 1
            text = f"{done} of {total} inputs"
            await call.progress.update(done, text.__str__, total=total)

    async with (
        call.progress.phase(f"judging {counted(total, 'input')} with {decider.model}"),
        asyncio.TaskGroup() as group,
    ):
        for _ in range(parallel):
            group.create_task(work())
    if watch is not None:
        await watch.check()
    if left and crashes >= limit:
        return [f"Given up after {crashes} inputs at which the model's process died: {left} were not asked."]
    return []


async def _replaced(watch: ModelWatch) -> ModelReplaced | None:
    try:
        await watch.check()
    except ModelReplaced as error:
        return error
    return None


async def _decide_one(call: CallContext, decider: Decider, row: InputResult) -> None:
    try:
        images: list[str] = []
        if row.image:
            from ollama_mcp.work.chat.attachments import prepare_images

            images = await prepare_images(call, [row.image], decider.model, [])
        row.verdicts = await decider.decide(row.text, images, from_file=row.from_file)
    except OllamaMCPError as error:
        row.error = error
    # Frees the texts before the last input is decided.
    row.text = row.image = ""


async def collect_inputs(call: CallContext, inputs: DecisionInputs) -> tuple[list[InputResult], list[tuple[str, str]]]:
    """Read the inputs, in the order texts, files, images.

    Returns:
        A result to be filled for each input, and for each file that cannot be read its path and the reason.

    Raises:
        FolderNotAllowed: The user may allow a folder.
        OllamaMCPError: There are no inputs, or too many.
    """
    _check_count(call, inputs)
    reading = await _read(call, inputs)
    return _rows(inputs, reading), [(file.spec, file.reason) for file in reading.unread]


def _check_count(call: CallContext, inputs: DecisionInputs) -> None:
    count, limit = len(inputs.texts) + len(inputs.files) + len(inputs.images), call.settings.limits.files
    if not count:
        raise InvalidArgument("There is nothing to judge.", next_step="Give texts, files or images.")
    if count > limit:
        raise InvalidArgument(
            f"{count:,} inputs were given, at most {limit:,} are taken (setting limits.files).",
            next_step="Use ollama_batch, which takes any number.",
        )


async def _read(call: CallContext, inputs: DecisionInputs) -> ReadResult:
    from ollama_mcp.work.files import ReadResult, read_files, read_optional_files

    if not inputs.files:
        return ReadResult()
    read = read_optional_files if inputs.texts or inputs.images else read_files
    return await read(call.access, inputs.files, call.settings)


def _rows(inputs: DecisionInputs, reading: ReadResult) -> list[InputResult]:
    rows = [InputResult(f"text {number}", text=text) for number, text in enumerate(inputs.texts, start=1)]
    times = Counter(document.path for document in reading.documents)
    for document in reading.documents:
        # The path is enough, unless several ranges of one file are given.
        lines = f":{document.first_line}-{document.last_line}" if times[document.path] > 1 else ""
        rows.append(InputResult(f"{document.path}{lines}", text=document.text, from_file=True))
    rows += [InputResult(path, image=path, from_file=True) for path in reading.images]
    for number, source in enumerate(inputs.images, start=1):
        rows.append(InputResult(_image_name(source) or f"image {number}", image=source))
    return rows


def _table_notes(rows: Sequence[InputResult]) -> list[str]:
    """What to call where a table was given, whose rows are probably what was to be judged."""
    table = next((row for row in rows if row.from_file and row.input.lower().endswith(_TABLES) and row.text), None)
    if table is None or table.text.strip().count("\n") < 1:
        return []
    from ollama_mcp.access.quoting import quoted

    return [
        f"{quoted(table.input)} was judged as one text. For an answer to each of its rows call ollama_batch with the "
        "file as input and the same questions."
    ]


def _image_name(source: str) -> str:
    """The path or URL of an image; "" where the text is the image itself, or cannot be one."""
    from ollama_mcp.media.sources import parse_source

    try:
        return source if parse_source(source).kind in ("path", "url") else ""
    except InvalidArgument:
        return ""
