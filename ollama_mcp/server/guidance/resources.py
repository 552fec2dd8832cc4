"""Resources: the state of Ollama as JSON, as far as the tools that show it are offered, and the guides as Markdown."""

from __future__ import annotations

import difflib
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, Resource, ResourceTemplate, TextContent

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.host_url import normalize_host_url
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.server.guidance import guides
from ollama_mcp.server.results import META

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings

CallTool = Callable[[str, dict[str, Any]], Awaitable[CallToolResult]]

JSON = "application/json"
MARKDOWN = "text/markdown"
MODEL_CARD = "ollama://models/"
MODEL_CARD_TEMPLATE = MODEL_CARD + "{+name}"
HOSTS = "ollama://hosts"
STATUS = "ollama_status"


@dataclass(frozen=True, slots=True)
class ToolResource:
    """A resource that shows what a tool without arguments shows, or one field of it."""

    uri: str
    title: str
    description: str
    tool: str
    field: str = ""


TOOL_RESOURCES = (
    ToolResource("ollama://status", "Status", "Whether Ollama answers, its version, what is loaded.", STATUS),
    ToolResource("ollama://models", "Installed models", "Size, context, capabilities of each.", "ollama_list_models"),
    ToolResource("ollama://running", "Loaded models", "Memory, share on the GPU, time left.", "ollama_list_running"),
    ToolResource(
        "ollama://usage", "Usage", "Calls and tokens of local models so far; ollama.com apart.", STATUS, "usage"
    ),
)


def list_resources(offered: Collection[str]) -> list[Resource]:
    """All resources, in a fixed order."""
    found = [
        Resource(uri=one.uri, name=_name(one.uri), title=one.title, description=one.description, mime_type=JSON)
        for one in TOOL_RESOURCES
        if one.tool in offered
    ]
    what = "Addresses of the Ollama hosts that this server uses."
    found.append(Resource(uri=HOSTS, name="hosts", title="Hosts", description=what, mime_type=JSON))
    return found + [
        Resource(uri=uri, name=_name(uri), title=guide.title, description=guide.description, mime_type=MARKDOWN)
        for uri, guide in guides.GUIDES.items()
    ]


def list_templates(offered: Collection[str]) -> list[ResourceTemplate]:
    """The template of model cards."""
    if "ollama_show_model" not in offered:
        return []
    what = "What one model can do: capabilities, context, thinking levels, default options."
    card = ResourceTemplate(
        uri_template=MODEL_CARD_TEMPLATE, name="model", title="Model card", description=what, mime_type=JSON
    )
    return [card]


async def read_resource(uri: str, offered: Collection[str], settings: Settings, call: CallTool) -> ReadResourceContents:
    """The text of a resource.

    Args:
        uri: Its address.
        offered: Names of the offered tools: what a tool would show is shown only where the tool is offered.
        settings: The settings of this start.
        call: Calls a tool.

    Raises:
        ResourceNotFoundError: There is none of that address, or no such model.
        ResourceError: The host did not give it; says why.
    """
    if uri in guides.GUIDES:
        return ReadResourceContents(content=guides.GUIDES[uri].render(settings), mime_type=MARKDOWN)
    if uri == HOSTS:
        return _json_contents(
            {"hosts": [{"name": "local", "url": normalize_host_url(settings.host), "key": bool(settings.api_key)}]}
        )
    state = next((one for one in TOOL_RESOURCES if one.uri == uri), None)
    if state is not None and state.tool in offered:
        return _result_contents(await call(state.tool, {}), state.field)
    if uri.startswith(MODEL_CARD) and list_templates(offered):
        return _result_contents(await call("ollama_show_model", {"model": _model_name(uri)}))
    raise _not_found(uri, offered)


def _model_name(uri: str) -> str:
    """The model's name in an address, checked by Ollama's own rules: nothing else gets through as a path would."""
    name = unquote(uri.removeprefix(MODEL_CARD))
    try:
        return str(parse_name(name))
    except InvalidArgument as error:
        raise ResourceNotFoundError(f"[{error.kind}] {error}") from None


def _result_contents(result: CallToolResult, field: str = "") -> ReadResourceContents:
    if not result.is_error:
        whole = result.structured_content
        return _json_contents(whole[field] if field and whole is not None else whole)
    first = next(block.text for block in result.content if isinstance(block, TextContent))
    kind = (result.meta or {}).get(f"{META}/error", {}).get("kind")
    raise (ResourceNotFoundError if kind == "model_not_found" else ResourceError)(first)


def _json_contents(value: Any) -> ReadResourceContents:
    return ReadResourceContents(content=json.dumps(value, ensure_ascii=False), mime_type=JSON)


def _not_found(uri: str, offered: Collection[str]) -> ResourceNotFoundError:
    known = [resource.uri for resource in list_resources(offered)]
    close = difflib.get_close_matches(uri, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else " resources/list names all."
    return ResourceNotFoundError(f"[invalid_argument] There is no resource {uri[:120]!r}.{hint}")


def _name(uri: str) -> str:
    return uri.removeprefix("ollama://").replace("/", "_")
