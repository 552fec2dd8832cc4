"""How many requests are sent to Ollama at a time: what the settings say, or what was measured on real work."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ollama_mcp._command import command
from ollama_mcp.formats.model_names import parse_name, same_model
from ollama_mcp.store import Tuning
from ollama_mcp.work.cloud_policy import runs_in_cloud

if TYPE_CHECKING:
    from ollama_mcp.store import Limit
    from ollama_mcp.work.call_context import CallContext

DEFAULT_PARALLEL = 4
STEPS = (1, 2, 4, 8, 16, 32)
MOST_PARALLEL = STEPS[-1]
# Requests that all steps take together, and as many again to gain from it.
LARGE = 500
_LEAST_GAIN = 1.10
_LEAST_SAMPLES = 12
# The share of its time that a request waited for a slot: half of it where twice as many were sent as there are slots.
_WAITING = 0.3
# The share of a core that this process used.
_BUSY = 0.8


class Ramp:
    """Finds how many requests at a time are worth it, while they do real work: 1, 2, 4, ... until it gains little.

    A step's rate is its number of requests by the median of their seconds, so that one that takes an hour counts no
    more than another. Those that began while the step before still had an effect do not count, nor those that failed.

    Args:
        waited: Gives the seconds, of all answers so far, that they waited for a slot of the host and were worked on.
        clock: Seconds.
        cpu: CPU seconds of this process.

    Attributes:
        parallel: How many requests may be out now.
        steps: Requests per second by the number at a time.
        result: What was found, once it is.
        is_done: Whether `parallel` stays.
    """

    def __init__(
        self,
        waited: Callable[[], tuple[float, float]],
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._waited, self._clock, self._cpu = waited, clock, cpu
        self.steps: dict[int, float] = {}
        self.result: Tuning | None = None
        self.is_done = False
        self._best = DEFAULT_PARALLEL
        self._begin_step(STEPS[0])

    def begin(self) -> float:
        """Note that a request begins; give what is returned to `end`."""
        return self._clock()

    def end(self, begun: float, *, failed: bool) -> None:
        """Note that a request has ended."""
        if self.is_done:
            return
        if self._unsettled:
            self._unsettled -= 1
            if not self._unsettled:
                self._settled_at, self._before = self._clock(), (*self._waited(), self._cpu())
        elif begun >= self._settled_at and not failed:
            self._samples.append(self._clock() - begun)
            if len(self._samples) >= max(_LEAST_SAMPLES, 2 * self.parallel):
                self._end_step()

    def give_up(self) -> None:
        """Stay with the best so far, without a result: the host fails."""
        if not self.is_done:
            self.is_done, self.parallel = True, self._best

    def _begin_step(self, parallel: int) -> None:
        self.parallel = self._unsettled = parallel
        self._samples: list[float] = []

    def _end_step(self) -> None:
        tried = self.parallel
        before = self.steps.get(self._best, 0.0)
        rate = self.steps[tried] = tried / max(statistics.median(self._samples), 1e-6)
        if before and rate < _LEAST_GAIN * before:
            limit, slots = self._limit()
            self._finish(Tuning(self._best, limit, slots, self.steps))
            return
        self._best = tried
        if tried == MOST_PARALLEL:
            self._finish(Tuning(tried, "none", 0, self.steps))
        else:
            self._begin_step(STEPS[STEPS.index(tried) + 1])

    def _limit(self) -> tuple[Limit, int]:
        """Why the step gained nothing, and the number of slots where these are the reason."""
        waited, worked, cpu = (
            after - before for after, before in zip((*self._waited(), self._cpu()), self._before, strict=True)
        )
        share = waited / (waited + worked) if waited + worked > 0 else 0.0
        if share >= _WAITING:
            return "slots", max(1, round(self.parallel * (1 - share)))
        return ("process" if cpu >= _BUSY * (self._clock() - self._settled_at) else "engine"), 0

    def _finish(self, tuning: Tuning) -> None:
        self.result, self.is_done, self.parallel = tuning, True, tuning.parallel


async def run_parallel(parallel: int | Ramp, work: Callable[[], Awaitable[bool]]) -> None:
    """Call `work` in as many tasks as are wanted, again and again, until it returns False; a ramp changes their number.

    Raises:
        ExceptionGroup: What `work` raised; the other tasks are cancelled.
    """
    started = 0

    def wanted() -> int:
        return parallel.parallel if isinstance(parallel, Ramp) else parallel

    async def repeat(number: int) -> None:
        while number < wanted() and await work():
            start()

    def start() -> None:
        nonlocal started
        while started < wanted():
            tasks.create_task(repeat(started))
            started += 1

    async with asyncio.TaskGroup() as tasks:
        start()


async def parallel_requests(call: CallContext, model: str, unmeasured: int = DEFAULT_PARALLEL) -> int:
    """How many requests to a model are sent at a time; `unmeasured` where that should be but is not known yet."""
    setting = call.settings.work.parallel
    if setting != "auto":
        return setting
    found = next((one for one in await call.hosts.installed() if same_model(one.name, model)), None)
    return await _measured(call, model, "" if found is None else found.digest) or unmeasured


async def parallel_or_ramp(call: CallContext, model: str, digest: str, requests: int) -> int | Ramp:
    """How many requests are sent at a time by work of so many; a ramp where that is to be measured with them."""
    setting = call.settings.work.parallel
    if setting != "auto":
        return setting
    if known := await _measured(call, model, digest):
        return known
    if not digest or requests < LARGE or await runs_in_cloud(call, model):
        return DEFAULT_PARALLEL
    return new_ramp(call, model)


def new_ramp(call: CallContext, model: str) -> Ramp:
    """A measurement for a model."""
    return Ramp(lambda: call.hosts.loaded_models.waited(model))


async def keep_result(call: CallContext, model: str, digest: str, ramp: Ramp) -> Tuning | None:
    """Keep what a ramp found for the next call, and return it; None where it did not come to its end."""
    if (tuning := ramp.result) is None:
        return None
    if tuning.limited_by == "engine":
        running = await call.hosts.loaded_models.find(model)
        if running is not None and 0 < running.size <= running.size_vram:
            tuning = Tuning(tuning.parallel, "gpu", 0, tuning.steps)
    await call.store.tunings.keep(call.hosts.url, parse_name(model).key, digest, tuning)
    return tuning


def described(tuning: Tuning, model: str) -> str:
    """What was found, why more gain nothing, and what would change that; one sentence."""
    count = f"{tuning.parallel} request{'s' * (tuning.parallel > 1)} at a time"
    why = {
        "slots": f"Ollama runs about {tuning.slots} at a time: set OLLAMA_NUM_PARALLEL to more where the memory allows "
        f"it, restart Ollama, and run `{command('tune')}`",
        "process": "this process is the limit: it uses a whole core",
        "gpu": "the GPU is the limit",
        "engine": "the engine that runs the model is the limit; it is not wholly on a GPU",
        "none": "each step gained, so that nothing is the limit yet; work.parallel takes up to 64",
    }[tuning.limited_by]
    return f"{count} for {model}: {why}."


async def _measured(call: CallContext, model: str, digest: str) -> int:
    found = await call.store.tunings.find(call.hosts.url, parse_name(model).key, digest) if digest else None
    return found.parallel if found is not None else 0
