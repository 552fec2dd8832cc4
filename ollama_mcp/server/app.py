"""The MCP server: MCPServer of the SDK with our own listing and calling of tools.

Tools are loaded when they are first asked for, and schemas built then: `initialize` is answered without any of it, and
a host that starts the server twice pays for nothing.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mcp.server import CacheHint, MCPServer
from mcp.server.mcpserver import Context
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.types import CallToolResult, InputRequiredResult, Tool

from ollama_mcp import __version__
from ollama_mcp.errors import InvalidArgument, NotAllowed, OllamaMCPError
from ollama_mcp.hosts import HostPool
from ollama_mcp.hosts.in_use import InUse
from ollama_mcp.server.bound import BACKGROUND, BoundTool
from ollama_mcp.server.call import Call
from ollama_mcp.server.caller import Caller, caller_of
from ollama_mcp.server.confirmation import Confirmations, Consent
from ollama_mcp.server.defaults import check_defaults
from ollama_mcp.server.failures import failure_result, unexpected, with_help
from ollama_mcp.server.forms import Forms, NeedsInput, can_ask, is_modern
from ollama_mcp.server.guidance import GuidedServer, register_guidance
from ollama_mcp.server.guidance.updates import changed
from ollama_mcp.server.icons import icons
from ollama_mcp.server.instructions import instructions
from ollama_mcp.server.jobs import Job, Jobs
from ollama_mcp.server.loader import load_tools
from ollama_mcp.server.progress import Progress, Send
from ollama_mcp.server.selection import enabled_toolsets, select_tools
from ollama_mcp.settings import Settings
from ollama_mcp.settings.model import Tools
from ollama_mcp.store import Store
from ollama_mcp.work.choosing import ModelHabits

if TYPE_CHECKING:
    from mcp.server.caching import CacheableMethod

    from ollama_mcp.access import Access
    from ollama_mcp.server.folders import GrantedFolders
    from ollama_mcp.server.guidance.guidance import Guidance
    from ollama_mcp.server.registry import ToolSpec

NAME = "ollama"
JOB_TOOL = "ollama_job"

# What never changes while a server runs; private, since the settings shape it.
_FIXED: tuple[CacheableMethod, ...] = (
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "server/discover",
)
_MOST_CALLERS = 1_000
_FOR_A_WHILE = CacheHint(ttl_ms=300_000)


class OllamaServer(GuidedServer):
    """An MCP server for the Ollama hosts of the settings.

    Args:
        settings: The settings of this start.
        api_key: The user's key for https://ollama.com, or "".
        hosts: The host pool; made from the settings by default.
        allowed: File with the folders allowed at the command line; the user's own by default.

    Raises:
        SettingsError: A toolset or tool that does not exist, or a default that no call could use.
    """

    def __init__(
        self, settings: Settings, *, api_key: str = "", hosts: HostPool | None = None, allowed: Path | None = None
    ) -> None:
        self.ollama_settings = settings
        self.hosts = hosts or HostPool(settings, api_key=api_key)
        self.in_use = InUse()
        self.store = Store.of(settings)
        self._habits: dict[str, ModelHabits] = {}
        keep = settings.jobs
        self.jobs = Jobs(keep.limit, keep.keep_seconds, keep.keep_cut_seconds, keep.keep_bytes)
        self._confirmations = Confirmations()
        self._forms = Forms(settings.policy.answer_seconds)
        self._allowed = allowed
        self._asked_roots = False
        # Our own, so that what a job changes is told too: it has no request any more.
        self.updates = InMemorySubscriptionBus()
        check_defaults(settings)
        toolsets = enabled_toolsets(settings, cloud_key=self.hosts.has_cloud_key)
        with _without_rich():
            super().__init__(
                NAME,
                title="Ollama",
                description="Local models through Ollama.",
                instructions=instructions(toolsets, settings),
                version=__version__,
                icons=icons(),
                cache_hints=dict.fromkeys(_FIXED, _FOR_A_WHILE),
                subscriptions=self.updates,
                log_level="WARNING",
                lifespan=_lifespan,
            )
        register_guidance(self)
        if settings.tools.include or settings.tools.exclude or settings.tools.always_load != Tools().always_load:
            # A misspelt tool must stop the start, and only the loaded tools can tell.
            assert self.bound_tools is not None

    @cached_property
    def _specs(self) -> dict[str, ToolSpec]:
        return load_tools(self.ollama_settings.tools.folders)

    @cached_property
    def bound_tools(self) -> dict[str, BoundTool]:
        """The offered tools by name, in the order of the list."""
        chosen = select_tools(self._specs, self.ollama_settings, cloud_key=self.hosts.has_cloud_key)
        return {name: BoundTool(spec, self.ollama_settings) for name, spec in chosen.items()}

    @cached_property
    def guidance(self) -> Guidance:
        """Prompts, resources and completions; made with the first request for any of them."""
        from ollama_mcp.server.guidance.guidance import Guidance

        return Guidance(self.ollama_settings, self.hosts, self.store, lambda: self.bound_tools, self.call_tool)

    @cached_property
    def _folders(self) -> GrantedFolders:
        from ollama_mcp.access import default_file
        from ollama_mcp.server.folders import GrantedFolders

        return GrantedFolders(self._allowed or default_file())

    @cached_property
    def access(self) -> Access:
        """What this server may read and fetch; made with the first file or address."""
        from ollama_mcp.access import Access, AccessRules, Surroundings, WriteRules

        facts = replace(Surroundings.of_this_process(), over_http=self.ollama_settings.transport != "stdio")
        rules = AccessRules(self.ollama_settings.read, facts, self._folders)
        return Access(rules, self.ollama_settings.urls, writing=WriteRules.of(self.ollama_settings))

    async def aclose(self) -> None:
        """End all work, close all connections, write down what was learnt and counted."""
        await self.jobs.aclose()
        await self.hosts.aclose()
        await self.store.aclose()

    async def list_tools(self) -> list[Tool]:
        """The offered tools; fixed from the start, in a fixed order."""
        return [tool.wire for tool in self.bound_tools.values()]

    @overload
    async def call_tool(self, name: str, arguments: dict[str, Any]) -> CallToolResult: ...

    @overload
    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[None, Any] | None
    ) -> CallToolResult | InputRequiredResult: ...

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[None, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; whatever goes wrong becomes a result that an agent can act on.

        A question to the user is a result too where the protocol has it so; elsewhere it is asked meanwhile.
        """
        try:
            return await self._ask_and_call(self._bound(name), arguments, context)
        except Exception as error:
            return await self._failure(error, name)

    async def _ask_and_call(
        self, tool: BoundTool, arguments: dict[str, Any], context: Context[None, Any] | None
    ) -> CallToolResult | InputRequiredResult:
        """Run the tool, as often as it takes until every question that it has is answered."""
        settings = self.ollama_settings
        progress = Progress(_sender(context))
        caller = caller_of(context, settings, has_progress=progress.wanted)
        granted = self._forms.take(context)
        while True:
            consent = Consent(tool.spec.name, settings.policy, self._confirmations, can_ask(context), granted)
            call = Call(
                settings=settings,
                hosts=self.hosts,
                make_access=lambda: self.access,
                progress=progress,
                consent=consent,
                in_use=self.in_use,
                jobs=self.jobs,
                caller=caller,
                store=self.store,
                habits=self._habits_of(caller),
            )
            try:
                return await self._carry_out(tool, call, tool.arguments.check(arguments), context)
            except NeedsInput as pause:
                assert context is not None
                if is_modern(context):
                    return self._forms.result(pause.question, granted)
                granted.add(await self._forms.ask(context, pause.question, progress))

    def _habits_of(self, caller: Caller) -> ModelHabits:
        """What the caller used before; nothing for one that cannot be told from another."""
        if caller.owner is None:
            return ModelHabits()
        while len(self._habits) >= _MOST_CALLERS and caller.owner not in self._habits:
            del self._habits[next(iter(self._habits))]
        return self._habits.setdefault(caller.owner, ModelHabits())

    async def _carry_out(
        self, tool: BoundTool, call: Call, arguments: dict[str, Any], context: Context[None, Any] | None
    ) -> CallToolResult:
        """Run the tool to its end, or as long as the client waits where the work can go on without it."""
        if not tool.is_long:
            return await self._run(tool, call, arguments, context)
        background = bool(arguments.pop(BACKGROUND, False))
        if JOB_TOOL not in self.bound_tools:
            if background:
                raise NotAllowed(
                    f"background needs {JOB_TOOL}, which is not offered.",
                    next_step="The user can add the toolset 'system' to tools.toolsets in the settings.",
                )
            return await self._run(tool, call, arguments, context)
        job = Job(tool.spec.name, str(arguments.get("model", "")), call.caller.owner, call.progress, call.consent)
        job.resumes = tool.spec.hints.resumes
        work = self._result(tool, call, arguments, context)
        result = await self.jobs.carry(job, work, call.caller, background=background, asks_midway=tool.asks_midway)
        return result if result is not None else tool.handover(job)

    async def _result(
        self, tool: BoundTool, call: Call, arguments: dict[str, Any], context: Context[None, Any] | None
    ) -> CallToolResult:
        """The result of a tool that may have no call any more which could report its failure."""
        try:
            return await self._run(tool, call, arguments, context)
        except NeedsInput:
            raise
        except Exception as error:
            return await self._failure(error, tool.spec.name)

    async def _run(
        self, tool: BoundTool, call: Call, arguments: dict[str, Any], context: Context[None, Any] | None
    ) -> CallToolResult:
        """Run the tool; a folder that it may not read becomes a question to a user who can be asked."""
        try:
            result = await tool.call(call, arguments)
            await changed(self, tool.spec.name)
            return result
        except NotAllowed as error:
            if self.ollama_settings.transport != "stdio":
                raise
            if await self._learn_roots(error, context):
                return await self._run(tool, call, arguments, context)
            if call.consent.has_forms and not call.consent.detached:
                question = self._folders.question(error)
                if question is not None:
                    raise NeedsInput(question) from None
            raise

    async def _learn_roots(self, error: NotAllowed, context: Context[None, Any] | None) -> bool:
        """Ask the client for its roots, once and only when a folder was refused; whether there are any."""
        from ollama_mcp.access import FolderNotAllowed

        if self._asked_roots or not self.ollama_settings.read.client_roots or not isinstance(error, FolderNotAllowed):
            return False
        from ollama_mcp.server.roots import roots_of

        self._asked_roots = True
        roots = await roots_of(context)
        rules = self.access.rules
        self.access = replace(self.access, rules=replace(rules, facts=replace(rules.facts, roots=roots)))
        return bool(roots)

    async def _failure(self, error: Exception, tool: str) -> CallToolResult:
        if isinstance(error, OllamaMCPError):
            return failure_result(await with_help(error, self.hosts, self.bound_tools))
        return failure_result(unexpected(error, tool))

    def _bound(self, name: str) -> BoundTool:
        tool = self.bound_tools.get(name)
        if tool is None and name in self._specs:
            raise NotAllowed(
                f"{name} is not offered by this server's settings.",
                next_step="The user can change read_only, tools.toolsets, tools.include or tools.exclude.",
            )
        if tool is None:
            close = difflib.get_close_matches(name, list(self.bound_tools), n=1)
            hint = f"Did you mean {close[0]}?" if close else "tools/list names the offered tools."
            raise InvalidArgument(f"Unknown tool: {name[:80]!r}.", next_step=hint)
        return tool


@asynccontextmanager
async def _lifespan(server: MCPServer[None]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        if isinstance(server, OllamaServer):
            await server.aclose()


def _sender(context: Context[None, Any] | None) -> Send | None:
    """How to report progress, or None where the client gave no token."""
    meta = context.request_context.meta if context is not None else None
    if context is None or not meta or not ("progress_token" in meta or "progressToken" in meta):
        return None
    return context.report_progress


@contextmanager
def _without_rich() -> Generator[None]:
    """Keep the SDK's constructor from importing rich for its log handler (20 to 45 ms) where rich is installed."""
    absent = object()
    before = sys.modules.get("rich.console", absent)
    sys.modules["rich.console"] = None  # pyright: ignore[reportArgumentType]  # None is how import is told "absent"
    try:
        yield
    finally:
        if before is absent:
            del sys.modules["rich.console"]
        else:
            sys.modules["rich.console"] = before  # pyright: ignore[reportArgumentType]
