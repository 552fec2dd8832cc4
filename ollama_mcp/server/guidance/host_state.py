"""The state of the host for prompts and completions: at most five seconds old, and obtained without raising."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.escaping import escape
from ollama_mcp.formats.model_names import same_model
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.formatting import format_bytes
from ollama_mcp.work.choosing import Candidate, as_candidate, is_valid_name, rank_candidates, requirements_for

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.store import Store

FRESH_SECONDS = 5.0
WAIT_SECONDS = 5.0
# Longest text of the host (a version, a capability, a size) that goes into a prompt.
_MAX_WORD_CHARS = 40


@dataclass(frozen=True, slots=True)
class ModelState(Candidate):
    """An installed model, as prompts show it; `context` in tokens."""

    parameters: str = ""
    context: int | None = None

    def __str__(self) -> str:
        facts = [self.parameters, format_bytes(self.size), f"context {self.context:,}" if self.context else ""]
        facts.append("loaded" if self.is_loaded else "")
        return f"{self.name} ({', '.join(fact for fact in facts if fact)})"


@dataclass(frozen=True, slots=True)
class HostState:
    """The state of a host at one moment.

    Args:
        url: Its address.
        version: Its version, or "".
        models: The installed models, newest first.
        loaded: The loaded models, each with the memory it takes.
        problem: Why the host does not answer, or ""; nothing else is known then.
        largest_gb: The largest model, in gigabytes, that is chosen where none is named.
    """

    url: str
    version: str = ""
    models: list[ModelState] = field(default_factory=list[ModelState])
    loaded: list[str] = field(default_factory=list[str])
    problem: str = ""
    largest_gb: float = 16.0

    def models_with(self, capability: str) -> list[ModelState]:
        """The local models with a capability, in the order in which a call that names no model prefers them."""
        return rank_candidates(self.models, requirements_for(capability, self.largest_gb))

    def model_names(self, capability: str = "") -> list[str]:
        """Names of all models, those with the capability first."""
        able = [model.name for model in self.models_with(capability)] if capability else []
        return list(dict.fromkeys([*able, *(model.name for model in self.models)]))

    def find_model(self, name: str) -> ModelState | None:
        """The installed model of that name, or None."""
        return next((model for model in self.models if same_model(model.name, name)), None)


class HostStateCache:
    """Fetches the state of the host, at most once every five seconds.

    Args:
        hosts: The Ollama hosts.
        store: What is known of models from before.
        largest_gb: As in `HostState`.
        wait: Seconds after which a host that does not answer counts as down.
    """

    def __init__(self, hosts: HostPool, store: Store, largest_gb: float = 16.0, *, wait: float = WAIT_SECONDS) -> None:
        self._hosts = hosts
        self._store = store
        self._largest_gb = largest_gb
        self._wait = wait
        self._state: HostState | None = None
        self._fetched_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> HostState:
        """The present state; one with `problem` where the host does not answer."""
        # Clients ask for completions with every key: concurrent requests wait for the first one and share its result.
        async with self._lock:
            if self._state is None or time.monotonic() - self._fetched_at > FRESH_SECONDS:
                self._state = await self._fetch()
                self._fetched_at = time.monotonic()
            return self._state

    def invalidate(self) -> None:
        """Fetch again next time, after a tool has changed something."""
        self._fetched_at = float("-inf")

    async def _fetch(self) -> HostState:
        url = self._hosts.url
        try:
            async with asyncio.timeout(self._wait):
                return await self._fetch_state(url)
        except TimeoutError:
            return HostState(url, problem=f"[timeout] No answer within {self._wait:g} s.")
        except OllamaMCPError as error:
            return HostState(url, problem=failure_text(error))

    async def _fetch_state(self, url: str) -> HostState:
        client = self._hosts.client()
        version = await client.version()
        listed, found = await asyncio.gather(client.tags(), self._hosts.running())
        running = found or []
        # An invalid name could not be called, and in a prompt it would be text of a third party.
        installed = [one for one in listed if is_valid_name(one.name)]
        able = await self._hosts.capabilities(installed)
        loaded = {
            one.name: f"{one.name} ({format_bytes(one.size)} of memory)" for one in running if is_valid_name(one.name)
        }
        known = await self._store.models.gpu_placements()
        models = [_model_state(one, as_candidate(one, able[one.name], running, known)) for one in installed]
        return HostState(
            url, escape(version, _MAX_WORD_CHARS), models, list(loaded.values()), largest_gb=self._largest_gb
        )


def _model_state(summary: ModelSummary, known: Candidate) -> ModelState:
    return ModelState(
        name=known.name,
        size=known.size,
        capabilities=tuple(escape(one, _MAX_WORD_CHARS) for one in known.capabilities),
        is_cloud=known.is_cloud,
        is_loaded=known.is_loaded,
        on_gpu=known.on_gpu,
        parameters=escape(summary.details.parameter_size, _MAX_WORD_CHARS),
        context=summary.details.context_length,
    )
