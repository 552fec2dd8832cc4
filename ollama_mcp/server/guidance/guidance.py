"""What answers requests for prompts, resources and completions of one server, under its settings."""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    Completion,
    CompletionArgument,
    GetPromptResult,
    PromptArgument,
    PromptMessage,
    PromptReference,
    Resource,
    ResourceTemplate,
    ResourceTemplateReference,
    TextContent,
)
from mcp.types import Prompt as WirePrompt

from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.server.guidance import resources
from ollama_mcp.server.guidance.host_state import HostState, HostStateCache
from ollama_mcp.server.guidance.prompt_rendering import render_prompt
from ollama_mcp.server.guidance.prompts import Prompt, load_prompts
from ollama_mcp.server.guidance.skills import skills

if TYPE_CHECKING:
    from mcp.server.lowlevel.helper_types import ReadResourceContents

    from ollama_mcp.hosts import HostPool
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Store


log = logging.getLogger(__name__)

# The protocol allows no more values in one completion.
MAX_VALUES = 100
_MAX_STATES = 100
_SIMILARITY_CUTOFF = 0.6
_SEPARATORS = re.compile(r"[/:._-]+")


class Guidance:
    """Answers requests for prompts, resources and completions.

    Args:
        settings: The settings of this start.
        hosts: The Ollama hosts, for what is installed and loaded.
        store: What earlier processes learnt about models, and the usage.
        offered: Returns the names of the tools that whoever asks is offered; no other is ever named to an agent.
        call: Calls a tool, for resources that show its result.
    """

    def __init__(
        self,
        settings: Settings,
        hosts: HostPool,
        store: Store,
        offered: Callable[[], Collection[str]],
        call: resources.CallTool,
    ) -> None:
        self.settings = settings
        self._store = store
        self._hosts = hosts
        # By who sees what others do not; "" for all others.
        self._host_states: RecentDict[str, HostStateCache] = RecentDict(_MAX_STATES)
        self._offered = offered
        self._call = call
        self._prompts: dict[str, Prompt] | None = None
        self._loading = asyncio.Lock()

    async def prompts(self) -> dict[str, Prompt]:
        """The prompts whose tools are offered, by name; read from disk once."""
        # Requests that arrive while the files are read wait for them instead of reading them again.
        async with self._loading:
            if self._prompts is None:
                self._prompts, problems = await asyncio.to_thread(load_prompts, self.settings.prompts.folders)
                for problem in problems:
                    log.warning("%s", problem)
        offered = self._offered()
        return {name: prompt for name, prompt in self._prompts.items() if prompt.is_available(offered)}

    async def host_state(self) -> HostState:
        """What there is on the hosts for whoever asks."""
        principal = CURRENT_PRINCIPAL.get()
        name = principal.name if principal is not None and principal.sees_less else ""
        if name not in self._host_states:
            self._host_states[name] = HostStateCache(self._hosts, self._store, self.settings.work.largest_gb)
        return await self._host_states[name].get()

    def invalidate(self) -> None:
        """Ask the hosts anew next time, after a tool has changed something."""
        for cache in self._host_states.values():
            cache.invalidate()

    async def list_prompts(self) -> list[WirePrompt]:
        """The result of prompts/list."""
        return [_wire_prompt(prompt) for prompt in (await self.prompts()).values()]

    async def get_prompt(self, name: str, given: Mapping[str, str]) -> GetPromptResult:
        """A prompt with its arguments, as one user message.

        Raises:
            MCPError: -32602 for an unknown prompt, a missing argument or an unknown one.
        """
        prompts = await self.prompts()
        prompt = prompts.get(name)
        if prompt is None:
            raise _invalid_params(f"There is no prompt {name[:80]!r}.", name, prompts)
        arguments = _checked_arguments(prompt, given)
        state = await self.host_state() if prompt.needs_host_state else None
        text = render_prompt(prompt, arguments, state, self._offered(), self.settings)
        message = PromptMessage(role="user", content=TextContent(type="text", text=text))
        return GetPromptResult(description=prompt.description, messages=[message])

    async def list_resources(self) -> list[Resource]:
        """The result of resources/list."""
        return resources.list_resources(self._offered(), await skills())

    def list_resource_templates(self) -> list[ResourceTemplate]:
        """The template of model cards."""
        return resources.list_templates(self._offered())

    async def read_resource(self, uri: str, limit: int) -> ReadResourceContents:
        """A resource's text; that of a tool's result within `limit` bytes of JSON.

        Raises:
            ResourceNotFoundError: No resource has that URI.
            ResourceError: The host did not supply it; the message says why.
        """
        return await resources.read_resource(uri, self._offered(), self.settings, self._store, self._call, limit)

    async def complete(
        self, ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument
    ) -> Completion:
        """Values for an argument of a prompt or a resource template; empty where none are known."""
        if isinstance(ref, ResourceTemplateReference):
            if ref.uri == resources.MODEL_CARD_TEMPLATE and self.list_resource_templates():
                return complete_values((await self.host_state()).model_names(), argument.value)
            return complete_values([], argument.value)
        prompt = (await self.prompts()).get(ref.name)
        wanted = prompt.argument(argument.name) if prompt is not None else None
        if prompt is None or wanted is None:
            return complete_values([], argument.value)
        if wanted.complete == "models":
            return complete_values((await self.host_state()).model_names(prompt.capability), argument.value)
        return complete_values(wanted.complete, argument.value)


def _wire_prompt(prompt: Prompt) -> WirePrompt:
    arguments = [
        PromptArgument(name=one.name, description=one.description, required=one.required) for one in prompt.arguments
    ]
    return WirePrompt(name=prompt.name, title=prompt.title, description=prompt.description, arguments=arguments)


def _checked_arguments(prompt: Prompt, given: Mapping[str, str]) -> dict[str, str]:
    """The given arguments without blank ones: clients send an optional field that the user left empty as ""."""
    known = [argument.name for argument in prompt.arguments]
    for name in given:
        if name not in known:
            takes = f"it takes {' and '.join(known)}" if known else "it takes none"
            raise _invalid_params(f"Prompt {prompt.name!r} has no argument {name[:80]!r}; {takes}.", name, known)
    arguments = {name: str(value) for name, value in given.items() if str(value).strip()}
    for argument in prompt.arguments:
        if argument.required and argument.name not in arguments:
            raise _invalid_params(f"Prompt {prompt.name!r} needs {argument.name}: {argument.description}", "", [])
    return arguments


def _invalid_params(message: str, name: str, known: Collection[str]) -> MCPError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    data: dict[str, Any] = {"kind": "invalid_argument"}
    return MCPError(code=INVALID_PARAMS, message=message + hint, data=data)


def complete_values(values: Sequence[str], typed: str) -> Completion:
    """The values that match the typed text, best first, at most 100."""
    matching = rank_values(values, typed)
    return Completion(values=matching[:MAX_VALUES], total=len(matching), has_more=len(matching) > MAX_VALUES)


def rank_values(values: Sequence[str], typed: str) -> list[str]:
    """The values that start with the text, then those with a part that does, that contain it, that resemble it."""
    wanted = typed.strip().casefold()
    tiers: list[list[str]] = [[], [], [], []]
    for value in values:
        tier = _tier(value.casefold(), wanted)
        if tier is not None:
            tiers[tier].append(value)
    return [value for tier in tiers for value in tier]


def _tier(value: str, wanted: str) -> int | None:
    """0 is best; None if the value does not match."""
    if value.startswith(wanted):
        return 0
    if any(part.startswith(wanted) for part in _SEPARATORS.split(value)):
        return 1
    if wanted in value:
        return 2
    # Only the start of the value: the user is still typing, so the rest is missing and not wrong.
    start = value[: len(wanted) + 1]
    return 3 if difflib.SequenceMatcher(None, start, wanted).ratio() >= _SIMILARITY_CUTOFF else None
