"""Asking for an object with all answers, which a schema holds to the options; it tells no probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.work.decide.verdicts import Verdict, bare

if TYPE_CHECKING:
    from ollama_mcp.work.decide.asking import Asking, Subject
    from ollama_mcp.work.decide.questions import Question


async def decide_by_schema(asking: Asking, subject: Subject, questions: Sequence[Question]) -> dict[str, Verdict]:
    """Verdicts by name, from one request.

    Raises:
        OllamaMCPError: The host or the answer was lacking.
    """
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: {"type": "string", "enum": list(one.options)} for one in questions},
        "required": [one.name for one in questions],
    }
    options = {"temperature": 0, **(asking.options or {})}
    answer = await asking.chat(subject, _asked(questions), options=options, format=schema)
    said, note = cast("dict[str, str]", answer.value), " ".join(answer.notes)
    return {one.name: bare(one, said[one.name], note) for one in questions}


def _asked(questions: Sequence[Question]) -> str:
    lines = ["Answer each of these questions with exactly one of its options, as a JSON object:"]
    for question in questions:
        lines.append(f"{question.name}: {question.question}")
        lines += [f"- {option}: {text}" if text else f"- {option}" for option, text in question.options.items()]
    return "\n".join(lines)
