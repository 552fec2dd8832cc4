"""Running a batch: open the input, process its rows, write the output, report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from threading import Event
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.call_scope import mark_bulk
from ollama_mcp.store import CheckpointLost
from ollama_mcp.work.batch.concurrency import batch_locks, run_lock
from ollama_mcp.work.batch.elsewhere import RowsToDo
from ollama_mcp.work.batch.file_sources import TextFileSource
from ollama_mcp.work.batch.output import BatchTotals, Observe, OutputWriter
from ollama_mcp.work.batch.pool import BatchProgress, RowQueue, WorkerPool
from ollama_mcp.work.batch.processors import (
    MAX_CRASHES,
    DecisionProcessor,
    EmbeddingProcessor,
    PromptProcessor,
    RowProcessor,
)
from ollama_mcp.work.batch.rows import InputChanged, RowSource
from ollama_mcp.work.batch.sources import IMAGE_SUFFIXES, FileListSource, open_source
from ollama_mcp.work.batch.spec import MAX_INLINE_ROWS, BatchSpec
from ollama_mcp.work.batch.unfinished import description
from ollama_mcp.work.chat.attachments import prepare_images
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.cloud_policy import CloudSetting, check_cloud_policy
from ollama_mcp.work.model_watch import ModelReplaced, ModelWatch
from ollama_mcp.work.parallel import (
    DEFAULT_PARALLEL,
    LARGE,
    MOST_PARALLEL,
    Ramp,
    described,
    keep_result,
    parallel_or_ramp,
)
from ollama_mcp.work.threads import close_in_thread, open_in_thread, run_in_thread

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.store import BatchRun
    from ollama_mcp.work.call_context import CallContext

# Rows per query when finished rows are counted: there may be a million.
_COUNT_PAGE_ROWS = 20_000
_REPLACED = (
    "The same call processes all rows again with the current model; the kept rows are used once the former model has "
    "that name again."
)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a batch came to.

    Args:
        model: The model that worked.
        path: The output file, or "".
        total: Rows of the input.
        progress: What this call did of them.
        totals: The counts of all rows, earlier calls included.
        notes: What the agent should know.
    """

    model: str
    path: str
    total: int
    progress: BatchProgress
    totals: BatchTotals
    notes: list[str]


async def run_batch(call: CallContext, spec: BatchSpec, observe: Observe | None = None) -> BatchReport:
    """Work on all rows of an input, several at a time, and write the results.

    Each row is kept as soon as it is done. After an interruption of any kind, the same call resumes where it stopped;
    its output and limit may differ.

    Args:
        call: The context of the call.
        spec: The arguments of the batch.
        observe: Is given the result of each row as it is written.

    Raises:
        OllamaMCPError: Nothing was begun, or what was done is kept; the message says which.
    """
    spec.validate()
    mark_bulk()
    source = await open_source(call, spec.input, spec.chunk_chars)
    try:
        # Opened before the first row: an output that is refused at the end would cost all the work.
        async with open_output(call, spec) as output:
            return await _run(call, spec, source, output, observe)
    finally:
        await close_in_thread(source)


async def _run(
    call: CallContext, spec: BatchSpec, source: RowSource, output: Output | None, observe: Observe | None
) -> BatchReport:
    async with call.progress.phase(f"reading {source.label}"):
        total = await run_in_thread(partial(count_rows, source))
        spec.check_row_count(total)
        processor = await prepare_processor(call, spec, source, total)
        model = processor.model
        digest = await model_digest(call, model)
        # Reads the store's observations of models now, so that no row has to wait for them.
        await call.store.models.token_ratio(digest)
        key, task = spec.checkpoint_key(source, model, digest), spec.checkpoint_key(source, model, "")
        last = min(total, spec.limit or total)
        # A checkpoint takes one caller at a time; so does a file that is replaced at the end.
        locks = [run_lock(key), *([f"output {output.path}"] if output is not None else [])]
        async with batch_locks(locks, label=output.path if output is not None else source.label):
            upgraded = await note_upgrade(call, key, task, model, digest)
            about = {"model": model, "input": source.label, "task": task, "digest": digest, **description(spec)}
            checkpoint = await call.batches.open(key, total=total, metadata=about)
            progress = BatchProgress(last, await count_done(checkpoint, last))
            watch = ModelWatch(call, model, digest, _REPLACED)
            with call.in_use.track(model) as earlier:
                # Until the first row is done; then the rows are counted.
                stop_waiting = call.report_waiting(model, earlier, about=f"{progress.finished:,} of {last:,} rows: ")
                try:
                    tuned = await _elsewhere(
                        call, RowsToDo(call, spec, source, processor, checkpoint, progress, digest, total)
                    )
                    if tuned is None or progress.finished < progress.total:
                        notes = await process_rows(call, processor, source, checkpoint, progress, watch, digest)
                        tuned = [*(tuned or ()), *notes]
                finally:
                    stop_waiting()
            writer = OutputWriter(spec, source, checkpoint, last, observe)
            totals = await write_output(call, writer, output, progress)
            # Rows that failed can be asked for again without the others, where the store outlives this process.
            if last == total and not (totals.failed and call.store.batches.persistent):
                call.afterwards.append(checkpoint.remove)
    notes = [*upgraded, *tuned, *processor.notes, *source.notes, *_notes(call, spec, progress, totals, total)]
    return BatchReport(model, output.path if output is not None else "", total, progress, totals, notes)


async def _elsewhere(call: CallContext, batch: RowsToDo) -> list[str] | None:
    """Have the rows worked on by processes that share the store; None where there are none."""
    return None if call.workers is None else await call.workers().work_on(batch)


@asynccontextmanager
async def open_output(call: CallContext, spec: BatchSpec) -> AsyncGenerator[Output | None]:
    """The output of a batch, checked before any work; None where it names none."""
    if not spec.output:
        yield None
        return
    prepare = partial(
        call.access.prepare_output, spec.output, spec.suffixes, overwrite=spec.overwrite, again=call.resumed
    )
    with await open_in_thread(prepare) as output:
        yield output


def count_rows(source: RowSource, cancelled: Event) -> int:
    """How many rows a source has.

    Raises:
        InvalidArgument: It has none.
    """
    rows = source.each() if isinstance(source, TextFileSource) else source.rows()
    total = sum(1 for _ in takewhile(lambda _: not cancelled.is_set(), rows))
    if not total:
        raise InvalidArgument(f"{source.label} has no rows.", next_step="Give an input with at least one row.")
    return total


async def prepare_processor(call: CallContext, spec: BatchSpec, source: RowSource, total: int) -> RowProcessor:
    """Choose the model and check that it may and can do the work, before anything is asked."""
    images = await asyncio.to_thread(_has_images, source)
    cloud_settings: tuple[CloudSetting, ...] = ("cloud_batch", "cloud_files") if source.from_files else ("cloud_batch",)
    if spec.questions:
        from ollama_mcp.work.decide import prepare_decider

        # Where rows measure how many are worth it, only their number is the limit.
        most = MOST_PARALLEL if total >= LARGE else DEFAULT_PARALLEL
        decider = await prepare_decider(
            call, spec.questions, spec.model, images=images, options=spec.options, unmeasured=most
        )
        await check_cloud_policy(call, decider.model, *cloud_settings)
        return DecisionProcessor(call, spec.prompt, source, decider)
    choice = await choose(call, spec.model, "embed" if spec.embed else "chat", vision=images)
    await check_cloud_policy(call, choice.model, *cloud_settings)
    if images:
        # With no images it only checks whether this model may be given some.
        await prepare_images(call, (), choice.model, [])
    return (EmbeddingProcessor if spec.embed else PromptProcessor)(call, spec, source, choice)


def _has_images(source: RowSource) -> bool:
    if not isinstance(source, FileListSource):
        return False
    return any(str(row.location["path"]).lower().endswith(IMAGE_SUFFIXES) for row in source.rows())


async def model_digest(call: CallContext, model: str) -> str:
    """The digest of an installed model; "" for one that runs in the cloud."""
    # A cloud model is not on the host, so that there is no digest to compare.
    if parse_name(model).is_cloud:
        return ""
    return (await call.hosts.installed_model(model)).digest


async def note_upgrade(call: CallContext, key: str, task: str, model: str, digest: str) -> list[str]:
    """What a call has to know that finds the rows of the same batch, made by the model as it was before."""
    unfinished = await call.batches.unfinished()
    if any(other.key == key for other in unfinished):
        return []
    for other in unfinished:
        before = str(other.metadata.get("digest", ""))
        if other.metadata.get("task") == task and before != digest and other.done:
            note = (
                f"{model} was replaced since an earlier call (digest {before[:12]} before, {digest[:12]} now): its "
                f"{other.done:,} rows are not used, and all rows are processed again."
            )
            await call.progress.say(note)
            return [note]
    return []


async def count_done(checkpoint: BatchRun, last: int) -> int:
    """How many of the rows up to `last` are done already."""
    done = 0
    for first in range(1, last + 1, _COUNT_PAGE_ROWS):
        # All that the checkpoint holds are found: the pages that follow are empty.
        if done == checkpoint.done + checkpoint.failed:
            break
        end = min(first + _COUNT_PAGE_ROWS - 1, last)
        done += end - first + 1 - len(await checkpoint.missing(first, end))
    return done


async def process_rows(
    call: CallContext,
    processor: RowProcessor,
    source: RowSource,
    checkpoint: BatchRun,
    progress: BatchProgress,
    watch: ModelWatch,
    digest: str,
) -> list[str]:
    """Two passes: the rows that are not done, then once more those whose errors may have passed; returns notes."""
    try:
        return await work_on_rows(call, processor, source, checkpoint, progress, watch, digest)
    except ModelReplaced as error:
        kept = await count_done(checkpoint, progress.last) - progress.done_before
        progress.done = min(progress.done, kept)
        raise stopped(error, progress) from error.__cause__
    except OllamaMCPError as error:
        raise stopped(error, progress) from error.__cause__


async def work_on_rows(
    call: CallContext,
    processor: RowProcessor,
    source: RowSource,
    checkpoint: BatchRun,
    progress: BatchProgress,
    watch: ModelWatch,
    digest: str,
) -> list[str]:
    """As `process_rows`, with errors as they are."""
    size = processor.rows_per_request
    notes: list[str] = []
    parallel = await parallel_or_ramp(call, processor.model, digest, (progress.total - progress.done_before) // size)
    try:
        queue = RowQueue(source.rows(), checkpoint, progress.last, size)
        pool = WorkerPool(call, processor, checkpoint, progress, watch, parallel, is_retry=False)
        await pool.run(queue)
        if isinstance(parallel, Ramp):
            tuned = await keep_result(call, processor.model, digest, parallel)
            notes += [described(tuned, processor.model)] if tuned is not None else []
            parallel = parallel.parallel
        if progress.crash is not None and progress.crashes >= MAX_CRASHES and not progress.answered:
            raise progress.crash
        # Before the second pass, which reads the input anew: rows of an old and a new content must not mix.
        await asyncio.to_thread(source.check_unchanged)
        if retryable := await _retryable_rows(checkpoint, progress):
            queue = RowQueue(source.rows(), checkpoint, progress.last, size, only=retryable)
            pool = WorkerPool(call, processor, checkpoint, progress, watch, parallel, is_retry=True)
            await pool.run(queue)
        if progress.unverified:
            await pool.verify(final=True)
        return notes
    except ModelReplaced:
        # Nobody knows which of the two answered these.
        await checkpoint.discard(progress.unverified)
        raise


async def _retryable_rows(checkpoint: BatchRun, progress: BatchProgress) -> set[int]:
    """The rows that failed, now or in an earlier call, without those whose errors would come again."""
    found, after = set(progress.unreached), 0
    while page := await checkpoint.failures(after=after):
        found.update(row for row in page if row <= progress.last and row not in progress.permanent_failures)
        after = page[-1]
    return found


async def write_output(
    call: CallContext, writer: OutputWriter, output: Output | None, progress: BatchProgress
) -> BatchTotals:
    async with call.progress.phase("writing the rows"):
        try:
            return await writer.write(output)
        except OllamaMCPError as error:
            raise stopped(error, progress) from error.__cause__


def stopped(error: OllamaMCPError, progress: BatchProgress) -> OllamaMCPError:
    """The error, with how much is done and that the same call goes on."""
    # After these two the same call starts over, which they say themselves.
    if isinstance(error, (InputChanged, CheckpointLost)):
        return error
    done = f"{progress.finished:,} of {progress.total:,}"
    error.message = f"Stopped with {done} rows done, which are kept: {error.message}"
    if not isinstance(error, ModelReplaced):
        error.next_step = f"{error.next_step} The same call resumes from there.".lstrip()
    error.args = (error.message,)
    return error


def _rows_with_notes(spec: BatchSpec, totals: BatchTotals) -> str:
    """Which rows have notes, what the first says, and where they are to be found."""
    numbers, first = totals.first_noted
    more = f" and {totals.noted - len(numbers):,} more" if totals.noted > len(numbers) else ""
    where = "`notes` of each row has them."
    if spec.output.lower().endswith(".csv"):
        where = "A .csv has no column for them; a .jsonl output of the same call has them in `notes` of each row."
    named = f"{', '.join(map(str, numbers))}{more}"
    return f"{totals.noted:,} rows have notes: row {named}. Row {numbers[0]}: {first} {where}"


def _notes(call: CallContext, spec: BatchSpec, progress: BatchProgress, totals: BatchTotals, total: int) -> list[str]:
    notes = list(totals.notes)
    if progress.total < total:
        where = "another output or overwrite" if spec.output else "output"
        notes.append(
            f"A trial: the first {progress.total:,} of {total:,} rows. The same call without limit continues from "
            f"there, with {where}."
        )
    elif totals.failed and call.store.batches.persistent:
        where = ", with overwrite," if spec.output else ""
        notes.append(f"The same call{where} retries only the {totals.failed:,} that failed.")
    if progress.done_before:
        notes.append(f"{progress.done_before:,} rows were done by an earlier call.")
    if totals.noted:
        notes.append(_rows_with_notes(spec, totals))
    if total > MAX_INLINE_ROWS and not call.store.batches.persistent:
        notes.append("Nothing is kept on disk here (store.path), so an interrupted call starts over.")
    return notes
