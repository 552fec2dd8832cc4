"""Model options of a request: their types as the real server checks them, and which of them force a reload."""

from __future__ import annotations

from typing import Any

from ollama_mcp.formats.options import OPTIONS
from ollama_mcp.simulator.encoding import Object, as_list, as_object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.generations import Generation
from ollama_mcp.simulator.store import Model

_WORDS = {"number": "float32", "integer": "integer", "boolean": "boolean", "strings": "array"}
_RELOADING = tuple(name for name, option in OPTIONS.items() if option.reloads and name != "num_ctx")
DEFAULT_CONTEXT = 4096


def merged_options(model: Model, given: Any, generation: Generation) -> Object:
    """The model's parameters with the request's options over them, each in its type.

    Raises:
        Failure: 500 for a wrong type; 400 for `typical_p` on the servers that refuse it.
    """
    # Null means unset, so that a client can leave a default alone by name.
    options = {**model.parameters, **{name: value for name, value in as_object(given).items() if value is not None}}
    if generation.refuses_typical_p and "typical_p" in options:
        raise Failure(400, "typical_p is no longer supported")
    return {name: _typed(name, value) for name, value in options.items() if name in OPTIONS}


def _typed(name: str, value: Any) -> Any:
    kind = OPTIONS[name].type
    match kind:
        case "integer" if isinstance(value, int | float) and not isinstance(value, bool):
            # Go cuts the fraction off.
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "strings" if isinstance(value, list):
            if all(isinstance(item, str) for item in as_list(value)):
                return as_list(value)
            raise Failure(500, f'option "{name}" must be of an array of strings')
        case _:
            raise Failure(500, f'option "{name}" must be of type {_WORDS[kind]}')


def context_length(model: Model, options: Object) -> int:
    """The context a model runs with: as asked, at least 4, at most what it was trained for."""
    trained = model.header.number("context_length") or DEFAULT_CONTEXT
    return max(4, min(int(options.get("num_ctx", DEFAULT_CONTEXT)), trained))


def load_options(options: Object, context: int, *extra: object) -> tuple[Any, ...]:
    """What a runner was loaded with; a request with another value needs a reload."""
    return (context, *(options.get(name) for name in _RELOADING), *extra)
