"""Ollama's scheduler: which models are in memory, for how long, and which requests wait.

Models load one after another. A model runs `num_parallel` requests at a time, and any number of others wait. Only
requests that need a load are counted and, above `max_queue`, rejected with 503.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ollama_mcp.simulator.errors import SERVER_BUSY, ErrorResponse
from ollama_mcp.simulator.store import StoredModel

LoadOptions = tuple[Any, ...]

# The longest time.Duration of Go, in seconds.
FOREVER = 9_223_372_036.0
_LONGEST_TIMER = 86_400 * 30


@dataclass(frozen=True, slots=True)
class Latency:
    """Speed of the simulated hardware, in seconds; zero means no delay.

    Args:
        load: To load a model.
        prompt: For each token of the prompt.
        token: For each token of the answer.
        embed: For each text that is embedded.
        transfer: Bytes per second of pulls and pushes.
    """

    load: float = 0.0
    prompt: float = 0.0
    token: float = 0.0
    embed: float = 0.0
    transfer: float = 2e9


@dataclass(eq=False)
class Runner:
    """A model in memory."""

    model: StoredModel
    load_options: LoadOptions
    context: int
    keep_alive: float
    slots: asyncio.Semaphore
    active: int = 0
    expires: datetime = field(default_factory=lambda: datetime.now(UTC))
    timer: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        """Bytes in memory: the weights and the context."""
        return int(self.model.size * 1.05) + self.context * max(self.model.header.number("embedding_length"), 64) * 4

    def extend(self) -> None:
        """Restart the keep-alive time from now."""
        seconds = FOREVER if self.keep_alive < 0 else min(self.keep_alive, FOREVER)
        self.expires = datetime.now(UTC) + timedelta(seconds=seconds)


class Scheduler:
    """The models in memory and the requests that use them."""

    def __init__(self, latency: Latency, *, num_parallel: int = 1, max_queue: int = 512, max_loaded: int = 3) -> None:
        self.latency = latency
        self.num_parallel = num_parallel
        self.max_queue = max_queue
        self.max_loaded = max_loaded
        self.keep_alive = 300.0
        self.loads = 0
        self._runners: dict[str, Runner] = {}
        self._pending = 0
        self._loading = asyncio.Lock()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def use(
        self, model: StoredModel, load_options: LoadOptions, context: int, keep_alive: float | None
    ) -> AsyncGenerator[tuple[Runner, int]]:
        """Acquire a slot on the runner of a model, loading it if needed.

        Yields the runner and the nanoseconds until it was loaded.

        Raises:
            ErrorResponse: 503, too many requests wait for a load.
        """
        started = time.perf_counter_ns()
        runner = self._loaded(model, load_options) or await self._queue_load(model, load_options, context, keep_alive)
        # Without one, the value of an earlier request stays in effect.
        if keep_alive is not None:
            runner.keep_alive = keep_alive
        runner.active += 1
        if runner.timer is not None:
            runner.timer.cancel()
        # During a request, ps shows when the model would expire if it ended now.
        runner.extend()
        load_nanoseconds = max(time.perf_counter_ns() - started, 1)
        try:
            async with runner.slots:
                yield runner, load_nanoseconds
        finally:
            self._release(runner)

    def running(self) -> list[Runner]:
        """All runners, the last to expire first."""
        return sorted(self._runners.values(), key=lambda runner: runner.expires, reverse=True)

    def unload(self, model: StoredModel) -> None:
        """Unload a model: now, or when its last request ends."""
        runner = self._runners.get(model.weights.digest)
        if runner is not None:
            runner.keep_alive = 0
            if not runner.active:
                self._remove(runner)

    def kill(self, model: StoredModel) -> None:
        """Simulate the death of the runner process; the next request reloads the model."""
        if runner := self._runners.get(model.weights.digest):
            self._remove(runner)

    def close(self) -> None:
        """Stop all timers."""
        for runner in list(self._runners.values()):
            self._remove(runner)

    def _loaded(self, model: StoredModel, load_options: LoadOptions) -> Runner | None:
        # Two names of the same weights share a runner.
        runner = self._runners.get(model.weights.digest)
        return runner if runner is not None and runner.load_options == load_options else None

    async def _queue_load(
        self, model: StoredModel, load_options: LoadOptions, context: int, keep_alive: float | None
    ) -> Runner:
        # Only loads are limited; requests for a loaded model wait for its slots.
        if self._pending >= self.max_queue:
            raise ErrorResponse(503, SERVER_BUSY)
        self._pending += 1
        try:
            async with self._loading:
                # Another request may have loaded it while this one was queued.
                ready = self._loaded(model, load_options)
                return ready or await self._load(model, load_options, context, keep_alive)
        finally:
            self._pending -= 1

    async def _load(
        self, model: StoredModel, load_options: LoadOptions, context: int, keep_alive: float | None
    ) -> Runner:
        await self._evict_for(model)
        if self.latency.load:
            await asyncio.sleep(self.latency.load)
        # An embedding model runs one request at a time, whatever the setting.
        parallel = 1 if model.header.number("pooling_type") else self.num_parallel
        seconds = self.keep_alive if keep_alive is None else keep_alive
        runner = Runner(model, load_options, context, seconds, asyncio.Semaphore(parallel))
        self._runners[model.weights.digest] = runner
        self.loads += 1
        return runner

    async def _evict_for(self, model: StoredModel) -> None:
        while True:
            old = self._runners.get(model.weights.digest)
            if old is None and len(self._runners) < self.max_loaded:
                return
            idle = [runner for runner in self._runners.values() if not runner.active]
            idle.sort(key=lambda runner: (runner.keep_alive, runner.expires))
            # A reload replaces its own runner, whatever else is in memory.
            candidates = [old] if old is not None else idle
            if candidates and not candidates[0].active:
                self._remove(candidates[0])
            else:
                self._changed.clear()
                await self._changed.wait()

    def _release(self, runner: Runner) -> None:
        runner.active -= 1
        # The keep-alive time starts when the last request ends.
        runner.extend()
        self._changed.set()
        # A runner that was killed meanwhile may have been replaced.
        if runner.active or self._runners.get(runner.model.weights.digest) is not runner:
            return
        if runner.keep_alive == 0:
            self._remove(runner)
        elif 0 < runner.keep_alive < FOREVER:
            loop = asyncio.get_running_loop()
            runner.timer = loop.call_later(min(runner.keep_alive, _LONGEST_TIMER), self._remove, runner)

    def _remove(self, runner: Runner) -> None:
        if runner.timer is not None:
            runner.timer.cancel()
        if self._runners.get(runner.model.weights.digest) is runner:
            del self._runners[runner.model.weights.digest]
        self._changed.set()
