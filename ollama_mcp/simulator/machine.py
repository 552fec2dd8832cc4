"""The simulated server as a whole: its version, its disk, its memory, its account and what tests told it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.names import ModelName, parse_name
from ollama_mcp.simulator.answers import Scripts
from ollama_mcp.simulator.cards import CLOUD, INSTALLED, card_of
from ollama_mcp.simulator.downloads import Downloads
from ollama_mcp.simulator.failures import Failure, missing_model
from ollama_mcp.simulator.generations import DEFAULT, Generation
from ollama_mcp.simulator.runner import Latency, Scheduler
from ollama_mcp.simulator.store import Model, Store

Account = Literal["signed_in", "signed_out", "no_key", "unreachable", "disabled"]


@dataclass
class Registry:
    """What pulls and pushes meet.

    Args:
        up: Whether any registry answers.
        hosts: Registries besides Ollama's own, as host:port; they speak plain HTTP.
        models: Further models that can be pulled, by model name without tag.
        disk_free: Bytes left on the disk of the server; None is no limit.
        stalled: Downloads stand still.
    """

    up: bool = True
    hosts: set[str] = field(default_factory=set[str])
    models: dict[str, Model] = field(default_factory=dict[str, Model])
    disk_free: int | None = None
    stalled: bool = False


@dataclass
class Machine:
    """Everything that the routes look at."""

    generation: Generation
    reported: str
    store: Store
    scheduler: Scheduler
    latency: Latency
    account: Account = "signed_in"
    scripts: Scripts = field(default_factory=Scripts)
    registry: Registry = field(default_factory=Registry)
    cloud: Store = field(default_factory=Store)
    gpu_bytes: int = 0
    downloads: Downloads = field(init=False)

    def __post_init__(self) -> None:
        self.downloads = Downloads(self._speed, self.store.keep)

    @classmethod
    def build(
        cls,
        version: str | None,
        models: Iterable[str] | None,
        latency: Latency,
        account: Account,
        num_parallel: int,
        max_queue: int,
        max_loaded: int,
    ) -> Machine:
        """A machine with some models installed.

        Raises:
            ValueError: No such version, or no such model.
        """
        generation = Generation(version or DEFAULT)
        store = Store()
        # The first named is installed last, so that it heads the list of models.
        for name in reversed(tuple(INSTALLED if models is None else models)):
            store.install(card_of(name))
        cloud = Store()
        for card in CLOUD:
            cloud.install(card)
        scheduler = Scheduler(latency, num_parallel=num_parallel, max_queue=max_queue, max_loaded=max_loaded)
        reported = generation.version if version else f"{generation.version}-simulator"
        return cls(generation, reported, store, scheduler, latency, account, cloud=cloud)

    def name(self, text: str) -> ModelName:
        """A model name of a request.

        Raises:
            Failure: 400, it is none.
        """
        try:
            return parse_name(text)
        except InvalidArgument:
            raise Failure(400, "invalid model name") from None

    def model(self, text: str, *, pull_hint: bool = False) -> Model:
        """The installed model of a name.

        Raises:
            Failure: 400 or 404, in the generation's words.
        """
        model = self.store.find(text)
        if model is not None:
            return model
        # Only then is it worth to say whether it was a name at all; older servers did not.
        if self.generation.trims_names and text:
            self.name(text)
        raise missing_model(text, pull_hint=pull_hint)

    async def close(self) -> None:
        """End the timers and the downloads."""
        self.scheduler.close()
        await self.downloads.close()

    def _speed(self) -> float:
        return 0.0 if self.registry.stalled else self.latency.transfer


def is_name(text: str) -> bool:
    """Whether a text is a model name."""
    try:
        parse_name(text)
    except InvalidArgument:
        return False
    return True
