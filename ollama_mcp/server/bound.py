"""A tool under the settings of this start: its wire definition and its call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

from mcp.types import CallToolResult, Tool, ToolAnnotations

from ollama_mcp.server.arguments import Arguments
from ollama_mcp.server.call import Call
from ollama_mcp.server.registry import ToolSpec
from ollama_mcp.server.results import Answer, Data, answer_result, data_result
from ollama_mcp.server.schema import portable
from ollama_mcp.settings import Settings


@dataclass
class BoundTool:
    """A registered tool and the settings that shape it."""

    spec: ToolSpec
    settings: Settings

    @cached_property
    def arguments(self) -> Arguments:
        """The tool's arguments; built at first use, since a start needs none of them."""
        return Arguments(self.spec.function, self.settings)

    @cached_property
    def wire(self) -> Tool:
        """What tools/list shows."""
        hints = self.spec.hints
        return Tool(
            name=self.spec.name,
            title=self.spec.title,
            description=self.spec.description,
            input_schema=self.arguments.schema,
            output_schema=self._output_schema(),
            annotations=ToolAnnotations(
                read_only_hint=hints.read_only,
                destructive_hint=hints.destructive,
                idempotent_hint=hints.idempotent,
                open_world_hint=hints.open_world or (hints.opens_with_urls and self.settings.urls.enabled),
            ),
            # A host that shows tools only after a search for them (Claude Code) shows this one without.
            _meta={"anthropic/alwaysLoad": True} if self.spec.name in self.settings.tools.always_load else None,
        )

    async def call(self, call: Call, given: dict[str, Any]) -> CallToolResult:
        """Check the arguments, run the tool, give the wire result."""
        arguments = self.arguments.check(given)
        if self.arguments.call_parameter is not None:
            arguments[self.arguments.call_parameter] = call
        result = await self.spec.function(**arguments)
        limit = self.settings.limits.answer_chars
        match result:
            case Answer():
                return answer_result(result, limit)
            case Data():
                return data_result(result, limit)
            case CallToolResult():
                return result
            case _:
                return answer_result(Answer(text=str(result), model=""), limit)

    def _output_schema(self) -> dict[str, Any] | None:
        hint = get_type_hints(self.spec.function).get("return")
        if not (isinstance(hint, type) and issubclass(hint, Data)):
            return None
        return portable(hint.model_json_schema(mode="serialization"))
