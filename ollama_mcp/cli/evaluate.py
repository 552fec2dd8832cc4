"""`ollama-mcp-server evaluate`: which installed model is good enough on labelled examples, from the shell."""

from __future__ import annotations

import argparse
from typing import Any

from ollama_mcp.cli.calling import call, named
from ollama_mcp.cli.output import Output, texts_of
from ollama_mcp.cli.work import json_or_file, split
from ollama_mcp.errors import InvalidArgument


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate by the same call as a host's, and print the verdict and the tables; returns 1 where it failed.

    Raises:
        InvalidArgument: The options do not fit together.
    """
    examples, output = named(options.examples), Output(options)
    result = call(options, "ollama_evaluate", _arguments(options, examples), files=[examples])
    if output.is_quiet and not (output.is_json or result.is_error):
        output.text("\n".join(texts_of(result)).partition("\n")[0])
        return 0
    return output.result(result)


def _arguments(options: argparse.Namespace, examples: str) -> dict[str, Any]:
    """The arguments of ollama_evaluate; those that were not given are left out.

    Raises:
        InvalidArgument: There are labels for no question.
    """
    labels = split(options.labels)
    if labels and not options.question:
        raise InvalidArgument("--labels needs --question.", next_step='Such as --question "Which team?".')
    question = {"question": options.question, **({"labels": labels} if labels else {})}
    given = {
        "examples": examples,
        "models": split(options.models),
        "prompt": options.prompt,
        "questions": [question] if options.question else [],
        "system": options.system,
        "format": json_or_file("--schema", options.schema) if options.schema else None,
        "metric": options.metric,
        "judge": options.judge,
        "goal": options.goal,
        "confidence": options.confidence,
        "profile": options.profile,
        "show_failures": options.show_failures,
    }
    return {name: value for name, value in given.items() if value}
