"""The part of the MCP server that serves prompts, resources and completions, and reports changed resources.

It is imported at every start, so what answers the requests (`guidance.py`) is imported with the first of them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated

from ollama_mcp.server.caller import caller_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp.server.mcpserver import Context
    from mcp.server.subscriptions import ServerEvent
    from mcp.types import (
        Completion,
        CompletionArgument,
        CompletionContext,
        GetPromptResult,
        Prompt,
        PromptReference,
        Resource,
        ResourceTemplate,
        ResourceTemplateReference,
    )
    from pydantic import AnyUrl

    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.server.guidance.guidance import Guidance

_MODELS = ("ollama://models", "ollama://status")
_RUNNING = ("ollama://running", "ollama://status")
_USED = (*_RUNNING, "ollama://usage")

# By tool. A push changes nothing on the host, so it has no entry.
CHANGED_RESOURCES: dict[str, tuple[str, ...]] = {
    "ollama_pull_model": _MODELS,
    "ollama_create_model": _MODELS,
    "ollama_copy_model": _MODELS,
    "ollama_delete_model": _MODELS,
    "ollama_load_model": _RUNNING,
    "ollama_unload_model": _RUNNING,
    # These load the model that they use.
    "ollama_chat": _USED,
    "ollama_generate": _USED,
    "ollama_embed": _USED,
    "ollama_embeddings": _USED,
    "ollama_batch": _USED,
    "ollama_compare": _USED,
    "ollama_decide": _USED,
    "ollama_evaluate": _USED,
    "ollama_search": _USED,
}


class UpdateBus(InMemorySubscriptionBus):
    """The SDK's bus, and how many streams listen to it: publishing to nobody costs a turn of the event loop each time.

    Attributes:
        listeners: The streams that listen now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listeners = 0

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Register a listener; returns a function that removes it."""
        remove = super().subscribe(listener)
        self.listeners += 1
        is_listening = True

        def unsubscribe() -> None:
            nonlocal is_listening
            self.listeners -= is_listening
            is_listening = False
            remove()

        return unsubscribe


class GuidedServer(MCPServer[None]):
    """An MCP server that takes its prompts, resources and completions from `guidance`."""

    @cached_property
    def guidance(self) -> Guidance:
        """What answers the requests; created with the first of them."""
        raise NotImplementedError

    async def list_prompts(self) -> list[Prompt]:
        """The prompts whose tools are offered; the list and its order never change while the server runs."""
        return await self.guidance.list_prompts()

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[None, Any] | None = None
    ) -> GetPromptResult:
        """A prompt as one user message, filled with the present state of the host.

        Raises:
            MCPError: -32602 for an unknown prompt, a missing argument or an unknown one.
        """
        return await self.guidance.get_prompt(name, arguments or {})

    async def list_resources(self) -> list[Resource]:
        """The state of Ollama, as far as the tools that show it are offered, the guides, and the skills."""
        return await self.guidance.list_resources()

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """The template of model cards."""
        return self.guidance.list_resource_templates()

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[None, Any] | None = None
    ) -> Iterable[ReadResourceContents]:
        """The text of a resource.

        Raises:
            ResourceNotFoundError: No resource has that URI.
            ResourceError: The host did not supply it; the message says why.
        """
        settings = self.guidance.settings
        # Outside a request no client cuts anything.
        request = None if context is None else context.request_context
        limit = caller_of(request, settings, has_progress=False).result_bytes or settings.limits.answer_chars
        return [await self.guidance.read_resource(str(uri), limit)]


def register_guidance(server: GuidedServer) -> None:
    """Register the completion handler, which the SDK takes as a function and not as a method."""

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        return await server.guidance.complete(ref, argument)

    server.completion()(complete)


async def notify_changes(server: OllamaServer, tool_name: str) -> None:
    """Announce the resources that a tool has changed; call it after the tool has succeeded.

    Only clients of protocol 2026-07-28 that listen receive it. Older clients cannot subscribe to these resources.
    """
    uris = CHANGED_RESOURCES.get(tool_name, ())
    # `guidance` is a cached property: asking for it here would import all of it for clients that never use it.
    if uris and "guidance" in server.__dict__:
        server.guidance.invalidate()
    for uri in uris:
        await server.updates.publish(ResourceUpdated(uri=uri))
