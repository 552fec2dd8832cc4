"""What helps an agent beside the tools: prompts, resources, completions. All is built when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp.server.mcpserver import Context
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

    from ollama_mcp.server.guidance.guidance import Guidance


class GuidedServer(MCPServer[None]):
    """An MCP server that takes its prompts, resources and completions from `guidance`."""

    @cached_property
    def guidance(self) -> Guidance:
        """Where they come from; made with the first request for any of them."""
        raise NotImplementedError

    async def list_prompts(self) -> list[Prompt]:
        """The prompts whose tools are offered; fixed from the start, in a fixed order."""
        return await self.guidance.list_prompts()

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[None, Any] | None = None
    ) -> GetPromptResult:
        """A prompt as one message of the user, with what the host says now.

        Raises:
            MCPError: -32602, an unknown prompt, a missing or an unknown argument.
        """
        return await self.guidance.get_prompt(name, arguments or {})

    async def list_resources(self) -> list[Resource]:
        """The state of Ollama, as far as its tools are offered, and the guides."""
        return self.guidance.list_resources()

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """The card of a model."""
        return self.guidance.list_resource_templates()

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[None, Any] | None = None
    ) -> Iterable[ReadResourceContents]:
        """A resource's text.

        Raises:
            ResourceNotFoundError: There is none of that address.
            ResourceError: The host did not give it; says why.
        """
        return [await self.guidance.read_resource(str(uri))]


def register_guidance(server: GuidedServer) -> None:
    """Let a server complete the arguments of its prompts and resources."""

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        return await server.guidance.complete(ref, argument)

    server.completion()(complete)
