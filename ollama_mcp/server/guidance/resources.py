"""Resources: the state of Ollama as JSON, where the tool that shows it is offered, and the guides as Markdown."""

from __future__ import annotations

import difflib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, Resource, ResourceTemplate, TextContent

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.host_url import normalize_host_url
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL
from ollama_mcp.server.guidance import guides
from ollama_mcp.server.guidance.skills import Skill, skills
from ollama_mcp.server.result_budget import fit_json_text
from ollama_mcp.server.results import META
from ollama_mcp.server.usage_report import usage_by_model

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Store

CallTool = Callable[[str, dict[str, Any]], Awaitable[CallToolResult]]

JSON = "application/json"
MARKDOWN = "text/markdown"
MODEL_CARD = "ollama://models/"
MODEL_CARD_TEMPLATE = MODEL_CARD + "{+name}"
HOSTS = "ollama://hosts"
USAGE = "ollama://usage"
STATUS = "ollama_status"


@dataclass(frozen=True, slots=True)
class ToolResource:
    """A resource with the result of a tool that needs no arguments."""

    uri: str
    title: str
    description: str
    tool: str


TOOL_RESOURCES = (
    ToolResource("ollama://status", "Status", "Whether Ollama answers, its version, names of loaded models.", STATUS),
    ToolResource("ollama://models", "Installed models", "Size, context, capabilities of each.", "ollama_list_models"),
    ToolResource("ollama://running", "Loaded models", "Memory, share on the GPU, time left.", "ollama_list_running"),
    ToolResource(USAGE, "Usage", "Calls and tokens so far, in sums and by model; ollama.com separately.", STATUS),
)


def list_resources(offered: Collection[str], skills: Mapping[str, Skill]) -> list[Resource]:
    """All resources, in an order that never changes."""
    found = [
        Resource(
            uri=resource.uri,
            name=_name(resource.uri),
            title=resource.title,
            description=resource.description,
            mime_type=JSON,
        )
        for resource in TOOL_RESOURCES
        if resource.tool in offered
    ]
    hosts_description = "Addresses of the Ollama hosts that this server uses."
    found.append(Resource(uri=HOSTS, name="hosts", title="Hosts", description=hosts_description, mime_type=JSON))
    found += [
        Resource(uri=uri, name=_name(uri), title=guide.title, description=guide.description, mime_type=MARKDOWN)
        for uri, guide in guides.GUIDES.items()
    ]
    return found + [
        Resource(uri=skill.uri, name=skill.name, title="Skill", description=skill.description, mime_type=MARKDOWN)
        for skill in skills.values()
    ]


def list_templates(offered: Collection[str]) -> list[ResourceTemplate]:
    """The template of model cards."""
    if "ollama_show_model" not in offered:
        return []
    description = "What one model can do: capabilities, context, thinking levels, default options."
    card = ResourceTemplate(
        uri_template=MODEL_CARD_TEMPLATE, name="model", title="Model card", description=description, mime_type=JSON
    )
    return [card]


async def read_resource(
    uri: str, offered: Collection[str], settings: Settings, store: Store, call: CallTool, limit: int
) -> ReadResourceContents:
    """The text of a resource.

    Args:
        uri: Its URI.
        offered: Names of the offered tools. A resource that shows a tool's result exists only where that is offered.
        settings: The settings of this start.
        store: Where usage is counted.
        call: Calls a tool.
        limit: Most bytes of JSON that the text of a tool's result may take.

    Raises:
        ResourceNotFoundError: No resource has that URI, or no such model is installed.
        ResourceError: The host did not supply it; the message says why.
    """
    if uri in guides.GUIDES:
        return ReadResourceContents(content=guides.GUIDES[uri].render(settings), mime_type=MARKDOWN)
    if uri == HOSTS:
        principal = CURRENT_PRINCIPAL.get()
        named = [
            {"name": name, "url": normalize_host_url(host.url), "key": bool(host.key_env)}
            for name, host in settings.hosts.items()
            if principal is None or principal.may_reach(name)
        ]
        local = {"name": "local", "url": normalize_host_url(settings.host), "key": bool(settings.api_key)}
        return _json_contents({"hosts": named if settings.hosts else [local]})
    resource = next((resource for resource in TOOL_RESOURCES if resource.uri == uri), None)
    if resource is not None and resource.tool in offered:
        if uri == USAGE:
            return _json_contents((await usage_by_model(store)).model_dump(exclude_none=True))
        return _result_contents(await call(resource.tool, {}), limit, resource.tool)
    if uri.startswith(MODEL_CARD) and list_templates(offered):
        card = await call("ollama_show_model", {"model": _model_name(uri)})
        return _result_contents(card, limit, "ollama_show_model")
    found = await skills()
    for skill in found.values():
        if uri in skill.files:
            return ReadResourceContents(content=skill.files[uri], mime_type=MARKDOWN)
    raise _not_found(uri, [one.uri for one in list_resources(offered, found)])


def _model_name(uri: str) -> str:
    """The model name in a URI, checked by Ollama's rules, so that no path or control character gets through."""
    name = unquote(uri.removeprefix(MODEL_CARD))
    try:
        return str(parse_name(name))
    except InvalidArgument as error:
        raise ResourceNotFoundError(f"[{error.kind}] {error}") from None


def _result_contents(result: CallToolResult, limit: int, tool: str) -> ReadResourceContents:
    if not result.is_error:
        whole: dict[str, Any] = result.structured_content or {}
        note = f"This is incomplete: {tool} gives more."
        text = fit_json_text(whole, limit, note)
        return ReadResourceContents(content=text, mime_type=JSON)
    first = next(block.text for block in result.content if isinstance(block, TextContent))
    kind = (result.meta or {}).get(f"{META}/error", {}).get("kind")
    # The SDK answers the first with -32602 and the second with -32603.
    raise (ResourceNotFoundError if kind == "model_not_found" else ResourceError)(first)


def _json_contents(value: Any) -> ReadResourceContents:
    return ReadResourceContents(content=json.dumps(value, ensure_ascii=False), mime_type=JSON)


def _not_found(uri: str, known: Collection[str]) -> ResourceNotFoundError:
    close = difflib.get_close_matches(uri, list(known), n=1)
    hint = f" Did you mean {close[0]}?" if close else " resources/list lists all."
    return ResourceNotFoundError(f"[invalid_argument] There is no resource {uri[:120]!r}.{hint}")


def _name(uri: str) -> str:
    return uri.removeprefix("ollama://").replace("/", "_")
