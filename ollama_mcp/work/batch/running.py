"""A batch from its order to its report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from threading import Event
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.formats.names import parse_name
from ollama_mcp.store import CheckpointLost
from ollama_mcp.work.batch.closing import Closing, Sums
from ollama_mcp.work.batch.feed import Feed
from ollama_mcp.work.batch.lanes import Lanes, Tally
from ollama_mcp.work.batch.locks import locked
from ollama_mcp.work.batch.order import SHOWN_ROWS, Order
from ollama_mcp.work.batch.rows import InputChanged, Source
from ollama_mcp.work.batch.sources import IMAGE_SUFFIXES, ManyFiles, open_source
from ollama_mcp.work.batch.threads import in_thread
from ollama_mcp.work.batch.workers import Worker
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.cloud import Setting, keep_home
from ollama_mcp.work.senses import see

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.store import BatchRun
    from ollama_mcp.work.context import CallContext

_COUNTED = 20_000


@dataclass(frozen=True, slots=True)
class Report:
    """What a batch came to.

    Args:
        model: The model that worked.
        path: Where the rows are, or "".
        total: Rows of the input.
        tally: What this call did of them.
        sums: What all of them add up to.
        notes: What the agent should know.
    """

    model: str
    path: str
    total: int
    tally: Tally
    sums: Sums
    notes: list[str]


async def run_batch(call: CallContext, order: Order) -> Report:
    """Work on all rows of an input, several at a time, and write what came of them.

    Each row is kept as soon as it is done. A call that is broken off, by whatever, goes on where it was when it is
    made again: neither its output nor its limit has to be the same.

    Args:
        call: The context of the call.
        order: What to do.

    Raises:
        OllamaMCPError: Nothing was begun, or what was done is kept; the message says which.
    """
    order.check()
    source = await open_source(call, order.input, order.chunk_chars)
    try:
        async with _output(call, order) as output:
            return await _run(call, order, source, output)
    finally:
        await asyncio.to_thread(source.close)


async def _run(call: CallContext, order: Order, source: Source, output: Output | None) -> Report:
    async with call.progress.phase(f"reading {source.shown}"):
        total = await in_thread(partial(_count, source))
        order.check_rows(total)
        worker, model, found = await _worker(call, order, source)
        key = order.key(source, model, await _digest(call, model))
        last = min(total, order.limit or total)
        names = [f"run {key}", *([f"output {output.path}"] if output is not None else [])]
        async with locked(names, shown=output.path if output is not None else source.shown):
            run = await call.store.batches.open(key, total=total, about={"model": model, "input": source.shown})
            tally = Tally(last, await _done_before(run, last))
            await _work(call, worker, source, run, tally)
            sums = await _closed(call, Closing(order, source, run, last), output, tally)
            # Rows that failed can be asked for again without the others, where that outlives this call.
            if last == total and not (sums.failed and call.store.batches.lasting):
                await run.remove()
    # Only now is it known how often a model did not keep to its letters.
    notes = [*found(), *source.notes, *_notes(call, order, tally, sums, total)]
    return Report(model, output.path if output is not None else "", total, tally, sums, notes)


@asynccontextmanager
async def _output(call: CallContext, order: Order) -> AsyncGenerator[Output | None]:
    if not order.output:
        yield None
        return
    prepare = partial(call.access.prepare_output, order.output, order.suffixes, overwrite=order.overwrite)
    with ExitStack() as held:
        # A call that is cancelled meanwhile waits for the thread, and lets go of the folder that it opened.
        yield await in_thread(lambda _: held.enter_context(prepare()))


def _count(source: Source, given_up: Event) -> int:
    total = sum(1 for _ in takewhile(lambda _: not given_up.is_set(), source.rows()))
    if not total:
        raise InvalidArgument(f"{source.shown} has no rows.", next_step="Give an input that holds something.")
    return total


async def _worker(call: CallContext, order: Order, source: Source) -> tuple[Worker, str, Callable[[], list[str]]]:
    """Who does the work, with which model, and what tells what should be known of that."""
    images = await asyncio.to_thread(_has_images, source)
    if order.questions:
        from ollama_mcp.work.batch.deciding import Deciding
        from ollama_mcp.work.decide import prepare_decider

        decider = await prepare_decider(call, order.questions, order.model, images=images, options=order.options)
        await keep_home(call, decider.model, *_needed(source))
        return Deciding(call, order.prompt, source, decider), decider.model, lambda: decider.notes
    chosen = await choose(call, order.model, "embed" if order.embed else "chat", vision=images)
    notes = [chosen.note] if chosen.note else []
    await keep_home(call, chosen.model, *_needed(source))
    if images:
        # Without images it only says whether this model may be given some.
        await see(call, (), chosen.model, [])
    if order.embed:
        from ollama_mcp.work.batch.embedding import Embedding

        return Embedding(call, order, source, chosen.model), chosen.model, lambda: notes
    from ollama_mcp.work.batch.prompting import Prompting

    return Prompting(call, order, source, chosen.model), chosen.model, lambda: notes


def _needed(source: Source) -> tuple[Setting, ...]:
    """What has to be allowed before a model in the cloud gets these rows."""
    return ("cloud_batch", "cloud_files") if source.from_files else ("cloud_batch",)


def _has_images(source: Source) -> bool:
    if not isinstance(source, ManyFiles):
        return False
    return any(str(row.place["path"]).lower().endswith(IMAGE_SUFFIXES) for row in source.rows())


async def _digest(call: CallContext, model: str) -> str:
    if parse_name(model).is_cloud:
        return ""
    return (await call.hosts.installed_model(model)).digest


async def _done_before(run: BatchRun, last: int) -> int:
    """How many of the rows that count are done already; counted in pages, for there may be a million."""
    done = 0
    for first in range(1, last + 1, _COUNTED):
        if done == run.done + run.failed:
            break
        end = min(first + _COUNTED - 1, last)
        done += end - first + 1 - len(await run.missing(first, end))
    return done


async def _work(call: CallContext, worker: Worker, source: Source, run: BatchRun, tally: Tally) -> None:
    """Two passes: what is not done, then once more what failed for a reason that may have passed."""
    try:
        await Lanes(call, worker, run, tally, again=False).go_through(
            Feed(source.rows(), run, tally.total, worker.size)
        )
        await asyncio.to_thread(source.check)
        again = await _worth_another_try(run, tally)
        if again:
            feed = Feed(source.rows(), run, tally.total, worker.size, only=again)
            await Lanes(call, worker, run, tally, again=True).go_through(feed)
    except OllamaMCPError as error:
        raise _stopped(error, tally) from error.__cause__


async def _worth_another_try(run: BatchRun, tally: Tally) -> set[int]:
    """The rows that failed, now or in an earlier call, but for those that a second try cannot mend."""
    found, after = set(tally.unreached), 0
    while page := await run.failures(after=after):
        found.update(row for row in page if row <= tally.total and row not in tally.hopeless)
        after = page[-1]
    return found


async def _closed(call: CallContext, closing: Closing, output: Output | None, tally: Tally) -> Sums:
    async with call.progress.phase("writing the rows"):
        try:
            return await closing.into(output)
        except OllamaMCPError as error:
            raise _stopped(error, tally) from error.__cause__


def _stopped(error: OllamaMCPError, tally: Tally) -> OllamaMCPError:
    """The error with what it leaves behind; one after which the same call begins anew says so itself."""
    if isinstance(error, (InputChanged, CheckpointLost)):
        return error
    ready = tally.before + tally.done
    error.message = f"Stopped with {ready:,} of {tally.total:,} rows done, which are kept: {error.message}"
    error.next_step = f"{error.next_step} The same call goes on from there.".lstrip()
    error.args = (error.message,)
    return error


def _notes(call: CallContext, order: Order, tally: Tally, sums: Sums, total: int) -> list[str]:
    notes = list(sums.notes)
    if tally.total < total:
        where = "another output or overwrite" if order.output else "output"
        notes.append(
            f"A trial: the first {tally.total:,} of {total:,} rows. The same call without limit goes on from there, "
            f"with {where}."
        )
    elif sums.failed and call.store.batches.lasting:
        where = ", with overwrite," if order.output else ""
        notes.append(f"The same call{where} asks again for the {sums.failed:,} that failed and for no other.")
    if tally.before:
        notes.append(f"{tally.before:,} rows were done by an earlier call.")
    if sums.noted:
        notes.append(f"{sums.noted:,} rows have notes of their own, such as an answer that was cut.")
    if total > SHOWN_ROWS and not call.store.batches.lasting:
        notes.append("Nothing is kept on the disk here (store.path), so a call that breaks off starts anew.")
    return notes
