"""Argument types that tools share: what is published of each argument, and how its value is checked.

A published text says where a valid value comes from. Every session of every user pays for it, so it is short.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.durations import keep_alive_seconds
from ollama_mcp.formats.escaping import escape
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.formats.options import OPTIONS, TOP_LEVEL_OPTIONS, check_options, without_fillers
from ollama_mcp.settings.model import Settings

if TYPE_CHECKING:
    from ollama_mcp.api import ChatMessage, ToolCall

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")

ChatInclude = Literal["thinking", "stats", "logprobs"]
GenerateInclude = Literal["thinking", "stats", "logprobs", "context"]


@dataclass(frozen=True, slots=True)
class RequiresSetting:
    """Marks an argument that is offered only where a setting is on, or only where it is off.

    Args:
        setting: The setting, as `section.name`.
        on: The value that it must have; a word for a setting that is not a switch.
    """

    setting: str
    on: bool | str = True

    def is_met(self, settings: Settings) -> bool:
        """Whether the argument is offered under these settings."""
        value = attrgetter(self.setting)(settings)
        return value == self.on if isinstance(self.on, str) else bool(value) is self.on

    @property
    def remedy(self) -> str:
        """How the user gets the argument offered."""
        if isinstance(self.on, str):
            return f"The user can set {self.setting} to {self.on!r}."
        return f"The user can turn {self.setting} {'on' if self.on else 'off'}."


def _validate_model_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parse_name(value)
    except InvalidArgument as error:
        raise ValueError(error.message) from error
    return value.strip()


def _validate_keep_alive(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("it takes seconds or a duration such as '10m'")
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            value = text
    keep_alive_seconds(value)
    return value


def _validate_think(value: Any) -> Any:
    # Models send booleans as text where a level is text too.
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, bool) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError("it takes true, false or a level such as 'low'")


def _validate_format(value: Any) -> Any:
    from ollama_mcp.formats.json_schema import check_schema

    if value == "json":
        return value
    if isinstance(value, dict):
        return check_schema(cast("dict[str, Any]", value))
    raise ValueError("it takes 'json' or a JSON Schema object")


def check_call_options(value: Any) -> Any:
    """The options of a call or of the settings, checked: those of the model, and those that Ollama takes beside them.

    Raises:
        InvalidArgument: Names the option, its value and what is allowed.
    """
    if not isinstance(value, dict):
        raise ValueError("it takes an object such as {'temperature': 0}")
    given = cast("dict[str, Any]", value)
    beside = {name: given[name] for name in TOP_LEVEL_OPTIONS if given.get(name) is not None}
    for name in ("truncate", "shift"):
        if not isinstance(beside.get(name, True), bool):
            raise InvalidArgument(f"options.{name} is {beside[name]!r}, but must be true or false.")
    top = beside.get("top_logprobs", 0)
    # A bool is an int to Python.
    if isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= 20:
        raise InvalidArgument(f"options.top_logprobs is {top!r}, but must be a whole number from 0 to 20.")
    rest = {name: item for name, item in given.items() if name not in beside}
    return check_options(rest, also=TOP_LEVEL_OPTIONS) | beside


def _validate_options(value: Any) -> Any:
    return check_call_options(without_fillers(cast("dict[str, Any]", value)) if isinstance(value, dict) else value)


def _validate_parameters(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("it takes an object such as {'temperature': 0}")
    return check_options(without_fillers(cast("dict[str, Any]", value)))


def _validate_digests(value: dict[str, str]) -> dict[str, str]:
    for name, digest in value.items():
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest[:80]!r} is not a digest: 'sha256:' and 64 lower-case hex digits")
        # Ollama writes the files of a model under these names: none may lead out of its folder.
        if not name or name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise ValueError(f"{name[:80]!r} is not a relative file name")
    return value


def _validate_sources(value: Any, *, kind: str) -> Any:
    """Turn MCP content (`ImageContent`, `AudioContent`), which some hosts pass on as it is, into data: URIs."""
    if not isinstance(value, list):
        return value
    items = cast("list[Any]", value)
    return [
        _data_uri(cast("dict[str, Any]", item), kind, f"{kind} {number} of {len(items)}")
        if isinstance(item, dict)
        else item
        for number, item in enumerate(items, start=1)
    ]


def _data_uri(content: dict[str, Any], kind: str, place: str) -> str:
    data, media_type = content.get("data"), content.get("mimeType")
    if content.get("type") != kind or not isinstance(data, str) or not isinstance(media_type, str):
        expected = f"{{'type': '{kind}', 'data': base64, 'mimeType': '{kind}/...'}}"
        raise InvalidArgument(f"{place} is not MCP {kind} content.", next_step=f"Provide {expected} or text.")
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise InvalidArgument(
            f"{place}: mimeType {escape(media_type, 80)!r} is not a media type.", next_step=f"Provide {kind}/..."
        )
    return f"data:{media_type};base64,{data}"


def _unwrap_function(value: Any) -> Any:
    """Accept OpenAI's `{"type": "function", "function": {...}}` and the bare function alike."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):  # pyright: ignore[reportUnknownMemberType]
        return cast("dict[str, Any]", value)["function"]
    return cast("Any", value)


def _before(check: Callable[[Any], Any]) -> BeforeValidator:
    """A validator whose InvalidArgument pydantic collects with its place, as it does with any ValueError."""

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except InvalidArgument as error:
            raise ValueError(error.message) from error

    return BeforeValidator(validate)


ModelName = Annotated[str, BeforeValidator(_validate_model_name), Field(description="Name from ollama_list_models.")]
EmbedModel = Annotated[
    str,
    BeforeValidator(_validate_model_name),
    Field(description="From ollama_list_models(capability='embedding')."),
]


def _open_object(properties: dict[str, Any], description: str = "") -> dict[str, Any]:
    """Schema of an object that takes more than the named members.

    Gemini refuses a whole tool list for one object without properties, so there is always one.
    """
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return schema | ({"description": description} if description else {})


def _option_schemas(*described: str) -> dict[str, Any]:
    """The published model options, from the table that their values are checked by.

    Ranges are not published, for their tokens: an error names the range of the option that it refuses. Nor are
    meanings that every model knows.
    """
    published = {name: OPTIONS[name] for name in _PUBLISHED_OPTIONS}
    return {
        name: {"type": option.type} | ({"description": option.meaning} if name in described else {})
        for name, option in published.items()
    }


# The rest of the table is accepted too; publishing all of it would cost more tokens than the tool itself.
_PUBLISHED_OPTIONS = ("temperature", "seed", "num_predict", "num_ctx")
_ANY_OBJECT = _open_object({"type": {"type": "string"}})
# Where a WithJsonSchema stands, the description is in it: pydantic drops a Field's once the type may be None.
KeepAlive = Annotated[
    float | str,
    _before(_validate_keep_alive),
    WithJsonSchema({"type": "string", "description": "Stay loaded '10m'; '0' unloads, '-1' is forever."}),
]
Think = Annotated[
    bool | str,
    BeforeValidator(_validate_think),
    WithJsonSchema(
        {
            "anyOf": [{"type": "boolean"}, {"type": "string"}],
            "description": "On, off, or a level from ollama_show_model.",
        }
    ),
]
Format = Annotated[
    dict[str, Any] | str,
    _before(_validate_format),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "enum": ["json"]}, _ANY_OBJECT],
            "description": "'json' or a JSON Schema, checked; ask for JSON in the prompt too.",
        }
    ),
]
Options = Annotated[
    dict[str, Any],
    _before(_validate_options),
    WithJsonSchema(_open_object(_option_schemas("num_predict", "num_ctx"), "Also top_k, top_p, stop and others.")),
]
# ollama_chat says it in full, and the two are offered together: a second copy would not fit the budget of the list.
GenerateOptions = Annotated[
    dict[str, Any],
    _before(_validate_options),
    WithJsonSchema(_open_object(_option_schemas(), "As in ollama_chat.")),
]
LoadOptions = Annotated[
    dict[str, Any],
    _before(_validate_options),
    WithJsonSchema(_open_object({"num_ctx": {"type": "integer"}}, "A new num_ctx reloads the model.")),
]
ImageSources = Annotated[list[str], BeforeValidator(partial(_validate_sources, kind="image"))]
Images = Annotated[ImageSources, Field(description="Paths, base64, data: URIs or URLs; needs 'vision'.")]
Audio = Annotated[
    list[str],
    BeforeValidator(partial(_validate_sources, kind="audio")),
    RequiresSetting("audio.enabled"),
    Field(description="WAV or MP3, given like images; needs 'audio'."),
]
Files = Annotated[
    list[str],
    Field(description="Paths, globs, 'a.py:10-80': read by this server, not through you."),
]
Confirm = Annotated[bool, Field(description="Only after [needs_confirmation] and the user's yes.")]
# Said in ollama_chat only: elsewhere the name says it.
Background = bool
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="'sha256:' and 64 hex digits.")]
Digests = Annotated[
    dict[str, str],
    AfterValidator(_validate_digests),
    WithJsonSchema(_open_object({"model.gguf": {"type": "string"}}, "Uploaded blobs, not paths: file name -> digest.")),
]
Parameters = Annotated[
    dict[str, Any],
    _before(_validate_parameters),
    WithJsonSchema(_open_object({"temperature": {"type": "number"}}, "Model options.")),
]


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("it should not be empty")
    return value


def _without_docstring(schema: dict[str, Any]) -> None:
    """Drop the class's docstring: it is for readers of the code, and a tool list pays for it in tokens."""
    schema.pop("description", None)


def _without_copied_fields(schema: dict[str, Any]) -> None:
    """Drop fields that an agent only copies from earlier answers: they are accepted, but not worth their tokens."""
    _without_docstring(schema)
    for name in ("thinking", "tool_call_id"):
        schema["properties"].pop(name)


class MessageArgument(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_copied_fields)

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    images: ImageSources = []
    thinking: str = ""
    tool_calls: Annotated[
        list[dict[str, Any]],
        WithJsonSchema({"type": "array", "items": _open_object({"name": {"type": "string"}})}),
    ] = []
    tool_name: str = ""
    tool_call_id: str = ""


class FunctionDefinition(BaseModel):
    """A function that the local model may call."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_docstring)

    name: Annotated[str, AfterValidator(_not_empty)]
    description: str = ""
    parameters: Annotated[dict[str, Any], WithJsonSchema(_ANY_OBJECT)] = {}


ToolDefinition = Annotated[FunctionDefinition, BeforeValidator(_unwrap_function)]


def to_api_messages(messages: Sequence[MessageArgument]) -> list[ChatMessage]:
    """Messages as the API client takes them; empty fields are absent, except content.

    Images are not copied: they are loaded and attached later, under the access rules.
    """
    from ollama_mcp.api import ChatMessage

    return [
        ChatMessage(
            role=message.role,
            content=message.content,
            thinking=message.thinking or None,
            images=None,
            tool_calls=[_to_api_tool_call(call, index) for index, call in enumerate(message.tool_calls)] or None,
            tool_name=message.tool_name or None,
            tool_call_id=message.tool_call_id or None,
        )
        for message in messages
    ]


def to_api_tools(tools: Sequence[FunctionDefinition]) -> list[dict[str, Any]]:
    """Function definitions in the form of Ollama's API."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": {"type": "object", "properties": {}, **tool.parameters},
            },
        }
        for tool in tools
    ]


def _to_api_tool_call(call: dict[str, Any], index: int) -> ToolCall:
    """A tool call of an earlier answer: Ollama's form, the flat form of our results, or OpenAI's with JSON text.

    Raises:
        InvalidArgument: It has no name, or arguments that are not an object.
    """
    from ollama_mcp.api import ToolCall

    function = call.get("function") or call
    name: Any = function.get("name")
    arguments: Any = function.get("arguments") or {}
    # OpenAI sends the arguments as JSON text.
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise InvalidArgument(
            f"tool_calls[{index}] is not a tool call: {json.dumps(call)[:80]}.",
            next_step="Provide {'function': {'name': ..., 'arguments': {...}}}, as in the answer.",
        )
    return ToolCall(name, cast("dict[str, Any]", arguments), call.get("id"))
