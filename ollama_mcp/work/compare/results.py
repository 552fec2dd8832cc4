"""Results of a comparison: a trial for each model and prompt, a result for each model, and the file that holds all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ollama_mcp.access.quoting import shortened
from ollama_mcp.errors import OllamaMCPError

_MAX_ERROR_CHARS = 400
_COLUMNS = ("model", "load s", "first token s", "tokens/s", "tokens", "memory bytes", "GPU share", "notes")


@dataclass(frozen=True, slots=True)
class Trial:
    """One prompt on one model.

    Args:
        prompt: Number of the prompt, from 1.
        text: The answer; of an interrupted one, the part that arrived.
        error: Why there is no complete answer.
        notes: What the reader should know.
        first_token_seconds: From the request to the first token, without the time to load the model.
        figures: Ollama's own counts and times: `tokens`, `load_seconds`, `tokens_per_second` and so on.
    """

    prompt: int
    text: str = ""
    error: OllamaMCPError | None = None
    notes: Sequence[str] = ()
    first_token_seconds: float | None = None
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def problem(self) -> str | None:
        """The error as one line of text."""
        return None if self.error is None else error_line(self.error)


@dataclass(frozen=True)
class ModelResult:
    """All prompts on one model.

    Args:
        model: Its name.
        trials: In the order of the prompts; fewer than the prompts if the model itself failed.
        notes: What the reader should know about the model.
        memory_bytes: Memory that it takes, on GPUs and elsewhere; None if unknown.
        gpu_share: The part of `memory_bytes` on GPUs, 0 to 1; None if unknown.
    """

    model: str
    trials: Sequence[Trial]
    notes: Sequence[str] = ()
    memory_bytes: int | None = None
    gpu_share: float | None = None

    @cached_property
    def answered(self) -> list[Trial]:
        """The trials with a complete answer."""
        return [trial for trial in self.trials if trial.error is None]

    @property
    def error(self) -> OllamaMCPError | None:
        """The error of the first trial that failed."""
        return next((trial.error for trial in self.trials if trial.error is not None), None)

    @property
    def load_seconds(self) -> float | None:
        """The longest load time of the trials: the first one loads the model, the others find it loaded."""
        return max(self._figures("load_seconds"), default=None)

    @property
    def first_token_seconds(self) -> float | None:
        """The mean of the trials."""
        times = [trial.first_token_seconds for trial in self.answered if trial.first_token_seconds is not None]
        return sum(times) / len(times) if times else None

    @property
    def tokens(self) -> int:
        """Generated tokens, including thinking."""
        return sum(self._figures("tokens"))

    @property
    def tokens_per_second(self) -> float | None:
        """Generation speed: all tokens over all seconds, so that long answers count more than short ones."""
        pairs = [(trial.figures.get("tokens"), trial.figures.get("tokens_per_second")) for trial in self.answered]
        known = [(tokens, speed) for tokens, speed in pairs if tokens and speed]
        seconds = sum(tokens / speed for tokens, speed in known)
        return sum(tokens for tokens, _ in known) / seconds if known else None

    def _figures(self, name: str) -> list[Any]:
        return [trial.figures[name] for trial in self.answered if name in trial.figures]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The results of all models.

    Args:
        system: The system prompt that all had, or "".
        prompts: The prompts.
        results: In the order in which the models were named.
        notes: What is true of all models.
        path: The file that was written, or "".
    """

    system: str
    prompts: Sequence[str]
    results: Sequence[ModelResult]
    notes: Sequence[str] = ()
    path: str = ""


def error_line(error: OllamaMCPError) -> str:
    """Return an error as a line of text: its kind, what failed and why, what to do next."""
    return shortened(f"[{error.kind}] {error}", _MAX_ERROR_CHARS)


def render_file(comparison: Comparison, path: str) -> Iterator[bytes]:
    """Yield the bytes of a file with all answers in full, in the format of its suffix: .json, .jsonl or .md."""
    render = _FORMATS[os.path.splitext(path)[1].lower()]
    for text in render(comparison):
        # A lone surrogate in a prompt (possible in JSON) cannot be encoded as UTF-8.
        yield text.encode(errors="replace")


def _render_json(comparison: Comparison) -> Iterator[str]:
    models = [
        _figures(result) | {"answers": [_answer(trial) for trial in result.trials]} for result in comparison.results
    ]
    whole = {"system": comparison.system, "prompts": comparison.prompts, "models": models, "notes": comparison.notes}
    yield _json({key: value for key, value in whole.items() if value}, indent=2)


def _render_jsonl(comparison: Comparison) -> Iterator[str]:
    for result in comparison.results:
        memory = {"memory_bytes": result.memory_bytes, "gpu_share": result.gpu_share}
        for trial in result.trials:
            answer = _answer(trial) | {"prompt": comparison.prompts[trial.prompt - 1]}
            yield _json({"model": result.model, "number": trial.prompt} | answer | _known(memory))


def _render_markdown(comparison: Comparison) -> Iterator[str]:
    yield "# Comparison\n\n"
    yield _table_row(_COLUMNS) + _table_row(["---"] * len(_COLUMNS))
    for result in comparison.results:
        known = _figures(result)
        names = ("load_seconds", "first_token_seconds", "tokens_per_second", "tokens", "memory_bytes", "gpu_share")
        notes = " ".join(
            [*result.notes, *(f"{trial.prompt}: {trial.problem}" for trial in result.trials if trial.error)]
        )
        yield _table_row([result.model, *(known.get(name, "") for name in names), notes])
    for note in comparison.notes:
        yield f"\n{note}\n"
    if comparison.system:
        yield f"\n## System\n\n{_fenced(comparison.system)}"
    for number, prompt in enumerate(comparison.prompts, start=1):
        yield f"\n## Prompt {number}\n\n{_fenced(prompt)}"
        for result in comparison.results:
            for trial in result.trials:
                if trial.prompt == number:
                    yield f"\n### {result.model}\n\n{_words(trial)}\n"


_FORMATS: dict[str, Callable[[Comparison], Iterator[str]]] = {
    ".json": _render_json,
    ".jsonl": _render_jsonl,
    ".md": _render_markdown,
}
SUFFIXES = tuple(_FORMATS)


def _figures(result: ModelResult) -> dict[str, Any]:
    first, speed = result.first_token_seconds, result.tokens_per_second
    return {"model": result.model} | _known(
        {
            "load_seconds": result.load_seconds,
            "first_token_seconds": None if first is None else round(first, 3),
            "tokens_per_second": None if speed is None else round(speed, 1),
            "tokens": result.tokens or None,
            "memory_bytes": result.memory_bytes,
            "gpu_share": result.gpu_share,
            "notes": result.notes or None,
        }
    )


def _answer(trial: Trial) -> dict[str, Any]:
    more = {
        "text": trial.text or None,
        "error": trial.problem,
        "first_token_seconds": trial.first_token_seconds,
        "notes": trial.notes or None,
    }
    return {"prompt": trial.prompt} | _known(more) | trial.figures


def _words(trial: Trial) -> str:
    return "\n\n".join(part for part in (f"**{trial.problem}**" if trial.error else "", trial.text.strip()) if part)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"


def _table_row(cells: Any) -> str:
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |\n"


def _fenced(text: str) -> str:
    """A code block that the text in it cannot close."""
    fence = "~~~"
    while fence in text:
        fence += "~"
    return f"{fence}\n{text}\n{fence}\n"
