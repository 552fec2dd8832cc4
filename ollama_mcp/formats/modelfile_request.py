"""What the instructions of a Modelfile ask of POST /api/create, as that request's fields."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import GONE, OPTIONS, REFUSED, check_options

if TYPE_CHECKING:
    from ollama_mcp.formats.modelfile import Instruction, Modelfile

_VERSION = re.compile(r"v?(\d+(?:\.\d+){0,2}(?:[-+][0-9A-Za-z.+-]+)?)")
_SINGLE = ("template", "system", "renderer", "parser")


def request_fields(modelfile: Modelfile) -> tuple[dict[str, Any], list[str]]:
    """The fields beside the files, and the names of parameters that are left out since they do nothing any more.

    Raises:
        ModelfileError: A parameter that Ollama does not know or a value that it does not take.
    """
    fields: dict[str, Any] = {name: text for name in _SINGLE if (text := modelfile.last(name))}
    parameters, dropped = _parameters(modelfile)
    lists: dict[str, Any] = {
        "parameters": parameters,
        "license": [each.value for each in modelfile.all("license")],
        "messages": [{"role": each.key, "content": each.value} for each in modelfile.all("message")],
        "capabilities": [each.value for each in modelfile.all("capability")],
        "requires": _requires(modelfile),
    }
    return fields | {name: value for name, value in lists.items() if value}, dropped


def _parameters(modelfile: Modelfile) -> tuple[dict[str, Any], list[str]]:
    parameters: dict[str, Any] = {}
    dropped: list[str] = []
    for each in modelfile.all("parameter"):
        if each.key in GONE or each.key in REFUSED:
            dropped.append(each.key)
            continue
        value = _checked(modelfile, each)
        # Every stop text counts; of the others the last.
        parameters[each.key] = [*parameters.get(each.key, []), *value] if isinstance(value, list) else value
    return parameters, dropped


def _checked(modelfile: Modelfile, one: Instruction) -> Any:
    """The value in the parameter's type; the error names what is allowed, and nothing that stands in the file."""
    option = OPTIONS.get(one.key)
    if option is None:
        close = difflib.get_close_matches(one.key.lower(), OPTIONS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise modelfile.error(one, "unknown parameter", next_step=f"{hint}Known: {', '.join(OPTIONS)}.")
    try:
        return check_options({one.key: one.value})[one.key]
    except InvalidArgument:
        step = "Leave it out, or give 1 or more." if one.key == "num_predict" else f"Meaning: {option.meaning}"
        raise modelfile.error(one, f"{one.key} takes {option.allowed}", next_step=step) from None


def _requires(modelfile: Modelfile) -> str:
    for each in modelfile.all("requires"):
        if not _VERSION.fullmatch(each.value):
            raise modelfile.error(each, "REQUIRES takes a version of Ollama", next_step="Write it as 0.14.0.")
    return modelfile.last("requires").removeprefix("v")
