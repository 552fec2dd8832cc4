"""Running a comparison: one model after another, so that each has the memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ollama_mcp.errors import (
    BadAnswer,
    ContextOverflow,
    DiskError,
    Interrupted,
    InvalidArgument,
    NoAnswer,
    NotAllowed,
    OllamaMCPError,
    TooLong,
)
from ollama_mcp.formats.names import parse_name, same_model
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.cloud import keep_home
from ollama_mcp.work.compare.files import SUFFIXES, as_file
from ollama_mcp.work.compare.prompts import read_prompts
from ollama_mcp.work.compare.results import Comparison, Row, Trial, shown_error
from ollama_mcp.work.inference import Wish, answer, prepare

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.api import RunningModel
    from ollama_mcp.work.context import CallContext

FEWEST, MOST = 2, 20
# What went wrong with one prompt says nothing of the next, as does an answer that broke off; anything else is the
# model's or the host's.
_OF_ONE_PROMPT = (InvalidArgument, TooLong, ContextOverflow, NoAnswer, BadAnswer, Interrupted)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be compared.

    Args:
        models: Names of two to twenty models.
        prompt: The prompt; or `prompts_file`.
        prompts_file: A file of prompts, as `read_prompts` takes it.
        system: Instructions for all.
        images: Sources of images that go with each prompt.
        output: A file for all that was answered, ending in .json, .jsonl or .md; "" writes none.
        overwrite: Whether a file of that name may be replaced.
    """

    models: Sequence[str]
    prompt: str = ""
    prompts_file: str = ""
    system: str = ""
    images: Sequence[str] = ()
    output: str = ""
    overwrite: bool = False


async def compare(call: CallContext, order: Order) -> Comparison:
    """Ask each model all prompts before the next model is asked.

    No model is unloaded: Ollama makes room for the next one by itself, and lets each go by its keep_alive. Where one
    stayed and kept the next from the GPU, that one's notes say so.

    Args:
        call: The context of the call.
        order: What is to be compared.

    Returns:
        The comparison; a model that failed is a row with its error.

    Raises:
        OllamaMCPError: An argument is wrong or the output may not be written, all before any model is asked; or no
            model gave any answer.
    """
    _check(order)
    prompts = await read_prompts(call, order.prompts_file) if order.prompts_file else [order.prompt]
    output = await asyncio.to_thread(_prepared, call, order) if order.output else None
    with output or nullcontext():
        found = await _compared(call, order, prompts)
        return await asyncio.to_thread(_written, found, output) if output is not None else found


def _check(order: Order) -> None:
    count = len(order.models)
    if not FEWEST <= count <= MOST:
        raise InvalidArgument(
            f"models names {count}, but {FEWEST} to {MOST} can be compared.",
            next_step="Name installed ones; ollama_list_models shows them.",
        )
    seen: dict[str, str] = {}
    for name in order.models:
        other = seen.setdefault(parse_name(name, argument="models").key, name)
        if other is not name:
            raise InvalidArgument(f"models names {name!r} twice.", next_step="Name each model once.")
    if bool(order.prompt.strip()) == bool(order.prompts_file):
        raise InvalidArgument("Give either prompt or prompts_file, not both and not neither.")


def _prepared(call: CallContext, order: Order) -> Output:
    return call.access.prepare_output(order.output, SUFFIXES, overwrite=order.overwrite)


async def _compared(call: CallContext, order: Order, prompts: Sequence[str]) -> Comparison:
    rows: list[Row] = []
    async with call.progress.phase(f"comparing {len(order.models)} models"):
        for name in order.models:
            rows.append(await _Bench(call, order, prompts, name.strip(), len(rows)).row())
    if not any(row.answered for row in rows):
        raise _nobody(rows)
    shared = [note for note in rows[0].notes if all(note in row.notes for row in rows)]
    own = [replace(row, notes=[note for note in row.notes if note not in shared]) for row in rows]
    return Comparison(order.system, prompts, own, shared)


def _written(found: Comparison, output: Output) -> Comparison:
    """The comparison with its file; what took so long to find is not lost where the disk fails in the end."""
    try:
        output.write(as_file(found, output.path))
    except (DiskError, NotAllowed) as error:
        return replace(found, notes=[*found.notes, shown_error(error)])
    return replace(found, path=output.path)


def _nobody(rows: Sequence[Row]) -> OllamaMCPError:
    """The first model's error, which is to stand for all."""
    errors = [(row.model, row.error) for row in rows]
    kinds = ", ".join(f"{model}: {error.kind}" for model, error in errors[1:4] if error is not None)
    model, first = errors[0]
    assert first is not None
    more = ", ..." if len(errors) > 4 else ""
    first.message = f"None of the {len(rows)} models answered. {model}: {first.message} ({kinds}{more})"
    return first


class _Bench:
    """One model at work.

    Args:
        call: The context of the call.
        order: What is to be compared.
        prompts: The prompts.
        model: The model.
        place: How many models were asked before.
    """

    def __init__(self, call: CallContext, order: Order, prompts: Sequence[str], model: str, place: int) -> None:
        self._kit = call
        self._order = order
        self._prompts = prompts
        self._model = model
        self._done = place * len(prompts)
        self._has_begun = False

    async def row(self) -> Row:
        """Ask all prompts, and see what memory that takes."""
        was_loaded = await self._kit.hosts.contexts.loaded(self._model) is not None
        trials: list[Trial] = []
        for number in range(1, len(self._prompts) + 1):
            trials.append(await self._trial(number))
            error = trials[-1].error
            if error is not None and not isinstance(error, _OF_ONE_PROMPT) and not error.partial:
                break
        row = Row(self._model, trials, notes=[*_said(trials), *(["It was loaded already."] if was_loaded else [])])
        return await self._with_memory(row) if row.answered else row

    async def _trial(self, number: int) -> Trial:
        self._has_begun = False

        def said() -> str:
            prompt = f"prompt {number} of {len(self._prompts)}"
            return f"{self._model} answers {prompt}" if self._has_begun else f"waiting for {self._model}, {prompt}"

        total = len(self._prompts) * len(self._order.models)
        await self._kit.progress.update(self._done + number - 1, said, total)
        try:
            return await self._asked(number)
        except OllamaMCPError as error:
            return Trial(number, text=error.partial, error=error)

    async def _asked(self, number: int) -> Trial:
        from ollama_mcp.api import ChatRequest, Message

        call, order, prompt = self._kit, self._order, self._prompts[number - 1]
        if order.prompts_file:
            await keep_home(call, self._model, "cloud_files")
        wish = Wish(
            "chat",
            self._model,
            include=["stats"],
            images=order.images,
            file_tokens=estimate_tokens(prompt) if order.prompts_file else 0,
        )
        prepared = await prepare(call, wish, [order.system, prompt])
        turns = [Message(role="system", content=order.system)] if order.system else []
        turns.append(Message(role="user", content=prompt, images=prepared.images or None))
        request = ChatRequest(model=prepared.model, messages=turns, keep_alive=call.keep_alive(None), **prepared.fields)
        waited = 0.0

        def began() -> None:
            nonlocal waited
            waited = time.perf_counter() - started
            self._has_begun = True

        started = time.perf_counter()
        found = await answer(call, request, prepared, quiet=True, began=began)
        figures = found.stats or {}
        first = round(max(0.0, waited - figures.get("load_seconds", 0.0)), 3)
        return Trial(number, found.text, None, found.notes, first, figures)

    async def _with_memory(self, row: Row) -> Row:
        if parse_name(row.model).is_cloud:
            return row
        self._kit.hosts.contexts.forget()
        running = await self._kit.hosts.contexts.running()
        own = next((one for one in running if same_model(one.name, row.model)), None)
        if own is None or not own.size:
            return row
        share = round(min(1.0, own.size_vram / own.size), 3)
        notes = [*row.notes, *_crowded(own, running)]
        return replace(row, memory_bytes=own.size, gpu_share=share, notes=notes)


def _crowded(own: RunningModel, running: Sequence[RunningModel]) -> list[str]:
    """A note where another model's memory on the GPU is what this one lacks there."""
    others = [one.name for one in running if one is not own and one.size_vram]
    if own.size_vram >= own.size or not others:
        return []
    return [
        f"Not wholly on the GPU while {', '.join(others)} stayed loaded; after ollama_unload_model of those it may be "
        "faster."
    ]


def _said(trials: Sequence[Trial]) -> list[str]:
    """The notes of all trials: those that not all have are told with the number of the prompt."""
    notes: list[str] = []
    for trial in trials:
        for note in trial.notes:
            is_shared = all(note in other.notes for other in trials)
            notes.append(note if is_shared else f"Prompt {trial.prompt}: {note}")
    return list(dict.fromkeys(notes))
