"""A tool under the settings of this start: its wire definition, and how its work is handed over as a job."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property, lru_cache
from inspect import signature
from typing import TYPE_CHECKING, Any, get_type_hints

from mcp.types import CallToolResult, TextContent, Tool, ToolAnnotations

from ollama_mcp.errors import Timeout
from ollama_mcp.hosts.call_scope import CURRENT_CALL, CallScope
from ollama_mcp.server.arguments import HOST, Arguments
from ollama_mcp.server.call import Call
from ollama_mcp.server.failures import clean_notes
from ollama_mcp.server.registry import USER_TOOLS, ToolFunction, ToolSpec
from ollama_mcp.server.results import META, Data, tool_result
from ollama_mcp.server.tool_schemas import Schema, portable
from ollama_mcp.settings import Settings
from ollama_mcp.work.chat.result import Answer

if TYPE_CHECKING:
    from ollama_mcp.server.caller import Caller
    from ollama_mcp.server.job import Job

BACKGROUND = "background"
PROFILE = "profile:"
# As many as `server.arguments` keeps.
_KEPT_SCHEMAS = 512
# How much of what the model wrote last a hand-over shows.
_TAIL_CHARS = 400
# Of the tools on models, those that take a profile in place of one.
_USE_MODELS = frozenset(("ollama_show_model", "ollama_load_model", "ollama_unload_model"))
# They show all hosts, or none.
_OF_NO_HOST = frozenset(("ollama_status", "ollama_job"))


class BoundTool:
    """A registered tool under the settings that shape it.

    Args:
        spec: The tool as its file registers it.
        settings: The settings of this start.

    Attributes:
        name: The tool's name on the wire.
    """

    def __init__(self, spec: ToolSpec, settings: Settings) -> None:
        self.spec = spec
        self.settings = settings
        self.name = spec.name
        self._is_the_users = spec.function.__module__.startswith(USER_TOOLS)

    @cached_property
    def arguments(self) -> Arguments:
        """The tool's arguments; built at first use, since a start needs none of them."""
        spec = self.spec
        if spec.name in _OF_NO_HOST or spec.toolset == "web":
            return Arguments(spec.function, self.settings.model_copy(update={"hosts": {}}))
        on_one_host = spec.hints.on_one_host or spec.toolset == "blobs"
        return Arguments(spec.function, self.settings, on_one_host=on_one_host)

    @cached_property
    def wire(self) -> Tool:
        """What tools/list shows."""
        hints = self.spec.hints
        writes_nothing = hints.only_writes_output and self.settings.read_only
        return Tool(
            name=self.name,
            title=self.spec.title,
            description=self.spec.description,
            input_schema=self._shown_schema,
            output_schema=self._output_schema,
            annotations=ToolAnnotations(
                read_only_hint=hints.read_only or writes_nothing,
                destructive_hint=hints.destructive and not writes_nothing,
                idempotent_hint=hints.idempotent,
                open_world_hint=hints.open_world or (hints.opens_with_urls and self.settings.effective_urls.enabled),
            ),
            # A host that shows tools only after a search for them (Claude Code) shows this one without.
            _meta={"anthropic/alwaysLoad": True} if self.name in self.settings.tools.always_load else None,
        )

    @property
    def _shown_schema(self) -> Schema:
        schema = self.arguments.schema
        if not self.settings.state.secret or self.settings.transport == "stdio":
            return schema
        from ollama_mcp.server.replicas import with_code

        return with_code(schema)

    @cached_property
    def is_long(self) -> bool:
        """Whether its work may go on as a job: those tools take `background`."""
        return BACKGROUND in self.arguments.schema["properties"]

    def with_grace(self, caller: Caller) -> Caller:
        """A client that takes tasks, waiting only as long as a call of this tool may take to be none.

        What answers in words becomes one only when the client would wait no longer: a task shows no words on their way.
        """
        grace = self.settings.jobs.grace_seconds
        if self._output_schema is None or (caller.patience is not None and caller.patience < grace):
            return caller
        return replace(caller, patience=grace)

    @cached_property
    def asks_midway(self) -> bool:
        """Whether it may ask the user after it has begun: a download learns its size only then."""
        return self.spec.hints.open_world and not self.spec.hints.destructive

    async def call(self, call: Call, arguments: dict[str, Any], hidden: Collection[str] = ()) -> CallToolResult:
        """Run the tool with checked arguments and return the wire result, whose notes name none of the hidden tools."""
        scope = CallScope(call.progress)
        CURRENT_CALL.set(scope)
        if self.arguments.hosts and HOST in arguments:
            call = replace(call, hosts=call.hosts.named(arguments[HOST]))
            arguments = {name: value for name, value in arguments.items() if name != HOST}
        notes: list[str] = []
        if str(arguments.get("model", "")).startswith(PROFILE) and self._takes_profiles:
            from ollama_mcp.work.profiles import with_profile

            arguments, notes = await with_profile(call, arguments, self._parameters)
        if self.arguments.call_parameter is not None:
            arguments = {**arguments, self.arguments.call_parameter: call}
        returned = await (self._watched if self._is_the_users else self._within_limit)(call, arguments)
        if isinstance(returned, Answer):
            returned.notes.extend([*notes, *scope.notes])
        elif notes and isinstance(returned, Data) and "notes" in type(returned).model_fields:
            returned = returned.model_copy(update={"notes": [*(getattr(returned, "notes", None) or []), *notes]})
        if hidden:
            clean_notes(returned, hidden)
        return tool_result(returned)

    @property
    def _takes_profiles(self) -> bool:
        """Whether `model` may name a profile: not where a model is made, deleted, fetched or published."""
        return self.spec.toolset in ("inference", "work") or self.name in _USE_MODELS

    @property
    def _parameters(self) -> Collection[str]:
        return signature(self.spec.function).parameters

    async def _watched(self, call: Call, arguments: dict[str, Any]) -> Any:
        """The same of a tool of the user's own, which may block the event loop."""
        from ollama_mcp.server.loop_watch import watched

        with watched(self.name, self.spec.function.__code__):
            return await self._within_limit(call, arguments)

    async def _within_limit(self, call: Call, arguments: dict[str, Any]) -> Any:
        """Run the function, within the time that the settings give a call (by a monotonic clock).

        Raises:
            Timeout: The time is up; it has what the model had written.
        """
        seconds = self.settings.timeouts.call
        # A transfer or a batch goes on where it was when it is called again.
        if not seconds or self.spec.hints.resumes or self.name in _OF_NO_HOST:
            return await self.spec.function(**arguments)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self.spec.function(**arguments)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Timeout(
                f"{self.name} was not done within {seconds:g} s, the limit of a call.",
                partial=call.progress.text(),
                next_step="Ask for less or use a smaller model; the user can raise timeouts.call in the settings.",
            ) from None

    def handover(self, job: Job) -> CallToolResult:
        """The result of a call whose work goes on as a job: how to get it, then the end of what there is so far."""
        fetch = f"ollama_job(action='result', id='{job.id}')"
        note = f"The call continues as job {job.id}. {fetch} waits for it and returns the whole result."
        if not job.partial_text:
            note += f" So far: {job.status_text}."
        if job.unkept:
            note += f" It ends with this server: it is not in the store ({job.unkept})."
        if self.spec.hints.resumes:
            note += f" If this server stops first, the same {self.name} call resumes where it stopped."
        meta = {f"{META}/job": {"id": job.id}}
        if self._output_schema is None:
            words = job.partial_text
            # The job gives all of it again; this much shows how far it is.
            texts = [note, f"…{words[-_TAIL_CHARS:]}" if len(words) > _TAIL_CHARS else words] if words else [note]
            return CallToolResult(content=[TextContent(type="text", text=text) for text in texts], _meta=meta)
        content = [TextContent(type="text", text=f"{note}\n{job.status_text}")]
        so_far = {"job": job.id, "note": note, "so_far": job.status_text}
        return CallToolResult(content=list(content), structured_content=so_far, _meta=meta)

    @cached_property
    def _output_schema(self) -> dict[str, Any] | None:
        return _output_schema(self.spec.function, self.is_long)


@lru_cache(_KEPT_SCHEMAS)
def _output_schema(function: ToolFunction, is_long: bool) -> dict[str, Any] | None:
    """The published schema of a data tool's result; None for tools that return an answer in words."""
    hint = get_type_hints(function).get("return")
    if not (isinstance(hint, type) and issubclass(hint, Data)):
        return None
    schema = portable(hint.model_json_schema(mode="serialization"))
    if is_long:
        # Work that goes on as a job has none of the result's fields yet.
        schema["properties"]["job"] = {"type": "string"}
        schema["required"] = []
    return schema
