"""A comparison as a file: one JSON document, a line for each answer, or Markdown to read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from ollama_mcp.work.compare.results import Comparison, Row, Trial

_COLUMNS = ("model", "load s", "first token s", "tokens/s", "tokens", "memory bytes", "GPU share", "notes")


def as_file(found: Comparison, path: str) -> Iterator[bytes]:
    """The bytes of the file in the form that its ending says: .json, .jsonl or .md."""
    write = _FORMS[os.path.splitext(path)[1].lower()]
    for text in write(found):
        # Half a surrogate pair in a prompt is no Unicode text.
        yield text.encode(errors="replace")


def _as_json(found: Comparison) -> Iterator[str]:
    models = [_figures(row) | {"answers": [_answer(trial) for trial in row.trials]} for row in found.rows]
    whole = {"system": found.system, "prompts": found.prompts, "models": models, "notes": found.notes}
    yield _json({key: value for key, value in whole.items() if value}, indent=2)


def _as_lines(found: Comparison) -> Iterator[str]:
    for row in found.rows:
        memory = {"memory_bytes": row.memory_bytes, "gpu_share": row.gpu_share}
        for trial in row.trials:
            answer = _answer(trial) | {"prompt": found.prompts[trial.prompt - 1]}
            yield _json({"model": row.model, "number": trial.prompt} | answer | _known(memory))


def _as_markdown(found: Comparison) -> Iterator[str]:
    yield "# Comparison\n\n"
    yield _line(_COLUMNS) + _line(["---"] * len(_COLUMNS))
    for row in found.rows:
        known = _figures(row)
        names = ("load_seconds", "first_token_seconds", "tokens_per_second", "tokens", "memory_bytes", "gpu_share")
        said = " ".join([*row.notes, *(f"{trial.prompt}: {trial.problem}" for trial in row.trials if trial.error)])
        yield _line([row.model, *(known.get(name, "") for name in names), said])
    for note in found.notes:
        yield f"\n{note}\n"
    if found.system:
        yield f"\n## System\n\n{_fenced(found.system)}"
    for number, prompt in enumerate(found.prompts, start=1):
        yield f"\n## Prompt {number}\n\n{_fenced(prompt)}"
        for row in found.rows:
            for trial in row.trials:
                if trial.prompt == number:
                    yield f"\n### {row.model}\n\n{_words(trial)}\n"


_FORMS: dict[str, Callable[[Comparison], Iterator[str]]] = {
    ".json": _as_json,
    ".jsonl": _as_lines,
    ".md": _as_markdown,
}
SUFFIXES = tuple(_FORMS)


def _figures(row: Row) -> dict[str, Any]:
    first, speed = row.first_token_seconds, row.tokens_per_second
    return {"model": row.model} | _known(
        {
            "load_seconds": row.load_seconds,
            "first_token_seconds": None if first is None else round(first, 3),
            "tokens_per_second": None if speed is None else round(speed, 1),
            "tokens": row.tokens or None,
            "memory_bytes": row.memory_bytes,
            "gpu_share": row.gpu_share,
            "notes": row.notes or None,
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


def _line(cells: Any) -> str:
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |\n"


def _fenced(text: str) -> str:
    """A text that cannot close the block which it stands in."""
    fence = "~~~"
    while fence in text:
        fence += "~"
    return f"{fence}\n{text}\n{fence}\n"
