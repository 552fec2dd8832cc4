"""What the host says now, for prompts and completions: a view that is a few seconds old at most and never fails."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.names import same_model
from ollama_mcp.formats.text import escape
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.text import size
from ollama_mcp.work.choosing import Candidate, candidate_of, in_order, is_name, wanted_for

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.store import Store

FRESH_SECONDS = 5.0
WAIT_SECONDS = 5.0
_WORD = 40


@dataclass(frozen=True, slots=True)
class Model(Candidate):
    """An installed model; context in tokens."""

    parameters: str = ""
    context: int | None = None

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
        largest_gb: Largest model in gigabytes that is chosen where nobody names one.
    """

    url: str
    version: str = ""
    models: list[Model] = field(default_factory=list[Model])
    loaded: list[str] = field(default_factory=list[str])
    problem: str = ""
    largest_gb: float = 16.0

    def able(self, capability: str) -> list[Model]:
        """The models with a capability that run on this host, in the order in which a call without one takes them."""
        return in_order(self.models, wanted_for(capability, self.largest_gb))

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
        store: What is known of models from before.
        largest_gb: As in `View`.
        wait: Seconds after which a host that says nothing counts as down.
    """

    def __init__(self, hosts: HostPool, store: Store, largest_gb: float = 16.0, *, wait: float = WAIT_SECONDS) -> None:
        self._hosts = hosts
        self._store = store
        self._largest_gb = largest_gb
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
        installed = [one for one in listed if is_name(one.name)]
        able = await self._hosts.capabilities(installed)
        loaded = {one.name: f"{one.name} ({size(one.size)} of memory)" for one in running if is_name(one.name)}
        known = await self._store.models.known_on_gpu()
        models = [_model(one, candidate_of(one, able[one.name], running, known)) for one in installed]
        return View(url, escape(version, _WORD), models, list(loaded.values()), largest_gb=self._largest_gb)


def _model(summary: ModelSummary, known: Candidate) -> Model:
    return Model(
        name=known.name,
        size=known.size,
        capabilities=tuple(escape(one, _WORD) for one in known.capabilities),
        is_cloud=known.is_cloud,
        is_loaded=known.is_loaded,
        on_gpu=known.on_gpu,
        parameters=escape(summary.details.parameter_size, _WORD),
        context=summary.details.context_length,
    )
