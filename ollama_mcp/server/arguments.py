"""A tool's arguments: the published schema from a signature, and checked values from the JSON of a call."""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from ollama_mcp.errors import InvalidArgument, NotAllowed
from ollama_mcp.formats.durations import keep_alive_seconds
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.server.call import Call
from ollama_mcp.server.registry import ToolFunction
from ollama_mcp.server.tool_schemas import Schema, portable
from ollama_mcp.server.types import RequiresSetting, check_call_options
from ollama_mcp.settings import Settings, SettingsError
from ollama_mcp.settings.hosts import AUTO

# Added to each tool that calls a host, where there are several.
HOST = "host"
# The tool that publishes the names of the hosts: in each they would cost more the more hosts there are.
_NAMES_HOSTS = "ollama_chat"
_SHOWN = 80
# What hosts whose API wants an argument send to tools that take none.
_DUMMIES = frozenset(("random_string", "_", "dummy", "noop"))
# Tools of this process times the settings that shape their arguments; a test process makes many servers.
_KEPT_MODELS = 512
# The arguments that take paths, among other things; those of messages and other objects too.
_PATH_ARGUMENTS = frozenset(
    {"files", "images", "audio", "path", "modelfile", "input", "output", "prompts_file", "examples"}
)
_RELATIVE = re.compile(r"(?!\s*(?:[/~\\]|[A-Za-z]:|(?:data|https?|file):))[^\n]{1,4096}\Z", re.IGNORECASE)


@dataclass
class Arguments:
    """The arguments of one tool under the settings of this start."""

    function: ToolFunction
    settings: Settings
    on_one_host: bool = False

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """What the argument `host` takes; nothing where there is no such argument."""
        names = tuple(self.settings.hosts)
        if len(names) < 2 or self.call_parameter is None or HOST in _hints(self.function):
            return ()
        return names if self.on_one_host else (AUTO, *names)

    @cached_property
    def call_parameter(self) -> str | None:
        """Name of the parameter that receives the Call."""
        return next((name for name, hint in _hints(self.function).items() if hint is Call), None)

    @cached_property
    def schema(self) -> Schema:
        """The published input schema."""
        return _input_schema(self.function, self.call_parameter, frozenset(self._hidden), self.hosts)

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments to call the function with.

        Raises:
            InvalidArgument: Names the argument, its value and what is allowed.
            NotAllowed: The settings have a maximum.
        """
        # Hosts spell an argument that is left out as null.
        present = {
            name: value
            for name, value in given.items()
            if value is not None and not (name in self._fillers and self._is_filler(name, value))
        }
        values = cast("dict[str, Any]", coerce(present, self.schema))
        while True:
            try:
                model = self._model.model_validate(values)
            except ValidationError as error:
                # A member that hides others by its own error may stand in front of them: each is one more round.
                if not _leave_out_empty(values, error, self.schema):
                    raise self._explain(error) from None
            else:
                arguments = {name: getattr(model, name) for name in model.model_fields_set}
                if self._has_ceilings:
                    from ollama_mcp.server.ceilings import check_ceilings

                    check_ceilings(self.settings.policy, arguments)
                return arguments

    @cached_property
    def _has_ceilings(self) -> bool:
        policy = self.settings.policy
        return bool(policy.num_predict or policy.num_ctx or policy.keep_alive is not None)

    @cached_property
    def _fillers(self) -> frozenset[str]:
        """Arguments that the tool does not take, but that a host may fill in."""
        return frozenset(self._hidden) if self._model.model_fields else _DUMMIES | frozenset(self._hidden)

    def _is_filler(self, name: str, value: Any) -> bool:
        return name in _DUMMIES or value is False or _is_empty(value)

    @cached_property
    def _hidden(self) -> dict[str, str]:
        """Arguments that the settings leave out, and what would offer each."""
        marked = ((name, _marker(hint)) for name, hint in _hints(self.function).items())
        return {name: mark.remedy for name, mark in marked if mark is not None and not mark.is_met(self.settings)}

    @cached_property
    def _model(self) -> type[BaseModel]:
        return _argument_model(self.function, self.call_parameter, frozenset(self._hidden), self.hosts)

    def _explain(self, error: ValidationError) -> InvalidArgument:
        errors = error.errors(include_url=False)
        # A misspelt argument explains why another one is missing.
        misspelt = (wrong for wrong in errors if wrong["type"] == "extra_forbidden" and len(wrong["loc"]) == 1)
        first = next(misspelt, errors[0])
        cause = getattr(first.get("ctx", {}).get("error"), "__cause__", None)
        if isinstance(cause, InvalidArgument):
            return cause
        path = _path(first["loc"])
        known = list(self._model.model_fields)
        field = self._model.model_fields.get(str(first["loc"][0]))
        meaning = field.description if field is not None and field.description else ""
        match first["type"]:
            case "missing":
                return InvalidArgument(f"{path} is required.", next_step=meaning)
            case "extra_forbidden" if path in self._hidden:
                return InvalidArgument(
                    f"{path} is off in the settings.", next_step=f"Leave it out. {self._hidden[path]}"
                )
            case "extra_forbidden" if len(first["loc"]) == 1:
                return InvalidArgument(
                    f"{self.function.__name__} has no argument {path}.", next_step=_closest(path, known)
                )
            case "extra_forbidden":
                return InvalidArgument(f"{path} is unknown.", next_step="Leave it out.")
            case _:
                return InvalidArgument(f"{path} is {_shown(first['input'])}: {_reason(first)}.", next_step=meaning)


def coerce(value: Any, schema: Schema) -> Any:
    """The value as the schema wants it where that is beyond doubt, else unchanged.

    Models get types wrong in a few known ways: "42" for an integer, "true" for a boolean, one string where a list is
    wanted, JSON text where an object is wanted, a number where text is wanted, null for an absent member.
    """
    kinds = {str(branch["type"]) for branch in schema.get("anyOf") or (schema,) if "type" in branch}
    if isinstance(value, str):
        # An object given as JSON text is not the string that the same argument also takes.
        is_text = "string" in kinds and not ("object" in kinds and value.lstrip()[:1] == "{")
        if kinds and not is_text:
            value = _parse_text(value, kinds)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if kinds == {"string"}:
            value = str(value)
        elif value in (0, 1) and "boolean" in kinds and not kinds & {"integer", "number"}:
            value = bool(value)
    if "array" in kinds and value is not None and not isinstance(value, list):
        value = [value]
    if isinstance(value, list):
        items: Schema = schema.get("items") or {}
        return [coerce(item, items) for item in cast("list[Any]", value)]
    known: dict[str, Schema] = schema.get("properties") or {}
    if not known or not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    return {
        name: coerce(item, known.get(name, {})) for name, item in members.items() if not _is_absent(name, item, schema)
    }


def _is_absent(name: str, value: Any, schema: Schema) -> bool:
    """Whether a member is left out: null, or an empty value that is not a list where a list is optional."""
    known = schema["properties"].get(name)
    if known is None or value is None:
        return value is None and known is not None
    is_optional_list = known.get("type") == "array" and name not in schema.get("required", ())
    return is_optional_list and not isinstance(value, list) and _is_empty(value)


def _is_empty(value: Any) -> bool:
    """Whether a value is what hosts and proxies fill in for an argument that is not used."""
    if isinstance(value, str):
        return not value.strip()
    return not isinstance(value, bool) and value in (0, [], {})


def _leave_out_empty(values: dict[str, Any], error: ValidationError, schema: Schema) -> bool:
    """Delete each optional member whose empty value is refused: the empty value of its type stands for "not given".

    The refusal itself tells where it can mean nothing, so that seed 0 or keep_alive 0 stay what they are.

    Returns:
        Whether there was one.
    """
    refused = [wrong["loc"] for wrong in error.errors(include_url=False) if wrong["type"] != "extra_forbidden"]
    found = [_empty_member(values, location, schema) for location in refused]
    for members, name in filter(None, found):
        members.pop(name, None)
    return any(found)


def _empty_member(value: Any, location: tuple[int | str, ...], schema: Schema) -> tuple[dict[str, Any], str] | None:
    """The object and the name of the first optional member on the way to `location` whose value is empty."""
    for part in location:
        if isinstance(part, int):
            schema = schema.get("items") or {}
            if not isinstance(value, list):
                return None
            value = cast("list[Any]", value)[part]
            continue
        known = cast("dict[str, Schema]", schema.get("properties") or {})
        if not isinstance(value, dict) or not known or part not in value:
            return None
        members = cast("dict[str, Any]", value)
        if part not in schema.get("required", ()) and _is_empty(members[part]):
            return members, part
        # Not all members are published.
        schema, value = known.get(part, {}), members[part]
    return None


def check_defaults(settings: Settings) -> None:
    """Hold the settings' defaults of calls to what a call itself is held to.

    Raises:
        SettingsError: A default that would fail each call; names the setting and what it takes.
    """
    defaults = settings.defaults
    for name in ("model", "chat", "generate", "embed", "vision", "decide"):
        if model := getattr(defaults, name):
            _check_default(name, parse_name, model)
    if defaults.keep_alive is not None:
        _check_default("keep_alive", keep_alive_seconds, defaults.keep_alive)
    _check_default("options", check_call_options, defaults.options)
    policy = settings.policy
    if policy.keep_alive is not None:
        _check_default("keep_alive", keep_alive_seconds, policy.keep_alive, section="policy")
    if policy.num_predict or policy.num_ctx or policy.keep_alive is not None:
        from ollama_mcp.server.ceilings import check_ceilings

        given = {"options": defaults.options, "keep_alive": defaults.keep_alive}
        _check_default("options and keep_alive", partial(check_ceilings, policy), given)


def _check_default(name: str, check: Callable[[Any], object], value: object, *, section: str = "defaults") -> None:
    try:
        check(value)
    except (InvalidArgument, NotAllowed) as error:
        raise SettingsError(f"setting {section}.{name}: {error.message}", next_step=error.next_step) from None


@lru_cache(_KEPT_MODELS)
def _hints(function: ToolFunction) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


@lru_cache(_KEPT_MODELS)
def _argument_model(
    function: ToolFunction, call_parameter: str | None, hidden: frozenset[str], hosts: tuple[str, ...]
) -> type[BaseModel]:
    """The pydantic model of a function's arguments; building one costs milliseconds, so each is built once."""
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name != call_parameter and name not in hidden:
            required = parameter.default is inspect.Parameter.empty
            # Only what is given is passed on, and a list would be copied for each call.
            default = None if isinstance(parameter.default, list) else parameter.default
            fields[name] = (_hints(function)[name], ... if required else default)
    if hosts:
        choice: Any = Literal[hosts]
        # Left out it is `auto`, which the schema need not say in each tool.
        default: Any = "" if AUTO in hosts else ...
        fields[HOST] = (Annotated[choice, Field(description=f"One of {', '.join(hosts)}.")], default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    return create_model(f"{function.__name__}_arguments", __config__=config, **fields)


@lru_cache(_KEPT_MODELS)
def _input_schema(
    function: ToolFunction, call_parameter: str | None, hidden: frozenset[str], hosts: tuple[str, ...]
) -> Schema:
    schema = portable(_argument_model(function, call_parameter, hidden, hosts).model_json_schema())
    schema.setdefault("properties", {})
    if hosts:
        # Which names there are, an error says too.
        published = {"enum": list(hosts)} if function.__name__ == _NAMES_HOSTS else {}
        schema["properties"][HOST] = {"type": "string", **published}
    # Open, though unknown arguments are refused: some hosts would refuse them by themselves, without naming any.
    return {**schema, "required": schema.get("required", [])}


def _marker(hint: Any) -> RequiresSetting | None:
    """The marker in an annotated type."""
    items = get_args(hint) if get_origin(hint) is Annotated else ()
    return next((item for item in items if isinstance(item, RequiresSetting)), None)


def _parse_text(text: str, kinds: set[str]) -> Any:
    """A string as the JSON value that it spells, where that is of a wanted kind."""
    if "boolean" in kinds and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parsed if _kinds_of(parsed) & kinds else text


def _kinds_of(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"integer", "number"} if value.is_integer() else {"number"}
    return {"object"} if isinstance(value, dict) else {"array"} if isinstance(value, list) else set()


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


def _closest(name: str, known: list[str]) -> str:
    from ollama_mcp.formats.options import OPTIONS

    if name in OPTIONS and "options" in known:
        return f"Model options go into options: {{'{name}': ...}}."
    close = difflib.get_close_matches(name, known, n=1)
    return (
        f"Did you mean {close[0]!r}?"
        if close
        else f"It takes: {', '.join(known)}."
        if known
        else "It takes no arguments."
    )


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def names_relative_path(arguments: object, *, is_path: bool = False) -> bool:
    """Whether a call may name a file by a relative path, which starts from a root of the client."""
    if isinstance(arguments, dict):
        members = cast("dict[str, object]", arguments).items()
        return any(names_relative_path(value, is_path=name in _PATH_ARGUMENTS) for name, value in members)
    if isinstance(arguments, list):
        return any(names_relative_path(item, is_path=is_path) for item in cast("list[object]", arguments))
    return is_path and isinstance(arguments, str) and _RELATIVE.match(arguments) is not None
