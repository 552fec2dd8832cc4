"""Which models are loaded on a host, with which context length, which running calls use, and how long they take."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.model_names import model_key, parse_name
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.hosts.ttl_cache import TTL_SECONDS, CoalescingTTLCache

if TYPE_CHECKING:
    from ollama_mcp.api import RunningModel
    from ollama_mcp.api.events import Stats

# The weight of the newest measurement: older ones fade by a third with each.
_NEWEST = 0.33
_MAX_MODELS = 256
# A loaded model reports some milliseconds of loading.
_LOADED_SECONDS = 0.2
_NANOSECONDS = 1e9


# How much of a pace that was learnt stays after an answer that was quicker; a slower one counts at once.
_KEPT_PACE = 0.8
# Answers after which their durations say something.
_ENOUGH_ANSWERS = 8

RECENT_SECONDS = 0.5
_MAX_REQUESTED = 1_024


class LoadedModelTracker:
    """The models loaded on a host, at most two seconds old; for each the num_ctx that was requested, and its pace.

    Args:
        fetch: Asks the host for its loaded models.

    Attributes:
        placements: `fully_on_gpu` of the newest answer, until somebody has recorded it.
    """

    def __init__(self, fetch: Callable[[], Awaitable[list[RunningModel]]]) -> None:
        self._fetch = fetch
        # Every chat asks for it, so calls at the same moment share one request.
        self._cache = CoalescingTTLCache(self._fetch_by_key)
        self._recent = CoalescingTTLCache(self._fetch_by_key, RECENT_SECONDS)
        self._requested: RecentDict[str, int] = RecentDict(_MAX_REQUESTED)
        self._seconds_per_token: RecentDict[str, float] = RecentDict(_MAX_REQUESTED)
        self._durations: RecentDict[str, tuple[int, float]] = RecentDict(_MAX_REQUESTED)
        self.placements: dict[str, bool] = {}
        self._waited: RecentDict[str, tuple[float, float]] = RecentDict(_MAX_REQUESTED)

    async def all(self) -> list[RunningModel]:
        """The loaded models; empty where the host does not answer."""
        try:
            return list((await self._cache.get()).values())
        except OllamaMCPError:
            # The call itself will report what is wrong with the host.
            return []

    async def is_loaded_now(self, model: str) -> bool:
        """Whether the model is loaded, asked of the host within the last half second: a thousand waiting calls ask.

        Raises:
            OllamaMCPError: The host does not answer.
        """
        return parse_name(model).key in await self._recent.get()

    async def find(self, model: str, *, usable_seconds: float = TTL_SECONDS) -> RunningModel | None:
        """The model as it is loaded; None where it is not, or where the host does not answer.

        Args:
            model: Its name, by Ollama's rules.
            usable_seconds: Up to which age it is returned without waiting, if it was loaded then.
        """
        key = parse_name(model).key
        try:
            found = (await self._cache.get(usable_seconds=usable_seconds)).get(key)
            if found is None and usable_seconds > TTL_SECONDS:
                found = (await self._cache.get()).get(key)
        except OllamaMCPError:
            return None
        return found

    def known(self, key: str) -> RunningModel | None:
        """The model of that key as it was last seen in memory."""
        return (self._cache.last or {}).get(key) or (self._recent.last or {}).get(key)

    def requested_num_ctx(self, model: str) -> int | None:
        """The num_ctx of this process's last request to the model."""
        return self._requested.get(parse_name(model).key)

    def record_num_ctx(self, model: str, num_ctx: int) -> None:
        """Record the num_ctx of a request; another one than before makes Ollama reload the model."""
        if self._requested.get(parse_name(model).key) != num_ctx:
            self._requested[parse_name(model).key] = num_ctx
            self.invalidate()

    def record_answer(self, model: str) -> None:
        """Record that the model answered: if it was not loaded before, it is now."""
        if parse_name(model).key not in (self._cache.last or ()):
            self.invalidate()

    def record_pace(self, model: str, seconds_per_token: float) -> None:
        """Record how long an answer took, loading left out, by its tokens; 0 tells nothing."""
        if seconds_per_token:
            key = parse_name(model).key
            kept = _KEPT_PACE * self._seconds_per_token.get(key, 0.0) + (1 - _KEPT_PACE) * seconds_per_token
            self._seconds_per_token[key] = max(seconds_per_token, kept)

    def record_duration(self, model: str, seconds: float) -> None:
        """Record how long an answer took from its request to its end, whatever it waited for."""
        key = parse_name(model).key
        count, longest = self._durations.get(key, (0, 0.0))
        self._durations[key] = count + 1, max(seconds, _KEPT_PACE * longest + (1 - _KEPT_PACE) * seconds)

    def answers_within(self, model: str, seconds: float) -> bool:
        """Whether the model is loaded, and its answers so far took less than that, but for one that is long ago."""
        key = parse_name(model).key
        count, longest = self._durations.get(key, (0, 0.0))
        return count >= _ENOUGH_ANSWERS and longest < seconds and key in (self._cache.last or ())

    def record_waiting(self, model: str, waited: float, worked: float) -> None:
        """Record for how many seconds an answer waited for its turn at the host, and for how many it was worked on."""
        before = self.waited(model)
        self._waited[parse_name(model).key] = before[0] + waited, before[1] + worked

    def waited(self, model: str) -> tuple[float, float]:
        """Seconds, of all answers so far, that they waited for their turn, and that they were worked on."""
        return self._waited.get(parse_name(model).key, (0.0, 0.0))

    def answer_seconds(self, model: str, tokens: int, *, unknown: float) -> float:
        """How long an answer of that many tokens takes by what was learnt; infinite while the model is not loaded.

        Args:
            model: Its name.
            tokens: How many it writes at most.
            unknown: Seconds per token where nothing was learnt.
        """
        key = parse_name(model).key
        # Loading takes minutes where the disk is slow.
        if key not in (self._cache.last or ()):
            return math.inf
        return tokens * self._seconds_per_token.get(key, unknown)

    def invalidate(self) -> None:
        """Make the next call ask the host again."""
        self._cache.invalidate()

    async def _fetch_by_key(self) -> dict[str, RunningModel]:
        running = await self._fetch()
        self.placements = fully_on_gpu(running)
        return {model_key(entry.name): entry for entry in running}


def fully_on_gpu(running: Sequence[RunningModel]) -> dict[str, bool]:
    """Whether each loaded model is entirely in GPU memory, by digest.

    A host without a GPU reports 0 for all, which is no reason to avoid a model, so the result is empty.
    """
    if not any(model.size_vram for model in running):
        return {}
    return {model.digest: model.size_vram >= model.size for model in running if model.digest and model.size}


class ActiveCalls:
    """The running calls of each model, so that unloading a model in use needs the user's confirmation."""

    def __init__(self) -> None:
        self._calls: dict[str, list[object]] = {}

    def has(self, model: str) -> bool:
        """Whether a call uses the model now."""
        return bool(self._calls.get(parse_name(model).key))

    @contextmanager
    def track(self, model: str) -> Generator[Callable[[], int]]:
        """Count a call of the model while the block runs; yields how many calls that began before still run."""
        key, ticket = parse_name(model).key, object()
        calls = self._calls.setdefault(key, [])
        calls.append(ticket)
        try:
            # Progress may ask once more after the call has ended.
            yield lambda: calls.index(ticket) if ticket in calls else 0
        finally:
            calls.remove(ticket)
            if not calls:
                del self._calls[key]


class ServiceTimes:
    """Averages of seconds by model key; the oldest of 256 models is forgotten."""

    def __init__(self) -> None:
        self._request: dict[str, float] = {}
        self._load: dict[str, float] = {}

    def record(self, model: str, stats: Stats) -> None:
        """Learn from the durations of an answer; waiting in Ollama's queue is not counted."""
        work = ((stats.prompt_eval_duration or 0) + (stats.eval_duration or 0)) / _NANOSECONDS
        if work > 0:
            _learn(self._request, model, work)
        load = (stats.load_duration or 0) / _NANOSECONDS
        if load > _LOADED_SECONDS:
            _learn(self._load, model, load)

    def request_seconds(self, model: str) -> float | None:
        """Seconds of work for a request; None where none was seen."""
        return self._request.get(model)

    def newest(self, most: int) -> dict[str, float]:
        """Seconds of work for a request, of the models that were measured last."""
        return dict(list(self._request.items())[-most:])

    def load_seconds(self, model: str) -> float | None:
        """Seconds to load the model; None where that was not seen."""
        return self._load.get(model)


def _learn(averages: dict[str, float], model: str, seconds: float) -> None:
    before = averages.pop(model, None)
    averages[model] = seconds if before is None else before + _NEWEST * (seconds - before)
    if len(averages) > _MAX_MODELS:
        del averages[next(iter(averages))]
