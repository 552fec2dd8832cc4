"""How long a host works on a request of each model and how long it loads it, learnt from what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ollama_mcp.api.events import Stats

# The weight of the newest measurement: older ones fade by a third with each.
_NEWEST = 0.33
_MAX_MODELS = 256
# A loaded model reports some milliseconds of loading.
_LOADED_SECONDS = 0.2
_NANOSECONDS = 1e9


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

    def load_seconds(self, model: str) -> float | None:
        """Seconds to load the model; None where that was not seen."""
        return self._load.get(model)


def _learn(averages: dict[str, float], model: str, seconds: float) -> None:
    before = averages.pop(model, None)
    averages[model] = seconds if before is None else before + _NEWEST * (seconds - before)
    if len(averages) > _MAX_MODELS:
        del averages[next(iter(averages))]
