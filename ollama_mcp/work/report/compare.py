"""The report of a comparison: speed and memory of the models, errors, and all answers side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from ollama_mcp.work.report import charts
from ollama_mcp.work.report.page import Page, Section, made_now

if TYPE_CHECKING:
    from ollama_mcp.work.compare import Comparison, ModelResult

_MAX_PROMPTS = 200
_GIGABYTE = 1e9
# What a model is measured by: caption, head of the column, unit, decimal places, value.
_MEASURES: tuple[tuple[str, str, str, int, Callable[[ModelResult], float | None]], ...] = (
    ("Tokens a second", "tokens/s", "/s", 1, lambda result: result.tokens_per_second),
    ("Seconds to the first token", "first token s", " s", 2, lambda result: result.first_token_seconds),
    ("Seconds to load", "load s", " s", 1, lambda result: result.load_seconds),
    ("Memory", "memory GB", " GB", 1, lambda result: result.memory_bytes and result.memory_bytes / _GIGABYTE),
)


def comparison_page(comparison: Comparison) -> Page:
    """The page of a comparison."""
    results, prompts = comparison.results, len(comparison.prompts)
    figures = {"models": f"{len(results):,}", "prompts": f"{prompts:,}"}
    sections = [_measures(comparison), *_answers(comparison)]
    kinds = Counter(trial.error.kind for result in results for trial in result.trials if trial.error is not None)
    if kinds:
        chart = ("Answers that failed, by kind of error", charts.bars(dict(kinds)))
        lines = [
            (result.model, trial.prompt, trial.problem)
            for result in results
            for trial in result.trials
            if trial.error is not None
        ]
        sections.insert(1, Section("Errors", [chart], columns=("model", "prompt", "error"), rows=lines))
    fastest = max(results, key=lambda result: result.tokens_per_second or 0.0)
    lead = f"{len(results):,} models on {prompts:,} prompt{'s' * (prompts != 1)}."
    if fastest.tokens_per_second:
        lead += f" The fastest writer is {fastest.model}, {fastest.tokens_per_second:,.1f} tokens a second."
    notes = [*comparison.notes, *(f"{result.model}: {note}" for result in results for note in result.notes)]
    return Page("Comparison of models", lead, figures, sections, notes, made_now())


def _measures(comparison: Comparison) -> Section:
    results = comparison.results
    found: list[tuple[str, charts.Markup]] = []
    for caption, _, unit, digits, value in _MEASURES:
        known = {result.model: figure for result in results if (figure := value(result)) is not None}
        if known:
            found.append((caption, charts.bars(known, unit=unit, digits=digits)))
    columns = ("model", "answers", "tokens", *(head for _, head, *_ in _MEASURES), "on GPU")
    rows = [
        (
            result.model,
            f"{len(result.answered)} of {len(comparison.prompts)}",
            result.tokens,
            *(value(result) for *_, value in _MEASURES),
            None if result.gpu_share is None else f"{result.gpu_share:.0%}",
        )
        for result in results
    ]
    return Section("Speed and memory", found, columns=columns, rows=rows)


def _answers(comparison: Comparison) -> list[Section]:
    texts = [("System prompt", comparison.system)] if comparison.system else []
    sections = [Section("Task", texts=texts)] if texts else []
    for number, prompt in enumerate(comparison.prompts[:_MAX_PROMPTS], start=1):
        given = [
            (result.model, "\n\n".join(part for part in (trial.problem or "", trial.text.strip()) if part))
            for result in comparison.results
            for trial in result.trials
            if trial.prompt == number
        ]
        sections.append(Section(f"Prompt {number}", texts=[("The prompt", prompt), *given]))
    if len(comparison.prompts) > _MAX_PROMPTS:
        left = f"The answers to {len(comparison.prompts) - _MAX_PROMPTS:,} more prompts are not on this page."
        sections.append(Section("Further prompts", text=left))
    return sections
