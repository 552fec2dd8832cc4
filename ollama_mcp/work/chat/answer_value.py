"""The JSON value of an answer: freed from a code fence, with the schema's own labels in place of look-alikes."""

from __future__ import annotations

import re
from typing import Any, cast

from ollama_mcp.formats.comparison import comparable
from ollama_mcp.formats.json_text import parse_json

FENCE_NOTE = "The JSON was in a code fence; the fence and the text around it were dropped."
# A fence begins a line and so does its end: within JSON, a line can't begin with three backticks.
_FENCE_LINE = re.compile(r"^[ \t]*`{3,}", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*`{3,}[ \t]*(?:json[5c]?)?[ \t]*\n(.*?)^[ \t]*`{3,}[ \t]*$", re.M | re.S | re.I)
_FENCED_IN_LINE = re.compile(r"\s*`{3,}[ \t]*(?:json[5c]?[ \t\r\n])?\s*([^`\s][^`]*)`{3,}\s*", re.I)


def fenced_json(text: str) -> str:
    """The text in the only code fence of a text, if it is valid JSON; else ""."""
    fences = _FENCED.findall(text) if len(_FENCE_LINE.findall(text)) == 2 else []
    if not fences and (match := _FENCED_IN_LINE.fullmatch(text)):
        fences = [match[1]]
    for fenced in fences:
        try:
            parse_json(fenced, strict=True)
        except ValueError:
            return ""
        return fenced.strip()
    return ""


def with_exact_labels(schema: dict[str, Any], value: Any) -> Any:
    """The value with names of properties and members of enums as the schema spells them.

    Models write look-alikes: a decomposed accent, a no-break hyphen, a curly quote. What no single label looks like
    stays as it is.
    """
    if isinstance(value, str):
        return _exact([value], schema.get("enum"))[0]
    items, properties = schema.get("items"), schema.get("properties")
    if isinstance(value, list) and isinstance(items, dict):
        return [with_exact_labels(cast("dict[str, Any]", items), item) for item in cast("list[Any]", value)]
    if isinstance(value, dict) and isinstance(properties, dict):
        known, members = cast("dict[str, Any]", properties), cast("dict[str, Any]", value)
        names = _exact(list(members), list(known))
        # Two members that look like one property: which of them is meant is not for this code to choose.
        names = names if len(set(names)) == len(names) else list(members)
        return {
            name: with_exact_labels(known[name], member) if isinstance(known.get(name), dict) else member
            for name, member in zip(names, members.values(), strict=True)
        }
    return cast("Any", value)


def _exact(texts: list[str], labels: Any) -> list[str]:
    """Each text, or the label that it looks like."""
    given = cast("list[Any]", labels) if isinstance(labels, list) else []
    exact = {label for label in given if isinstance(label, str)}
    if all(text in exact for text in texts) or not exact:
        return texts
    by_form: dict[str, list[str]] = {}
    for label in sorted(exact):
        by_form.setdefault(comparable(label), []).append(label)
    return [text if text in exact or len(same := by_form.get(comparable(text), [])) != 1 else same[0] for text in texts]
