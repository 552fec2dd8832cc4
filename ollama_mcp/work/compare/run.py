"""Runs a comparison: all prompts on one model after another, so that each has the memory to itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

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
from ollama_mcp.formats.model_names import parse_name, same_model
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.chat.context_window import THINKING_TOKENS
from ollama_mcp.work.chat.request import InferenceRequest, prepare
from ollama_mcp.work.chat.result import CUT_AT_BUDGET
from ollama_mcp.work.chat.run import run
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.compare.prompts import read_prompts
from ollama_mcp.work.compare.results import SUFFIXES, Comparison, ModelResult, Trial, error_line, render_file
from ollama_mcp.work.model_watch import ModelWatch
from ollama_mcp.work.profiles import with_profile
from ollama_mcp.work.threads import open_in_thread

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.api import RunningModel
    from ollama_mcp.work.call_context import CallContext

MIN_MODELS, MAX_MODELS = 2, 20
# Without a file only the beginning of an answer is shown; a model that writes on writes that for nobody.
SHOWN_TOKENS = 1_024
_CUT = f"Cut after about {SHOWN_TOKENS:,} tokens; output takes whole answers."
_REPLACED = "Its answers would be those of two models. Make the same call again."
# Errors of one prompt, after which the next one is still asked; any other is due to the model or the host.
_PROMPT_ERRORS = (InvalidArgument, TooLong, ContextOverflow, NoAnswer, BadAnswer, Interrupted)


@dataclass(frozen=True, slots=True)
class ComparisonSpec:
    """What to compare.

    Args:
        models: Names of two to twenty models, or profiles ("profile:NAME").
        prompt: The prompt; or `prompts_file`.
        prompts_file: A file of prompts, as `read_prompts` takes it.
        system: The system prompt for all models, or "".
        images: Sources of images that go with each prompt.
        output: A file for all answers in full, ending in .json, .jsonl or .md; "" writes none.
        overwrite: Whether an existing file may be replaced.
    """

    models: Sequence[str]
    prompt: str = ""
    prompts_file: str = ""
    system: str = ""
    images: Sequence[str] = ()
    output: str = ""
    overwrite: bool = False


async def compare(call: CallContext, spec: ComparisonSpec) -> Comparison:
    """Ask each model all prompts before the next model is asked.

    No model is unloaded: Ollama makes room for the next one itself, and unloads each after its keep_alive. If a model
    that stayed loaded keeps the next one from the GPU, the notes of that one say so.

    Args:
        call: The context of the call.
        spec: What to compare.

    Returns:
        The comparison; a model that failed has a result with its error.

    Raises:
        OllamaMCPError: Before any model is asked, an argument is wrong or the output may not be written; or no model
            gave an answer.
    """
    _check(spec)
    prompts = await read_prompts(call, spec.prompts_file) if spec.prompts_file else [spec.prompt]
    # Before the models are asked: the answers may take hours, and the output may be refused.
    output: Output | None = None
    if spec.output:
        prepare = partial(call.access.prepare_output, spec.output, SUFFIXES, overwrite=spec.overwrite)
        output = await open_in_thread(prepare)
    with output or nullcontext():
        comparison = await _run_all(call, spec, prompts)
        return await asyncio.to_thread(_write, comparison, output) if output is not None else comparison


def _check(spec: ComparisonSpec) -> None:
    count = len(spec.models)
    if not MIN_MODELS <= count <= MAX_MODELS:
        raise InvalidArgument(
            f"models names {count}, but {MIN_MODELS} to {MAX_MODELS} can be compared.",
            next_step="Name installed models; ollama_list_models shows them.",
        )
    seen: dict[str, str] = {}
    for name in spec.models:
        other = seen.setdefault(parse_name(name, argument="models").key, name)
        if other is not name:
            raise InvalidArgument(f"models names {name!r} twice.", next_step="Name each model once.")
    if bool(spec.prompt.strip()) == bool(spec.prompts_file):
        raise InvalidArgument("Provide exactly one of prompt and prompts_file.")


async def _run_all(call: CallContext, spec: ComparisonSpec, prompts: Sequence[str]) -> Comparison:
    results: list[ModelResult] = []
    # Before any is asked: there may be no such profile.
    models = [str((await _filled(call, spec, name.strip(), ""))[0]["model"]) for name in spec.models]
    async with call.progress.phase(f"comparing {len(spec.models)} models"):
        for name, model in zip(spec.models, models, strict=True):
            result = await _ModelRun(call, spec, prompts, name.strip(), model, len(results)).run()
            results.append(replace(result, model=name.strip()))
    if not any(result.answered for result in results):
        raise _no_answer_error(results)
    # What is true of all models is said once, for the whole comparison.
    shared = [note for note in results[0].notes if all(note in result.notes for result in results)]
    own = [replace(result, notes=[note for note in result.notes if note not in shared]) for result in results]
    return Comparison(spec.system, prompts, own, shared)


async def _filled(call: CallContext, spec: ComparisonSpec, name: str, prompt: str) -> tuple[dict[str, Any], list[str]]:
    """What to ask the model or profile of a name, by the names of arguments, and notes on it."""
    arguments = {"model": name, "prompt": prompt, "system": spec.system}
    return await with_profile(call, arguments, ("system", "format", "options"))


def _write(comparison: Comparison, output: Output) -> Comparison:
    """Write the file; if that fails, a note says so and the answers, which took long, are still returned."""
    try:
        output.write(render_file(comparison, output.path))
    except (DiskError, InvalidArgument, NotAllowed) as error:
        return replace(comparison, notes=[*comparison.notes, error_line(error)])
    return replace(comparison, path=output.path)


def _no_answer_error(results: Sequence[ModelResult]) -> OllamaMCPError:
    """The first model's error, extended by the kinds of the others."""
    errors = [(result.model, result.error) for result in results]
    kinds = ", ".join(f"{model}: {error.kind}" for model, error in errors[1:4] if error is not None)
    model, first = errors[0]
    assert first is not None
    more = ", ..." if len(errors) > 4 else ""
    first.message = f"None of the {len(results)} models answered. {model}: {first.message} ({kinds}{more})"
    return first


class _ModelRun:
    """All prompts on one model.

    Args:
        call: The context of the call.
        spec: What to compare.
        prompts: The prompts.
        name: The name that was given.
        model: The model of that name, or of that profile.
        index: How many models were asked before.
    """

    def __init__(
        self, call: CallContext, spec: ComparisonSpec, prompts: Sequence[str], name: str, model: str, index: int
    ) -> None:
        self._call = call
        self._spec = spec
        self._prompts = prompts
        self._name, self._model = name, model
        self._done = index * len(prompts)
        self._has_first_token = False

    async def run(self) -> ModelResult:
        """Ask all prompts, and look up the memory that the model takes."""
        # The load time of a model that is loaded already says nothing; a note tells so.
        was_loaded = await self._call.hosts.loaded_models.find(self._model) is not None
        try:
            watch = await ModelWatch.begin(self._call, self._model, _REPLACED)
            trials = await self._trials(watch)
            await watch.check()
        except OllamaMCPError as error:
            # The host is gone; or the model was replaced, and which answers are of which model nobody knows.
            return ModelResult(self._model, [Trial(1, error=error)])
        notes = [*_collect_notes(trials), *([f"{self._model} was already loaded."] if was_loaded else [])]
        if self._name != self._model:
            notes.insert(0, f"It is {self._model}, as the profile has it.")
        result = ModelResult(self._model, trials, notes)
        return await self._with_memory(result) if result.answered else result

    async def _trials(self, watch: ModelWatch) -> list[Trial]:
        """The answers to all prompts, or to those before an error of the model or the host."""
        trials: list[Trial] = []
        for number in range(1, len(self._prompts) + 1):
            trials.append(await self._trial(number))
            error = trials[-1].error
            if error is not None and not isinstance(error, _PROMPT_ERRORS) and not error.partial:
                break
            if watch.is_due(1):
                await watch.check()
        return trials

    async def _trial(self, number: int) -> Trial:
        self._has_first_token = False

        def message() -> str:
            prompt = f"prompt {number} of {len(self._prompts)}"
            return (
                f"{self._model} is answering {prompt}"
                if self._has_first_token
                else f"waiting for {self._model}, {prompt}"
            )

        total = len(self._prompts) * len(self._spec.models)
        await self._call.progress.update(self._done + number - 1, message, total)
        try:
            return await self._ask(number)
        except OllamaMCPError as error:
            return Trial(number, text=error.partial, error=error)

    async def _ask(self, number: int) -> Trial:
        from ollama_mcp.api import ChatMessage, ChatRequest

        call, spec, text = self._call, self._spec, self._prompts[number - 1]
        arguments, notes = await _filled(call, spec, self._name, text)
        prompt, system, limit = arguments["prompt"], arguments["system"], await self._answer_limit()
        if spec.prompts_file:
            await check_cloud_policy(call, self._model, "cloud_files")
        inference = InferenceRequest(
            "chat",
            self._model,
            include=["stats"],
            format=arguments.get("format"),
            options={**limit, **arguments.get("options", {})} or None,
            images=spec.images,
            file_tokens=estimate_tokens(text) if spec.prompts_file else 0,
        )
        prepared = await prepare(call, inference, [system, prompt])
        turns = [ChatMessage(role="system", content=system)] if system else []
        turns.append(ChatMessage(role="user", content=prompt, images=prepared.images or None))
        request = ChatRequest(model=prepared.model, messages=turns, keep_alive=call.keep_alive(None), **prepared.fields)
        seconds = 0.0

        def on_first_token() -> None:
            nonlocal seconds
            seconds = time.perf_counter() - started
            self._has_first_token = True

        started = time.perf_counter()
        found = await run(call, request, prepared, quiet=True, on_first_chunk=on_first_token)
        figures = found.stats or {}
        # Ollama loads the model within the request; how long that takes is a figure of its own.
        first = round(max(0.0, seconds - figures.get("load_seconds", 0.0)), 3) if seconds else _by_figures(figures)
        notes += [_CUT if note.startswith(CUT_AT_BUDGET) and limit else note for note in found.notes]
        return Trial(number, found.text, None, notes, first, figures)

    async def _answer_limit(self) -> dict[str, Any]:
        """A limit of the answer's tokens where nobody set one and no file takes the whole answer."""
        if self._spec.output or "num_predict" in self._call.settings.defaults.options:
            return {}
        is_cloud = parse_name(self._model).is_cloud
        thinks = is_cloud or (await self._call.hosts.thinking_support(self._model)).supported
        return {"num_predict": SHOWN_TOKENS + (THINKING_TOKENS if thinks else 0)}

    async def _with_memory(self, result: ModelResult) -> ModelResult:
        if parse_name(result.model).is_cloud:
            return result
        # What was cached before the model was loaded does not know it.
        self._call.hosts.loaded_models.invalidate()
        running = await self._call.hosts.loaded_models.all()
        own = next((one for one in running if same_model(one.name, result.model)), None)
        # With a keep_alive of 0 the model is gone by now.
        if own is None or not own.size:
            return result
        share = round(min(1.0, own.size_vram / own.size), 3)
        notes = [*result.notes, *_gpu_notes(own, running)]
        return replace(result, memory_bytes=own.size, gpu_share=share, notes=notes)


def _by_figures(figures: dict[str, Any]) -> float | None:
    """The seconds to the first token of an answer that came as one object, by what Ollama measured."""
    prompt, speed = figures.get("prompt_seconds"), figures.get("tokens_per_second")
    return round(prompt + 1 / speed, 3) if prompt is not None and speed else None


def _gpu_notes(own: RunningModel, running: Sequence[RunningModel]) -> list[str]:
    """A note if other models occupy the GPU memory that this one lacks."""
    others = [one.name for one in running if one is not own and one.size_vram]
    if own.size_vram >= own.size or not others:
        return []
    return [
        f"Not fully on the GPU while {', '.join(others)} stayed loaded; after ollama_unload_model for those it may be "
        "faster."
    ]


def _collect_notes(trials: Sequence[Trial]) -> list[str]:
    """The notes of all trials, each once; one that not all trials have names its prompt."""
    notes: list[str] = []
    for trial in trials:
        for note in trial.notes:
            is_shared = all(note in other.notes for other in trials)
            notes.append(note if is_shared else f"Prompt {trial.prompt}: {note}")
    return list(dict.fromkeys(notes))
