"""The choice among several hosts, simulated: expected finish against "loaded first, then least in flight".

    python -m bench.hosts

Five hosts of differing speed and memory, a few models, and calls that come steadily or in bursts, in simulated time. A
host works on one request after another, loads a model that it does not hold, and unloads the one it used longest ago
where memory is short. Both policies know what this server knows of real hosts: what is loaded, what it sent there, and
the durations that answers reported. `ollama_mcp.hosts.choice` decides for the first, as it does in the server.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ollama_mcp.api.events import Stats
from ollama_mcp.hosts.choice import DEFAULT_REQUEST_SECONDS, Outlook, choose, estimated_load
from ollama_mcp.hosts.model_activity import ServiceTimes

SEEDS = range(20)
CALLS = 600
_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Model:
    """A model: its size in gigabytes, and the seconds of a request on a host of speed 1."""

    name: str
    gigabytes: float
    seconds: float


@dataclass
class Host:
    """A simulated host: `loads` is gigabytes a second."""

    name: str
    speed: float
    memory: float
    loads: float
    times: ServiceTimes = field(default_factory=ServiceTimes)
    sent: Counter[str] = field(default_factory=Counter[str])
    free_at: float = 0.0
    loaded: dict[str, float] = field(default_factory=dict[str, float])
    ends: list[tuple[float, str, Stats]] = field(default_factory=list[tuple[float, str, Stats]])

    def settle(self, now: float) -> None:
        """Take note of the answers that have come by now."""
        for ended in [one for one in self.ends if one[0] <= now]:
            self.ends.remove(ended)
            self.sent[ended[1]] -= 1
            self.times.record(ended[1], ended[2])

    def work(self, model: Model, now: float, effort: float) -> tuple[float, float]:
        """Take a request; returns the seconds until its work begins, and until its answer is there."""
        begin, load = max(now, self.free_at), 0.0
        if model.name not in self.loaded:
            while self.loaded and sum(self.loaded.values()) + model.gigabytes > self.memory:
                del self.loaded[next(iter(self.loaded))]
            load = model.gigabytes / self.loads
        # The one that was used last stands last.
        self.loaded.pop(model.name, None)
        self.loaded[model.name] = model.gigabytes
        seconds = model.seconds * effort / self.speed
        self.free_at = begin + load + seconds
        self.sent[model.name] += 1
        stats = Stats(eval_duration=int(seconds * _NANOSECONDS), load_duration=int(load * _NANOSECONDS))
        self.ends.append((self.free_at, model.name, stats))
        return begin + load - now, self.free_at - now


Policy = Callable[[Sequence[Host], Model], Host]


def expected_finish(hosts: Sequence[Host], model: Model) -> Host:
    """The server's policy."""
    return hosts[choose([_outlook(hosts, host, model) for host in hosts])]


def _outlook(hosts: Sequence[Host], host: Host, model: Model) -> Outlook:
    backlog = sum(_seconds(hosts, host, name) * count for name, count in host.sent.items())
    load = 0.0
    if model.name not in host.loaded:
        load = host.times.load_seconds(model.name) or estimated_load(int(model.gigabytes * 1e9))
    return Outlook(backlog, _seconds(hosts, host, model.name), load)


def _seconds(hosts: Sequence[Host], host: Host, name: str) -> float:
    if (known := host.times.request_seconds(name)) is not None:
        return known
    others = [seconds for other in hosts if (seconds := other.times.request_seconds(name)) is not None]
    return statistics.fmean(others) if others else DEFAULT_REQUEST_SECONDS


def loaded_first(hosts: Sequence[Host], model: Model) -> Host:
    """The usual policy: a host that has the model loaded, among those the one with the least in flight."""
    holding = [host for host in hosts if model.name in host.loaded]
    least = min(host.sent.total() for host in holding or hosts)
    return random.choice([host for host in holding or hosts if host.sent.total() == least])


@dataclass(frozen=True)
class Case:
    """A scene.

    Args:
        name: What it shows.
        models: The models, the most frequent first.
        gap: Mean seconds between calls, or between bursts.
        burst: Calls that come at once.
        loaded: What each host holds at the start, by its place.
    """

    name: str
    models: Sequence[Model]
    gap: float
    burst: int = 1
    loaded: Sequence[tuple[int, int]] = ()


SMALL, MEDIUM, LARGE = Model("small", 2, 2), Model("medium", 5, 5), Model("large", 14, 12)
BUSY = "the loaded host is busy"
CASES = (
    Case(BUSY, [MEDIUM], gap=30, burst=20, loaded=[(0, 0)]),
    Case("one call after the other", [MEDIUM], gap=15, loaded=[(0, 0)]),
    Case("steady, one model everywhere", [SMALL], gap=1, loaded=[(place, 0) for place in range(5)]),
    Case("steady, mixed models", [SMALL, MEDIUM, LARGE], gap=3),
    Case("bursts, mixed models", [SMALL, MEDIUM, LARGE], gap=60, burst=15),
    Case("near capacity, mixed models", [SMALL, MEDIUM, LARGE], gap=1.6),
)


def new_hosts() -> list[Host]:
    """Five hosts: a workstation, two desktops, a laptop, an old machine; each holds any of the models."""
    return [
        Host("workstation", 4.0, 24, 2.0),
        Host("desktop", 2.0, 16, 1.5),
        Host("desktop 2", 2.0, 16, 1.5),
        Host("laptop", 1.0, 16, 1.0),
        Host("old", 0.5, 14, 0.5),
    ]


def run(case: Case, policy: Policy, seed: int) -> list[tuple[float, float]]:
    """For each call the seconds until its work began, and until its answer was there."""
    random.seed(seed)
    hosts, found = new_hosts(), list[tuple[float, float]]()
    for place, number in case.loaded:
        hosts[place].loaded[case.models[number].name] = case.models[number].gigabytes
    for now, model, effort in _calls(case, random.Random(seed)):
        for host in hosts:
            host.settle(now)
        found.append(policy(hosts, model).work(model, now, effort))
    return found


def _calls(case: Case, chance: random.Random) -> Iterator[tuple[float, Model, float]]:
    """When each call comes, of which model, and how long it is: the same for all policies."""
    now = 0.0
    weights = [1 / (place + 1) for place in range(len(case.models))]
    for _ in range(CALLS // case.burst):
        now += chance.expovariate(1 / case.gap)
        for _ in range(case.burst):
            yield now, chance.choices(case.models, weights)[0], chance.lognormvariate(0, 0.5)


@dataclass(frozen=True)
class P95:
    """The 95th percentiles of all calls: until the work begins, and until the answer is there."""

    begin: float
    answer: float


def p95(case: Case, policy: Policy, seeds: Sequence[int] = SEEDS) -> P95:
    """The 95th percentiles over the calls of all seeds."""
    begins, answers = zip(*(call for seed in seeds for call in run(case, policy, seed)), strict=True)
    place = int(len(begins) * 0.95)
    return P95(sorted(begins)[place], sorted(answers)[place])


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"p95 of {CALLS * len(SEEDS):,} calls, in simulated seconds: loaded first, expected finish, ratio\n")
    print("| case | until the answer | | | until the work begins | |\n|---|--:|--:|--:|--:|--:|")
    for case in CASES:
        usual, ours = p95(case, loaded_first), p95(case, expected_finish)
        cells = (usual.answer, ours.answer, ours.answer / usual.answer, usual.begin, ours.begin)
        print(f"| {case.name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
