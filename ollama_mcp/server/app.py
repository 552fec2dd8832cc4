"""The MCP server: MCPServer of the SDK with our own listing and calling of tools.

Tools are loaded when they are first asked for, and schemas built then: `initialize` is answered without any of it, and
a host that starts the server twice pays for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mcp.server import CacheHint, MCPServer
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolRequestParams, CallToolResult, InputRequiredResult, Tool

from ollama_mcp import __version__
from ollama_mcp.errors import NotAllowed, OllamaMCPError
from ollama_mcp.hosts import HostPool, open_pool
from ollama_mcp.hosts.model_activity import ActiveCalls
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, spend_tokens
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.server.arguments import check_defaults
from ollama_mcp.server.beside import work_beside
from ollama_mcp.server.bound_tool import BACKGROUND, BoundTool
from ollama_mcp.server.call import Call
from ollama_mcp.server.caller import Caller, caller_of, progress_sender
from ollama_mcp.server.confirmation import Consent, PendingConfirmations, consent_question
from ollama_mcp.server.elicitation import Forms, NeedsInput, is_modern
from ollama_mcp.server.extensions import extensions_of
from ollama_mcp.server.failures import failure_result, internal_error, with_suggestions
from ollama_mcp.server.guidance import GuidedServer, UpdateBus, notify_changes, register_guidance
from ollama_mcp.server.icons import server_icons
from ollama_mcp.server.instructions import build_instructions
from ollama_mcp.server.job import Job
from ollama_mcp.server.jobs import JobManager
from ollama_mcp.server.preload import Preloader
from ollama_mcp.server.registry import load_tools
from ollama_mcp.server.result_budget import fit_result
from ollama_mcp.server.row_workers import hosts_shared, workers_of
from ollama_mcp.server.sdk import hidden, lowlevel_server, remove_tracing
from ollama_mcp.server.server_access import ServerAccess
from ollama_mcp.server.tasks.extension import serve_task_subscriptions
from ollama_mcp.server.toolsets import enabled_toolsets, not_offered, select_tools
from ollama_mcp.settings import Settings
from ollama_mcp.settings.model import OLD_TOOL_NAMES, ToolSettings
from ollama_mcp.store import Store
from ollama_mcp.work.choosing import ModelHabits
from ollama_mcp.work.progress import Progress, Send

if TYPE_CHECKING:
    from mcp.server.caching import CacheableMethod

    from ollama_mcp.access import Access
    from ollama_mcp.server.caller import RequestContext
    from ollama_mcp.server.guidance.guidance import Guidance
    from ollama_mcp.server.job_storage import JobStorage
    from ollama_mcp.server.observation import Observer
    from ollama_mcp.server.registry import ToolSpec
    from ollama_mcp.server.replicas import Replicas

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
_MAX_CALLERS = 1_000
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
        self.hosts = hosts or open_pool(settings, api_key=api_key)
        self.in_use = ActiveCalls()
        self.store = Store.from_settings(settings)
        self.store.usage.listener = None if settings.transport == "stdio" else spend_tokens
        self._workers = workers_of(settings, self.store)
        self.observer: Observer | None = None
        if settings.is_observed:
            from ollama_mcp.server.observation import open_observer

            self.observer = open_observer(settings, self.store, self.hosts)
        self._work = self._run if self.observer is None else partial(self.observer.run, self._run)
        self._habits: RecentDict[str, ModelHabits] = RecentDict(_MAX_CALLERS)
        keep = settings.jobs
        self.jobs = JobManager(keep.limit, keep.keep_seconds, keep.keep_cut_seconds, keep.keep_bytes, self._job_storage)
        self._replicas: Replicas | None = None
        if settings.state.secret or self.store.url:
            from ollama_mcp.server.replicas import open_replicas

            self._replicas = open_replicas(settings, self.store)
        self._confirmations = PendingConfirmations(self._replicas and self._replicas.codes)
        is_first = self._replicas and self._replicas.is_first
        self._forms = Forms(settings.policy.answer_seconds, self._replicas and consent_question, is_first)
        self._access = ServerAccess(settings, allowed, self.observer and self.observer.fetched)
        self._preloader = Preloader()
        # Our own, so that what a job changes is told too: it has no request any more.
        self.updates = UpdateBus()
        check_defaults(settings)
        toolsets = enabled_toolsets(settings, cloud_key=self.hosts.has_cloud_key)
        # The SDK imports rich for its log handler where it is installed, which takes 20 to 45 ms.
        with hidden("rich.console"):
            super().__init__(
                NAME,
                title="Ollama",
                description="Local models through Ollama.",
                instructions=build_instructions(toolsets, settings),
                version=__version__,
                icons=server_icons(),
                cache_hints=dict.fromkeys(_FIXED, _FOR_A_WHILE),
                subscriptions=self.updates,
                log_level="WARNING",
                lifespan=_lifespan,
                extensions=extensions_of(self),
                request_state_security=self._replicas and self._replicas.security,
            )
        if not settings.tracing:
            remove_tracing(self)
        # Not by the SDK's handler: its `Context` costs a tenth of a short call, most of it to keep names private.
        lowlevel_server(self).add_request_handler("tools/call", CallToolRequestParams, self.answer_call)
        register_guidance(self)
        serve_task_subscriptions(self)
        if settings.tools.include or settings.tools.exclude or settings.tools.always_load != ToolSettings().always_load:
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

    def offered_tools(self) -> Mapping[str, BoundTool]:
        """Those of the offered tools that whoever asks may call."""
        principal = CURRENT_PRINCIPAL.get()
        if principal is None:
            return self.bound_tools
        from ollama_mcp.server.auth.scopes import may_call

        return {name: tool for name, tool in self.bound_tools.items() if may_call(principal, tool.spec)}

    @cached_property
    def _left_out(self) -> frozenset[str]:
        return frozenset(self._specs.keys() - self.bound_tools.keys())

    def _hidden(self) -> Collection[str]:
        """Names of the tools that the client is not offered; texts do not speak of them."""
        return self._left_out if CURRENT_PRINCIPAL.get() is None else self._specs.keys() - self.offered_tools().keys()

    @cached_property
    def guidance(self) -> Guidance:
        """Prompts, resources and completions; made with the first request for any of them."""
        from ollama_mcp.server.guidance.guidance import Guidance

        return Guidance(self.ollama_settings, self.hosts, self.store, self.offered_tools, self.call_tool)

    @property
    def access(self) -> Access:
        """What this server may read and fetch."""
        return self._access.access

    async def aclose(self) -> None:
        """End all work, close all connections, write down what was learnt and counted."""
        self._preloader.cancel()
        await self.jobs.aclose()
        if self.observer is not None:
            await self.observer.aclose()
        await self.hosts.aclose()
        await self.store.aclose()

    async def list_tools(self) -> list[Tool]:
        """The tools that the client is offered; fixed from the start, in a fixed order."""
        self._preloader.schedule()
        if self.store.persistent:
            self.jobs.schedule_resume()
        return [tool.wire for tool in self.offered_tools().values()]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: object = None, *, report: Send | Progress | None = None
    ) -> CallToolResult:
        """Call a tool for no client: nobody can be asked; `report` gets its progress."""
        params = CallToolRequestParams(name=name, arguments=arguments)
        return cast("CallToolResult", await self.answer_call(None, params, report))

    async def answer_call(
        self, context: RequestContext | None, params: CallToolRequestParams, report: Send | Progress | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; whatever goes wrong becomes a result that an agent can act on.

        The steps: find the tool, check the arguments, run it, and hand it over as a job where it outlasts the client's
        patience. Where the tool has a question to the user, the question is asked and the tool runs again from its
        beginning, with the answers so far. Clients since protocol 2026-07-28 get the question as a result and make the
        call again; elsewhere it is asked while the call waits.
        """
        name, arguments = params.name, params.arguments or {}
        try:
            tool = self.bound_tools.get(name := OLD_TOOL_NAMES.get(name, name))
            if tool is None:
                raise not_offered(name, self._specs, self.bound_tools)
            if (principal := CURRENT_PRINCIPAL.get()) is not None:
                from ollama_mcp.server.auth.scopes import check_scope

                check_scope(principal, tool.spec)
            progress = report if isinstance(report, Progress) else Progress(report or progress_sender(context))
            caller = caller_of(context, self.ollama_settings, has_progress=progress.send is not None)
            code = ""
            if self._replicas is not None:
                arguments, code = await self._replicas.split_code(arguments)
            granted: set[str] = set()
            if context is not None and params.request_state:
                granted = await self._forms.take_answer(context, params)
            await self._access.prepare(arguments, context)
            while True:
                call = self._call(context, tool, caller, progress, granted)
                call.consent.code = code
                checked = tool.arguments.check(arguments)
                background = bool(checked.pop(BACKGROUND, False))
                try:
                    # Without a way to a job's result, work is better waited for.
                    goes_on = tool.is_long and (caller.has_tasks or JOB_TOOL in self.bound_tools)
                    if background and not goes_on:
                        raise NotAllowed(
                            f"background needs {JOB_TOOL}, which is not offered.",
                            next_step="The user can add the toolset 'system' to tools.toolsets in the settings.",
                        )
                    job = Job(name, str(checked.get("model", "")), caller.owner, progress, call.consent)
                    run = partial(self._work, tool, call, checked, context, job)
                    if principal is not None:
                        from ollama_mcp.server.auth.scopes import within_limits

                        run = partial(within_limits, principal, tool.spec, run)
                    if not goes_on:
                        result = await run()
                    else:
                        job.arguments, job.resumes = arguments, tool.spec.hints.resumes
                        job.goes_on = job.resumes or tool.spec.hints.restarts
                        if caller.has_tasks:
                            from ollama_mcp.server.tasks.work import run_for_task

                            caller = tool.with_grace(caller)
                            run = partial(run_for_task, job, run, partial(self._failure, tool=name), self._forms)
                        result = await self.jobs.run(
                            job, run(), caller, background=background, asks_midway=tool.asks_midway
                        )
                    if result is None and caller.has_tasks:
                        from ollama_mcp.server.tasks.shapes import created_task

                        # The SDK passes on what it gets here; its types have no results of extensions.
                        answer = cast("CallToolResult", created_task(job, self.ollama_settings.jobs))
                    else:
                        answer = self.result_of(job, result or tool.handover(job), caller)
                    if job.id:
                        await self.jobs.written(job)
                    return answer
                except NeedsInput as pause:
                    assert context is not None
                    if is_modern(context):
                        return self._forms.input_required(pause.question, granted)
                    granted.add(await self._forms.ask(context, pause.question, progress))
        except Exception as error:
            if self.observer is not None:
                self.observer.refused(name if name in self._specs else "", error)
            return await self._failure(error, name)

    def result_of(self, job: Job, result: CallToolResult, caller: Caller) -> CallToolResult:
        """The result of a job, or of a call that may be kept as one, as far as its client takes it."""
        return fit_result(result, caller.result_bytes, partial(self._keep, job, result))

    def _keep(self, job: Job, result: CallToolResult) -> str:
        """Keep a result that has to be cut, whole, as a job that has ended; its id, or "" where that cannot be."""
        if JOB_TOOL not in self.bound_tools:
            return ""
        # A list of jobs would push out what it lists.
        return self.jobs.kept_id(result) or ("" if job.tool == JOB_TOOL else self.jobs.keep(job, result))

    def _job_storage(self) -> JobStorage[Job] | None:
        """Where jobs are kept; None where nothing outlives the process."""
        if not self.store.persistent:
            return None
        from ollama_mcp.server.durable_jobs import DurableJobs
        from ollama_mcp.server.going_on import Continuation

        again = Continuation(self.jobs, self.bound_tools, partial(self._call, None), self._work, self._failure)
        return DurableJobs(self.store.jobs, self.jobs, self.ollama_settings, lambda: self._access.roots, again.go_on)

    async def _run(
        self,
        tool: BoundTool,
        call: Call,
        arguments: dict[str, Any],
        context: RequestContext | None,
        job: Job,
    ) -> CallToolResult:
        """Run the tool and return its result, or its error as one: a job has no call that could report it.

        The client's roots are asked for, once, where a relative path may start from them, or a folder may not be read
        without them. A folder that is still refused becomes a question to a user who can be asked.

        Raises:
            NeedsInput: The user has to answer before the tool can go on.
        """
        while True:
            try:
                result = await tool.call(call, arguments, self._hidden())
                # Mostly nobody listens, and no prompt was asked for, which would show the host as it was.
                if self.updates.listeners or "guidance" in self.__dict__:
                    await notify_changes(self, tool.name)
                if call.afterwards:
                    await self.jobs.conclude(job, result)
                    await call.run_afterwards()
                return result
            except NeedsInput:
                raise
            except NotAllowed as error:
                from ollama_mcp.access import FolderNotAllowed

                if isinstance(error, FolderNotAllowed) and await self._access.learn_roots(context):
                    continue
                if question := self._access.permission_question(error, call):
                    raise NeedsInput(question) from None
                return await self._failure(error, tool.name)
            except Exception as error:
                # Of a task it is told as what it is.
                if isinstance(error, MCPError) and call.caller.has_tasks:
                    raise
                return await self._failure(error, tool.name)

    def _call(
        self, context: RequestContext | None, tool: BoundTool, caller: Caller, progress: Progress, granted: set[str]
    ) -> Call:
        """The context of a call."""
        policy = self.ollama_settings.policy
        principal = CURRENT_PRINCIPAL.get()
        return Call(
            settings=self._access.settings_of(principal),
            hosts=self.hosts,
            make_access=partial(self._access.access_of, principal),
            store=self.store,
            progress=progress,
            in_use=self.in_use,
            habits=self._habits.get(caller.owner or "") or self._new_habits(caller),
            consent=Consent(
                tool.name, caller.identity, policy, self._confirmations, partial(self._forms.can_show, context), granted
            ),
            jobs=self.jobs,
            caller=caller,
            workers=self._workers,
        )

    def _new_habits(self, caller: Caller) -> ModelHabits:
        """The habits of a caller that is new; not kept for one that cannot be told from another."""
        habits = ModelHabits()
        if caller.owner is not None:
            self._habits[caller.owner] = habits
        return habits

    async def _failure(self, error: Exception, tool: str) -> CallToolResult:
        if isinstance(error, OllamaMCPError):
            return failure_result(await with_suggestions(error, self.hosts, self.offered_tools(), self._hidden()))
        return failure_result(internal_error(error, tool))


@asynccontextmanager
async def _lifespan(server: MCPServer[None]) -> AsyncGenerator[None]:
    assert isinstance(server, OllamaServer)
    if server.observer is not None:
        server.observer.start()
    server.store.warn_early()
    try:
        async with hosts_shared(server.ollama_settings, server.store, server.hosts), work_beside(server):
            yield
    finally:
        await server.aclose()
