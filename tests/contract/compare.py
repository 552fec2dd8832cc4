"""Comparison of a recorded response with a simulated one.

Compared are exact error texts, the keys of objects at every depth, and the order and kind of the lines of a stream.
Ignored is what must differ: times, counts, digests and generated text.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

# Go omits these when they are zero, and small values were zero by chance.
_ABSENT_WHEN_ZERO = ("prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration", "completed")
_SAME_TEXT = ("error", "status", "role", "object", "model", "template", "system", "license", "parameters", "modelfile")
# Written from a Go map, whose order is random.
_UNORDERED = ("parameters", "modelfile")


def difference(expected: Any, actual: Any) -> str:
    """The difference between the shapes of two JSON documents; "" if there is none."""
    wanted, got = shape(expected), shape(actual)
    return "" if wanted == got else f"{_short(wanted)} != {_short(got)}"


def line_kinds(lines: list[Any]) -> list[Any]:
    """The shapes of the lines of a stream, with runs of equal shapes merged."""
    kinds: list[Any] = []
    for line in lines:
        kind = shape(line)
        if not kinds or kinds[-1] != kind:
            kinds.append(kind)
    return kinds


def shape(value: Any) -> Any:
    """A document without everything that may differ."""
    match value:
        case dict():
            return {key: _field(key, item) for key, item in sorted(_items(value)) if key not in _ABSENT_WHEN_ZERO}
        case list():
            return _elements(cast("list[Any]", value))
        case bool():
            return value
        case int() | float():
            return "number"
        case str():
            return "text"
        case _:
            return None


def error_text(text: str) -> str:
    """An error text without what depends on the tokenizer, the clock and the network of the recorder."""
    text = re.sub(r"\bts=\d+", "ts=N", text)
    text = re.sub(r"lookup (\S+) on [\d.]+:53", r"lookup \1 on DNS", text)
    text = re.sub(r"\(\d+ tokens\)", "(N tokens)", text)
    return re.sub(r'n_prompt_tokens(\\*)":\d+', r'n_prompt_tokens\1":N', text)


def _field(key: str, value: Any) -> Any:
    if key in _UNORDERED and isinstance(value, str):
        value = "\n".join(sorted(value.splitlines()))
    if key in _SAME_TEXT and isinstance(value, str):
        return re.sub(r"[0-9a-f]{12,64}", "DIGEST", error_text(value))
    if key == "done_reason" and value not in ("load", "unload"):
        return "text"
    if key in ("expires_at", "ok"):
        return type(value).__name__
    return shape(value) if key not in ("arguments",) else json.dumps(value)


def _elements(items: list[Any]) -> Any:
    """One shape for all elements: the union of their keys."""
    merged: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, dict):
            return ["items"]
        for key, part in shape(item).items():
            merged[key] = merged.get(key) or part
    return ["items" if not merged else {key: _loose(part) for key, part in merged.items()}] if items else []


def _loose(part: Any) -> Any:
    # The names in a list and their order depend on time stamps.
    return "text" if isinstance(part, str) else part


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(cast("dict[str, Any]", value).items())


def _short(value: Any) -> str:
    return json.dumps(value)[:1500]


def answer_fault(request: dict[str, Any], expected: list[Any], got: list[Any], *, scripted: bool) -> str:
    """What is wrong with the counters, the end or the text of an inference answer; "" if nothing is.

    The values themselves differ, since the recorded models had random weights; how they depend on each other and on the
    request does not.

    Args:
        request: The JSON body of the request.
        expected: The recorded lines, or the one object of an answer that is not streamed.
        got: The simulated ones.
        scripted: Whether the simulator was told the recorded words.
    """
    recorded: Any = expected[-1] if expected else None
    if not isinstance(recorded, dict) or "total_duration" not in recorded or "done" not in recorded:
        return ""
    last = cast("dict[str, Any]", got[-1])
    if "prompt_eval_count" in recorded and not {"prompt_eval_count", "eval_count"} <= set(last):
        return f"the last line lacks a count: {sorted(last)}"
    parts = sum(last.get(name, 0) for name in ("load_duration", "prompt_eval_duration", "eval_duration"))
    if "eval_count" in last and last["total_duration"] < parts:
        return f"total_duration {last['total_duration']} is less than its parts, {parts}"
    wanted, texts = [_words(line) for line in expected], [_words(line) for line in got]
    if len(got) > 1 and wanted[-1] == "" and texts[-1] != "":
        return f"the last line has words: {texts[-1]!r}"
    options: dict[str, Any] = request.get("options") or {}
    limit, reason = options.get("num_predict", -1), last.get("done_reason")
    reached = 0 < limit <= last.get("eval_count", 0)
    # A stop text may come with the last token that was allowed.
    if reason != ("length" if reached else "stop") and not (reached and reason == "stop" and options.get("stop")):
        return f"done_reason {reason!r} after {last['eval_count']} tokens of at most {limit}"
    if len(got) > 1 and sum(map(bool, texts)) > last.get("eval_count", 0):
        return f"{sum(map(bool, texts))} lines with words, but eval_count is {last.get('eval_count')}"
    if scripted and "".join(texts) != "".join(wanted):
        return f"the text {''.join(texts)!r} is not {''.join(wanted)!r}"
    return ""


def _words(line: Any) -> str:
    message: dict[str, Any] = line.get("message") or {}
    return str(message.get("content") or line.get("response") or "")
