"""A tool under the settings of this start: its wire definition and its call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_type_hints

from mcp.types import CallToolResult, TextContent, Tool, ToolAnnotations

from ollama_mcp.server.arguments import Arguments
from ollama_mcp.server.call import Call
from ollama_mcp.server.registry import ToolSpec
from ollama_mcp.server.results import META, Data, answer_result, data_result
from ollama_mcp.server.schema import portable
from ollama_mcp.settings import Settings
from ollama_mcp.work.answers import Answer

if TYPE_CHECKING:
    from ollama_mcp.server.jobs import Job

BACKGROUND = "background"


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
        writes_nothing = hints.only_writes_output and self.settings.read_only
        return Tool(
            name=self.spec.name,
            title=self.spec.title,
            description=self.spec.description,
            input_schema=self.arguments.schema,
            output_schema=self._output,
            annotations=ToolAnnotations(
                read_only_hint=hints.read_only or writes_nothing,
                destructive_hint=hints.destructive and not writes_nothing,
                idempotent_hint=hints.idempotent,
                open_world_hint=hints.open_world or (hints.opens_with_urls and self.settings.urls.enabled),
            ),
            # A host that shows tools only after a search for them (Claude Code) shows this one without.
            _meta={"anthropic/alwaysLoad": True} if self.spec.name in self.settings.tools.always_load else None,
        )

    @cached_property
    def is_long(self) -> bool:
        """Whether its work may go on as a job: those tools take `background`."""
        return BACKGROUND in self.arguments.schema["properties"]

    @property
    def asks_midway(self) -> bool:
        """Whether it may ask the user after it has begun: a download learns its size only then."""
        return self.spec.hints.open_world and not self.spec.hints.destructive

    def handover(self, job: Job) -> CallToolResult:
        """The result of a call whose work goes on as a job: what there is so far, and how to get the rest."""
        note = (
            f"It goes on as job {job.id}. ollama_job(action='result', id='{job.id}') waits for it and gives all of it."
        )
        if self.spec.hints.resumes:
            note += f" Should this server end first, the same {self.spec.name} call goes on where it was."
        meta = {f"{META}/job": {"id": job.id}}
        if self._output is None:
            words = job.text[: self.settings.limits.answer_chars]
            texts = [words, note] if words else [note]
            return CallToolResult(content=[TextContent(type="text", text=text) for text in texts], _meta=meta)
        content = [TextContent(type="text", text=f"{job.said}\n{note}")]
        so_far = {"job": job.id, "so_far": job.said, "note": note}
        return CallToolResult(content=list(content), structured_content=so_far, _meta=meta)

    async def call(self, call: Call, arguments: dict[str, Any]) -> CallToolResult:
        """Run the tool with checked arguments, give the wire result."""
        if self.arguments.call_parameter is not None:
            arguments = {**arguments, self.arguments.call_parameter: call}
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

    @cached_property
    def _output(self) -> dict[str, Any] | None:
        hint = get_type_hints(self.spec.function).get("return")
        if not (isinstance(hint, type) and issubclass(hint, Data)):
            return None
        schema = portable(hint.model_json_schema(mode="serialization"))
        if self.is_long:
            # Work that goes on as a job has none of the result's fields yet.
            schema["properties"]["job"] = {"type": "string"}
            schema["required"] = []
        return schema
