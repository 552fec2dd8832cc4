"""Which tool a model would call for a prompt, and with what arguments."""

from __future__ import annotations

import random
import re
from typing import Any

from ollama_mcp.simulator.encoding import Object, as_object
from ollama_mcp.simulator.schema_text import Instances

_COMMON = re.compile("the|and|for|with|that|this|from|into|what|when|where|which|get|set|use|tool|function|value")


def choose_call(tools: list[Any], prompt: str, chance: random.Random) -> Object | None:
    """The tool whose name or description shares the most words with the prompt, called; None if none does."""
    said = _stems(prompt)
    best, most = Object(), 0
    for tool in tools:
        function = as_object(as_object(tool).get("function"))
        name = str(function.get("name", ""))
        score = 2 * len(said & _stems(name.replace("_", " ").replace("-", " ")))
        score += len(said & _stems(str(function.get("description", ""))))
        # Who names the function means it.
        score += 10 if name and name in prompt else 0
        if score > most:
            best, most = function, score
    if not best:
        return None
    return {"name": best["name"], "arguments": _arguments(as_object(best.get("parameters")), prompt, chance)}


def _stems(text: str) -> set[str]:
    words = re.findall(r"[a-z]{3,}", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower())
    return {word.rstrip("s")[:6] for word in words if not _COMMON.fullmatch(word)}


def _arguments(schema: Object, prompt: str, chance: random.Random) -> Object:
    """Values that fit the schema; texts are taken from what the prompt quotes or names with a capital letter."""
    values = as_object(Instances(schema, prompt, chance).make({"type": "object", **schema}))
    quoted = re.findall(r"[\"'\u201c]([^\"'\u201d]+)[\"'\u201d]", prompt)
    names = re.findall(r"(?<=[a-z,] )[A-Z]\w+(?: [A-Z]\w+)*", prompt)
    candidates = [*quoted, *names]
    for name, part in as_object(schema.get("properties")).items():
        plain = as_object(part).get("type") == "string" and not {"enum", "const", "pattern", "format"} & set(
            as_object(part)
        )
        if plain and candidates and name in values:
            values[name] = candidates.pop(0)
    return values
