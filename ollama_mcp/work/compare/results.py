"""What a comparison finds: a trial for each model and prompt, a row for each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ollama_mcp.access.wording import shortened
from ollama_mcp.errors import OllamaMCPError

_ERROR_CHARS = 400


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model made of a prompt.

    Args:
        prompt: Number of the prompt, from 1.
        text: The answer; of one that broke off, what came.
        error: Why there is no answer.
        notes: What the reader should know.
        first_token_seconds: From the request to the first piece of the answer, without loading.
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
        """The error in words."""
        return None if self.error is None else shown_error(self.error)


@dataclass(frozen=True)
class Row:
    """What a model did.

    Args:
        model: Its name.
        trials: In the order of the prompts; fewer than those where the model failed as such.
        notes: What the reader should know of the model.
        memory_bytes: Memory that it took, and `gpu_share` the part of it on GPUs (0 to 1); None where not known.
        gpu_share: See `memory_bytes`.
    """

    model: str
    trials: Sequence[Trial]
    notes: Sequence[str] = ()
    memory_bytes: int | None = None
    gpu_share: float | None = None

    @cached_property
    def answered(self) -> list[Trial]:
        """The trials with an answer."""
        return [trial for trial in self.trials if trial.error is None]

    @property
    def error(self) -> OllamaMCPError | None:
        """The first thing that went wrong."""
        return next((trial.error for trial in self.trials if trial.error is not None), None)

    @property
    def load_seconds(self) -> float | None:
        """The longest time that a request waited for the model to be ready."""
        return max(self._figures("load_seconds"), default=None)

    @property
    def first_token_seconds(self) -> float | None:
        """Mean of the trials."""
        times = [trial.first_token_seconds for trial in self.answered if trial.first_token_seconds is not None]
        return sum(times) / len(times) if times else None

    @property
    def tokens(self) -> int:
        """Tokens written, thinking included."""
        return sum(self._figures("tokens"))

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of writing over all trials."""
        pairs = [(trial.figures.get("tokens"), trial.figures.get("tokens_per_second")) for trial in self.answered]
        known = [(tokens, speed) for tokens, speed in pairs if tokens and speed]
        seconds = sum(tokens / speed for tokens, speed in known)
        return sum(tokens for tokens, _ in known) / seconds if known else None

    def _figures(self, name: str) -> list[Any]:
        return [trial.figures[name] for trial in self.answered if name in trial.figures]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All models, in the order they were named.

    Args:
        system: The instructions that all had, or "".
        prompts: The prompts.
        rows: A row for each model.
        notes: What is true of all.
        path: The file that was written, or "".
    """

    system: str
    prompts: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    path: str = ""


def shown_error(error: OllamaMCPError) -> str:
    """An error as a row shows it: its kind, what failed and why, what to do."""
    return shortened(f"[{error.kind}] {error}", _ERROR_CHARS)
