"""A tool's arguments: signature -> published schema -> checked values, with errors an agent can act on."""

from __future__ import annotations

import difflib
import inspect
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.call import Call
from ollama_mcp.server.coercion import coerce
from ollama_mcp.server.registry import ToolFunction
from ollama_mcp.server.schema import portable
from ollama_mcp.server.types import OnlyWhere
from ollama_mcp.settings.model import Settings

_SHOWN = 80


@dataclass
class Arguments:
    """The arguments of one tool under the settings of this start."""

    function: ToolFunction
    settings: Settings

    @cached_property
    def call_parameter(self) -> str | None:
        """Name of the parameter that receives the Call."""
        return next((name for name, hint in self._hints.items() if hint is Call), None)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The published input schema."""
        schema = portable(self._model.model_json_schema())
        schema.setdefault("properties", {})
        return {**schema, "required": schema.get("required", []), "additionalProperties": False}

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments to call the function with.

        Raises:
            InvalidArgument: Names the argument, its value and what is allowed.
        """
        present = {name: value for name, value in given.items() if value is not None}
        try:
            model = self._model.model_validate(cast("dict[str, Any]", coerce(present, self.schema)))
        except ValidationError as error:
            raise self._explain(error) from None
        return {name: getattr(model, name) for name in model.model_fields_set}

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.function, include_extras=True)

    @cached_property
    def _hidden(self) -> dict[str, str]:
        """Arguments that the settings leave out, and what would offer each."""
        marked = ((name, _marker(hint)) for name, hint in self._hints.items())
        return {name: mark.remedy for name, mark in marked if mark is not None and not mark.holds(self.settings)}

    @cached_property
    def _model(self) -> type[BaseModel]:
        fields: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.function).parameters.items():
            if name != self.call_parameter and name not in self._hidden:
                required = parameter.default is inspect.Parameter.empty
                fields[name] = (self._hints[name], ... if required else parameter.default)
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
        return create_model(f"{self.function.__name__}_arguments", __config__=config, **fields)

    def _explain(self, error: ValidationError) -> InvalidArgument:
        errors = error.errors(include_url=False)
        # A misspelt argument explains why another one is missing.
        misspelt = (wrong for wrong in errors if wrong["type"] == "extra_forbidden" and len(wrong["loc"]) == 1)
        first = next(misspelt, errors[0])
        inner = first.get("ctx", {}).get("error")
        if isinstance(inner, InvalidArgument):
            return inner
        path = _path(first["loc"])
        known = list(self._model.model_fields)
        match first["type"]:
            case "missing":
                field = self._model.model_fields.get(str(first["loc"][0]))
                return InvalidArgument(f"{path} is required.", next_step=_meaning(field))
            case "extra_forbidden" if path in self._hidden:
                return InvalidArgument(
                    f"{path} is off in the settings.", next_step=f"Leave it out. {self._hidden[path]}"
                )
            case "extra_forbidden" if len(first["loc"]) == 1:
                return InvalidArgument(
                    f"{path} is no argument of {self.function.__name__}.", next_step=_closest(path, known)
                )
            case "extra_forbidden":
                return InvalidArgument(f"{path} is unknown.", next_step="Leave it out.")
            case _:
                field = self._model.model_fields.get(str(first["loc"][0]))
                return InvalidArgument(
                    f"{path} is {_shown(first['input'])}: {_reason(first)}.", next_step=_meaning(field)
                )


def _marker(hint: Any) -> OnlyWhere | None:
    """The marker in an annotated type."""
    items = get_args(hint) if get_origin(hint) is Annotated else ()
    return next((item for item in items if isinstance(item, OnlyWhere)), None)


def _reason(error: ErrorDetails) -> str:
    """Why a value is refused, in words that say what to give instead."""
    limits = error.get("ctx", {})
    match error["type"]:
        case "too_short":
            return f"it needs at least {limits['min_length']}"
        case "string_too_short":
            return "it should not be empty"
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            return "it should be an object"
        case "string_pattern_mismatch":
            return "it has another form"
        case _:
            said = error["msg"].removeprefix("Value error, ").rstrip(".")
            return said.replace("Input should be", "it should be").replace("a valid ", "a ").replace("a i", "an i")


def _path(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".")


def _meaning(field: FieldInfo | None) -> str:
    return field.description if field is not None and field.description else ""


def _closest(name: str, known: list[str]) -> str:
    from ollama_mcp.formats.options import OPTIONS

    if name in OPTIONS and "options" in known:
        return f"Model options go into options: {{'{name}': ...}}."
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"It takes: {', '.join(known)}."


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
