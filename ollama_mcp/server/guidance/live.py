"""What the host says now, for prompts and completions: a view that is a few seconds old at most and never fails."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.formats.names import parse_name, same_model
from ollama_mcp.formats.text import escape
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.text import size

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary
    from ollama_mcp.hosts import HostPool

FRESH_SECONDS = 5.0
WAIT_SECONDS = 5.0
_WORD = 40


@dataclass(frozen=True, slots=True)
class Model:
    """An installed model; sizes in bytes, context in tokens."""

    name: str
    parameters: str
    size: int
    context: int | None
    capabilities: tuple[str, ...]
    is_loaded: bool
    is_cloud: bool

    def __str__(self) -> str:
        facts = [self.parameters, size(self.size), f"context {self.context:,}" if self.context else ""]
        facts.append("loaded" if self.is_loaded else "")
        return f"{self.name} ({', '.join(fact for fact in facts if fact)})"


@dataclass(frozen=True, slots=True)
class View:
    """A host at one moment.

    Args:
        url: Its address.
        version: Its version, or "".
        models: The installed models, newest first.
        loaded: The loaded models with the memory each takes.
        problem: Why it does not answer; then nothing else is known.
    """

    url: str
    version: str = ""
    models: list[Model] = field(default_factory=list[Model])
    loaded: list[str] = field(default_factory=list[str])
    problem: str = ""

    def able(self, capability: str) -> list[Model]:
        """The models with a capability that run on this host, loaded ones first, then the newest."""
        found = [model for model in self.models if capability in model.capabilities and not model.is_cloud]
        return sorted(found, key=lambda model: not model.is_loaded)

    def names(self, capability: str = "") -> list[str]:
        """Names of all models, those with the capability first."""
        able = [model.name for model in self.able(capability)] if capability else []
        return list(dict.fromkeys([*able, *(model.name for model in self.models)]))

    def find(self, name: str) -> Model | None:
        """The installed model of that name, or None."""
        return next((model for model in self.models if same_model(model.name, name)), None)


class Live:
    """Looks at the host, at most once every five seconds.

    Args:
        hosts: The Ollama hosts.
        wait: Seconds after which a host that says nothing counts as down.
    """

    def __init__(self, hosts: HostPool, wait: float = WAIT_SECONDS) -> None:
        self._hosts = hosts
        self._wait = wait
        self._view: View | None = None
        self._at = float("-inf")
        self._looking = asyncio.Lock()

    async def look(self) -> View:
        """The host as it is now; a view with `problem` where it does not answer."""
        # Hosts complete with each key that is typed: those who come meanwhile wait for the first and share its view.
        async with self._looking:
            if self._view is None or time.monotonic() - self._at > FRESH_SECONDS:
                self._view = await self._ask()
                self._at = time.monotonic()
            return self._view

    def forget(self) -> None:
        """Look anew next time, since a tool changed something."""
        self._at = float("-inf")

    async def _ask(self) -> View:
        url = self._hosts.url
        try:
            async with asyncio.timeout(self._wait):
                return await self._whole_view(url)
        except TimeoutError:
            return View(url, problem=f"[timeout] No answer within {self._wait:g} s.")
        except OllamaMCPError as error:
            return View(url, problem=failure_text(error))

    async def _whole_view(self, url: str) -> View:
        client = self._hosts.client()
        version = await client.version()
        listed, running = await asyncio.gather(client.tags(), client.ps())
        # What is no name could not be called, and would be a stranger's words in a prompt.
        installed = [one for one in listed if _is_name(one.name)]
        able = await self._hosts.capabilities(installed)
        loaded = {one.name: f"{one.name} ({size(one.size)} of memory)" for one in running if _is_name(one.name)}
        models = [_model(one, tuple(able[one.name]), one.name in loaded) for one in installed]
        return View(url, escape(version, _WORD), models, list(loaded.values()))


def _is_name(text: str) -> bool:
    try:
        parse_name(text)
    except InvalidArgument:
        return False
    return True


def _model(summary: ModelSummary, capabilities: tuple[str, ...], is_loaded: bool) -> Model:
    return Model(
        name=summary.name,
        parameters=escape(summary.details.parameter_size, _WORD),
        size=summary.size,
        context=summary.details.context_length,
        capabilities=tuple(escape(one, _WORD) for one in capabilities),
        is_loaded=is_loaded,
        is_cloud=bool(summary.remote_host) or parse_name(summary.name).is_cloud,
    )
