"""Argument types that tools share; each text says where a valid value comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.durations import keep_alive_seconds
from ollama_mcp.formats.names import parse_name
from ollama_mcp.formats.options import BESIDE_OPTIONS, check_options
from ollama_mcp.formats.text import escape
from ollama_mcp.settings.model import Settings

if TYPE_CHECKING:
    from ollama_mcp.api import Message as Turn
    from ollama_mcp.api import ToolCall

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")

ChatInclude = Literal["thinking", "stats", "logprobs"]
GenerateInclude = Literal["thinking", "stats", "logprobs", "context"]


@dataclass(frozen=True, slots=True)
class OnlyWhere:
    """Marks an argument that is offered only where a setting (`section.name`) is on, or only where it is off."""

    setting: str
    on: bool = True

    def holds(self, settings: Settings) -> bool:
        """Whether the setting is so."""
        return bool(attrgetter(self.setting)(settings)) is self.on

    @property
    def remedy(self) -> str:
        """What the user can do to have the argument offered."""
        return f"The user can turn {self.setting} {'on' if self.on else 'off'}."


def _name(value: Any) -> Any:
    return str(parse_name(value) and value).strip() if isinstance(value, str) else value


def _keep_alive(value: Any) -> Any:
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


def _think(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, bool) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError("it takes true, false or a level such as 'low'")


def _format(value: Any) -> Any:
    from ollama_mcp.formats.schema import check_schema

    if value == "json":
        return value
    if isinstance(value, dict):
        return check_schema(cast("dict[str, Any]", value))
    raise ValueError("it takes 'json' or a JSON Schema object")


def checked_options(value: Any) -> Any:
    """Options as a call or the settings give them: those of the model, and those that Ollama keeps beside them."""
    if not isinstance(value, dict):
        raise ValueError("it takes an object such as {'temperature': 0}")
    given = cast("dict[str, Any]", value)
    beside = {name: given[name] for name in BESIDE_OPTIONS if given.get(name) is not None}
    for name in ("truncate", "shift"):
        if not isinstance(beside.get(name, True), bool):
            raise InvalidArgument(f"options.{name} is {beside[name]!r}, but takes true or false.")
    top = beside.get("top_logprobs", 0)
    if isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= 20:
        raise InvalidArgument(f"options.top_logprobs is {top!r}, but takes a whole number from 0 to 20.")
    rest = {name: item for name, item in given.items() if name not in beside}
    return check_options(rest, also=BESIDE_OPTIONS) | beside


def _parameters(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("it takes an object such as {'temperature': 0}")
    return check_options(cast("dict[str, Any]", value))


def _digests(value: dict[str, str]) -> dict[str, str]:
    for name, digest in value.items():
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest[:80]!r} is no digest: 'sha256:' and 64 hex digits in lower case")
        if not name or name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise ValueError(f"{name[:80]!r} is no relative file name")
    return value


def _sources(value: Any, *, kind: str) -> Any:
    """MCP content as hosts pass it on (`ImageContent`, `AudioContent` of the specification) becomes a data: URI."""
    if not isinstance(value, list):
        return value
    given = cast("list[Any]", value)
    return [
        _data_uri(cast("dict[str, Any]", item), kind, f"{kind} {number} of {len(given)}")
        if isinstance(item, dict)
        else item
        for number, item in enumerate(given, start=1)
    ]


def _data_uri(content: dict[str, Any], kind: str, place: str) -> str:
    data, media_type = content.get("data"), content.get("mimeType")
    if content.get("type") != kind or not isinstance(data, str) or not isinstance(media_type, str):
        form = f"{{'type': '{kind}', 'data': base64, 'mimeType': '{kind}/...'}}"
        raise InvalidArgument(f"{place}: the object is no MCP {kind} content.", next_step=f"Give {form} or text.")
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise InvalidArgument(
            f"{place}: mimeType {escape(media_type, 80)!r} is no media type.", next_step=f"Give {kind}/..."
        )
    return f"data:{media_type};base64,{data}"


def _tool(value: Any) -> Any:
    """Both forms are taken: OpenAI's `{"type": "function", "function": {...}}` and the function alone."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):  # pyright: ignore[reportUnknownMemberType]
        return cast("dict[str, Any]", value)["function"]
    return cast("Any", value)


ModelName = Annotated[str, BeforeValidator(_name), Field(description="A model's name, from ollama_list_models.")]
EmbedModel = Annotated[
    str,
    BeforeValidator(_name),
    Field(description="An embedding model, from ollama_list_models(capability='embedding')."),
]

# Where a WithJsonSchema stands, the description is in it: pydantic drops a Field's once the type may be None.
_ANY_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"type": {"type": "string"}},
    "additionalProperties": True,
}
KeepAlive = Annotated[
    float | str,
    BeforeValidator(_keep_alive),
    WithJsonSchema({"type": "string", "description": "Stays loaded: '10m', '0' unloads, '-1' for ever."}),
]
Think = Annotated[
    bool | str,
    BeforeValidator(_think),
    WithJsonSchema(
        {
            "anyOf": [{"type": "boolean"}, {"type": "string"}],
            "description": "On, off, or a level from ollama_show_model.",
        }
    ),
]
Format = Annotated[
    dict[str, Any] | str,
    BeforeValidator(_format),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "enum": ["json"]}, _ANY_OBJECT],
            "description": "'json' or a JSON Schema to check it by; ask for JSON in the prompt too.",
        }
    ),
]
Options = Annotated[
    dict[str, Any],
    BeforeValidator(checked_options),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "temperature": {"type": "number"},
                "seed": {"type": "integer"},
                "num_predict": {"type": "integer", "description": "Most tokens to write."},
                "num_ctx": {"type": "integer"},
            },
            "additionalProperties": True,
            "description": "Also top_k, top_p, stop, repeat_penalty, truncate, shift and others.",
        }
    ),
]
LoadOptions = Annotated[
    dict[str, Any],
    BeforeValidator(checked_options),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"num_ctx": {"type": "integer", "description": "A change reloads the model."}},
            "additionalProperties": True,
        }
    ),
]
ImageSources = Annotated[list[str], BeforeValidator(partial(_sources, kind="image"))]
Images = Annotated[ImageSources, Field(description="Paths, base64, data: URIs or URLs; for a model with 'vision'.")]
Audio = Annotated[
    list[str],
    BeforeValidator(partial(_sources, kind="audio")),
    OnlyWhere("audio.enabled"),
    Field(description="WAV or MP3, given like images; for a model with 'audio'."),
]


Files = Annotated[list[str], Field(description="Paths, globs, 'a.py:10-80': read here, unseen by you.")]
Confirm = Annotated[bool, Field(description="Only after the user agreed to what the first call answered.")]
Background = Annotated[bool, Field(description="Make it a job at once.")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="'sha256:' and 64 hex digits.")]
Digests = Annotated[
    dict[str, str],
    AfterValidator(_digests),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"model.gguf": {"type": "string"}},
            "additionalProperties": True,
            "description": "File name -> digest of a blob on the host.",
        }
    ),
]
Parameters = Annotated[
    dict[str, Any],
    BeforeValidator(_parameters),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"temperature": {"type": "number"}},
            "additionalProperties": True,
            "description": "Model options built in.",
        }
    ),
]


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("it should not be empty")
    return value


def _without_docstring(schema: dict[str, Any]) -> None:
    """A class's docstring is for readers of the code; in a tool list it costs tokens."""
    schema.pop("description", None)


def _without_what_hosts_add(schema: dict[str, Any]) -> None:
    """Fields that come back from earlier answers are taken, and are not worth tokens in each tool list."""
    _without_docstring(schema)
    for name in ("thinking", "tool_call_id"):
        schema["properties"].pop(name)


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_what_hosts_add)

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    images: ImageSources = []
    thinking: str = ""
    tool_calls: Annotated[
        list[dict[str, Any]],
        WithJsonSchema(
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "additionalProperties": True,
                },
            }
        ),
    ] = []
    tool_name: str = ""
    tool_call_id: str = ""


class Function(BaseModel):
    """A tool that the local model may call."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_docstring)

    name: Annotated[str, AfterValidator(_not_empty)]
    description: str = ""
    parameters: Annotated[dict[str, Any], WithJsonSchema(_ANY_OBJECT)] = {}


ToolDefinition = Annotated[Function, BeforeValidator(_tool)]


def as_turns(messages: Sequence[Message]) -> list[Turn]:
    """Messages as the API client takes them: nothing empty but the content."""
    from ollama_mcp.api import Message as Turn

    return [
        Turn(
            role=message.role,
            content=message.content,
            thinking=message.thinking or None,
            images=None,
            tool_calls=[_as_call(call, place) for place, call in enumerate(message.tool_calls)] or None,
            tool_name=message.tool_name or None,
            tool_call_id=message.tool_call_id or None,
        )
        for message in messages
    ]


def as_tools(tools: Sequence[Function]) -> list[dict[str, Any]]:
    """Function definitions as Ollama takes them."""
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


def _as_call(call: dict[str, Any], place: int) -> ToolCall:
    """A tool call of an earlier answer; our own flat form and OpenAI's arguments as text are taken too."""
    from ollama_mcp.api import ToolCall

    function = call.get("function") or call
    name: Any = function.get("name")
    arguments: Any = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise InvalidArgument(
            f"tool_calls[{place}] is no call: {json.dumps(call)[:80]}.",
            next_step="Give {'function': {'name': ..., 'arguments': {...}}}, as the answer had it.",
        )
    return ToolCall(name, cast("dict[str, Any]", arguments), call.get("id"))
