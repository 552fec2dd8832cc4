"""The Ollama host of this process with its clients, and cached facts about its models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ollama_mcp.errors import ApiError, InvalidArgument, ModelNotFound, OllamaMCPError, Unsupported
from ollama_mcp.formats.model_names import model_key, parse_name, same_model
from ollama_mcp.formats.options import OPTIONS
from ollama_mcp.hosts.config import CLOUD_URL, HostConfig, single_host
from ollama_mcp.hosts.model_activity import LoadedModelTracker
from ollama_mcp.hosts.model_cards import ModelFacts, ThinkingSupport, capabilities_of, thinking_support
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, unrestricted, visible
from ollama_mcp.hosts.queue import HostQueue
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.hosts.ttl_cache import CoalescingTTLCache

if TYPE_CHECKING:
    from ollama_mcp.api import ClientTimeouts, ModelCard, ModelSummary, OllamaClient, RunningModel
    from ollama_mcp.api.metering import Meter
    from ollama_mcp.hosts.principal_guard import PrincipalGuard
    from ollama_mcp.settings import Settings

T = TypeVar("T")

CARD_TTL_SECONDS = 30.0
MAX_CONCURRENT_SHOWS = 8
READY_TTL_SECONDS = 1.0
# A card is tens of kilobytes; facts and digests are small, and there are few more models than that.
MAX_CARDS, MAX_FACTS = 256, 4_096
CLOUD_NAME = "ollama.com"


class HostPool:
    """A host and ollama.com as one server process uses them; their clients live as long as the process.

    Attributes:
        config: How the host is reached.
        url: Its address, for messages.
        queue: The requests that run a model on it.
        meter: Is told of each exchange with the host; set before the first.
    """

    meter: Meter | None = None

    def __init__(
        self, settings: Settings, *, api_key: str = "", cloud_url: str = CLOUD_URL, host: HostConfig | None = None
    ) -> None:
        self.config = host or single_host(settings, api_key)
        self._settings = settings
        self._api_key = api_key
        self._cloud_url = cloud_url
        self._client: OllamaClient | None = None
        self._cloud: OllamaClient | None = None
        self._cards: RecentDict[str, tuple[float, ModelCard]] = RecentDict(MAX_CARDS)
        self._ready_checked_at = float("-inf")
        self._is_ready = False
        self._facts: RecentDict[str, ModelFacts] = RecentDict(MAX_FACTS)
        self._created: RecentDict[str, str] = RecentDict(MAX_FACTS)
        self.url = self.config.url
        limits = settings.limits
        self.queue = HostQueue(
            self.config.name, in_flight=limits.in_flight, waiting=limits.waiting, at_once=self.config.requests
        )
        self.loaded_models = LoadedModelTracker(self._for_all(lambda: self.client().ps()))
        self.tags_cache: CoalescingTTLCache[list[ModelSummary]] = CoalescingTTLCache(
            self._for_all(lambda: self.client().tags())
        )

    @property
    def has_cloud_key(self) -> bool:
        """Whether OLLAMA_API_KEY was given."""
        return bool(self._api_key)

    @property
    def expected_wait(self) -> float:
        """Seconds of work that wait or were sent there, as far as the models were measured."""
        queue = self.queue
        work = sum((queue.request_seconds(key) or 0.0) * count for key, count in queue.ahead().items())
        return work / max(1, self.config.requests)

    @property
    def members(self) -> Sequence[HostPool]:
        """A pool of one for each host."""
        return (self,)

    def named(self, name: str) -> HostPool:
        """The pool for calls that name a host; this one for `auto`.

        Raises:
            InvalidArgument: There is no such host.
        """
        raise InvalidArgument(f"There is no host {name[:80]!r}.", next_step="Leave host out: there is only one.")

    def hosts_of(self, model: ModelSummary) -> list[str]:
        """The names of the hosts that have a model; none where there is only one host."""
        return []

    def differences(self) -> list[str]:
        """What the hosts have under the same name that is not the same."""
        return []

    def measure(self, meter: Meter) -> None:
        """Tell a meter of each exchange with a host from now on; call it before the first."""
        for one in (self, *self.members):
            one.meter = meter

    def client(self) -> OllamaClient:
        """The client of the host that serves the next call."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def cloud_client(self) -> OllamaClient:
        """A client of https://ollama.com with the user's key."""
        if self._cloud is None:
            config = HostConfig(CLOUD_NAME, self._cloud_url, self._api_key, ca_file=self._settings.ca_file)
            self._cloud = self._open_client(config, queued=False)
        return self._cloud

    async def card(self, model: str, *, since: float = float("-inf")) -> ModelCard:
        """The model's card from `show`, up to 30 s old, but not older than `since` on the monotonic clock."""
        # Kept for all, and judged for each.
        if (principal := CURRENT_PRINCIPAL.get()) is not None:
            await self.principal_guard.check_model(principal, model)
        key = parse_name(model).key
        at, card = self._cards.get(key, (float("-inf"), None))
        now = time.monotonic()
        if card is None or now - at > CARD_TTL_SECONDS or at < since:
            card = await self.client().show(model)
            # Of the moment of the question: the answer may have been on its way while the model was replaced.
            self._cards[key] = (now, card)
        return card

    async def capabilities(self, models: Sequence[ModelSummary]) -> dict[str, list[str]]:
        """The capabilities of each installed model, by its name; see `facts`."""
        return {name: facts.capabilities for name, facts in (await self.facts(models)).items()}

    async def facts(self, models: Sequence[ModelSummary]) -> dict[str, ModelFacts]:
        """What is listed of each installed model's card, by its name.

        They come from the cards, since what `tags` lists is incomplete, and are cached by digest, so that two
        hundred models cost two hundred requests once. Where a card is unavailable (a cloud model, one deleted
        meanwhile), what `tags` lists is used.
        """
        limiter = asyncio.Semaphore(MAX_CONCURRENT_SHOWS)

        async def fetch(model: ModelSummary) -> ModelFacts:
            if model.digest not in self._facts:
                try:
                    async with limiter:
                        card = await self.client().show(model.name)
                except OllamaMCPError:
                    details = model.details
                    return ModelFacts(model.capabilities or [], details.context_length, details.embedding_length)
                facts = ModelFacts(capabilities_of(card), card.context_length, card.embedding_length)
                self._facts[model.digest] = facts
            return self._facts[model.digest]

        return dict(zip([model.name for model in models], await asyncio.gather(*map(fetch, models)), strict=True))

    async def thinking_support(self, model: str) -> ThinkingSupport:
        """Whether the model thinks, and how it may be told to."""
        return thinking_support(await self.card(model))

    async def load(self, model: str, *, keep_alive: float | str | None, options: dict[str, Any] | None) -> float:
        """Load a model of any kind into memory; returns the seconds it took.

        The defaults of the settings apply, since a next call with another num_ctx would make Ollama reload the model.
        """
        from ollama_mcp.api import EmbedRequest, GenerateRequest

        defaults = self._settings.defaults
        merged = {**defaults.options, **(options or {})}
        # Fields that the API keeps beside `options` do not affect loading.
        shared: dict[str, Any] = {
            "model": model,
            "keep_alive": defaults.keep_alive if keep_alive is None else keep_alive,
            "options": {name: value for name, value in merged.items() if name in OPTIONS} or None,
        }
        start = time.monotonic()
        if "completion" in capabilities_of(await self.card(model)):
            await self.client().generate(GenerateRequest(prompt="", **shared)).collect()
        else:
            await self.client().embed(EmbedRequest(input=[], **shared))
        self.loaded_models.invalidate()
        return time.monotonic() - start

    async def unload(self, model: str) -> None:
        """Unload a model from memory; no error where it was not loaded."""
        from ollama_mcp.api import EmbedRequest, GenerateRequest

        self.loaded_models.invalidate()
        try:
            await self.client().generate(GenerateRequest(model=model, prompt="", keep_alive=0)).collect()
        except Unsupported:
            # Servers that check the model's capabilities before they unload it.
            await self.client().embed(EmbedRequest(model=model, input=[], keep_alive=0))

    async def find_model(self, model: str) -> ModelSummary | None:
        """The installed model of that name, or None."""
        return next((found for found in await self.client().tags() if same_model(found.name, model)), None)

    async def running(self) -> list[RunningModel] | None:
        """The loaded models as of now; None where the host answers, but refuses to tell.

        A proxy or an old server may lack that endpoint, which is no reason to withhold what others say.
        """
        try:
            return await self.client().ps()
        except ApiError as error:
            if error.status is None:
                raise
            return None

    async def installed_model(self, model: str) -> ModelSummary:
        """The installed model of that name.

        Raises:
            ModelNotFound: There is none.
        """
        found = await self.find_model(model)
        if found is None:
            client = self.client()
            raise ModelNotFound(
                f"Model {model!r} is not installed on {client.name} ({client.base_url}).",
                host=client.base_url,
                model=model,
            )
        return found

    async def record_written(self, model: str, *, is_own: bool) -> ModelSummary | None:
        """Record that this process wrote a model; None where the host does not tell what it is now.

        Args:
            model: Its name.
            is_own: Whether the process may overwrite the model as it is now without confirmation.
        """
        self.invalidate(model)
        key = parse_name(model).key
        try:
            found = await self.find_model(model)
        except OllamaMCPError:
            # It was written. That it is not recorded costs a question, no more.
            found = None
        if is_own:
            self._created.pop(key, None)
            if found is not None:
                self._created[key] = found.digest
        return found

    def has_created(self, model: ModelSummary) -> bool:
        """Whether this process created the model, and nobody has put another one in its place since."""
        return self._created.get(parse_name(model.name).key) == model.digest

    def web_client(self) -> OllamaClient:
        """The client for web search: ollama.com with the user's key, else the signed-in host."""
        return self.cloud_client() if self._api_key else self.client()

    def invalidate(self, model: str) -> None:
        """Drop what is cached of a model that was changed or deleted."""
        self._cards.pop(parse_name(model).key, None)
        self.loaded_models.invalidate()
        self.tags_cache.invalidate()

    def invalidate_missing(self, model: str) -> None:
        """Drop what is cached of a model that the host says it does not have: another program has deleted it."""
        listed = self.tags_cache.last or ()
        if parse_name(model).key in self._cards or any(same_model(one.name, model) for one in listed):
            self.invalidate(model)

    async def installed(self) -> list[ModelSummary]:
        """The installed models, up to 2 s old; empty where the host does not answer (for help texts)."""
        try:
            return await self.usable()
        except OllamaMCPError:
            return []

    async def usable(self) -> list[ModelSummary]:
        """The installed models that whoever asks may use, up to 2 s old."""
        return visible(await self.tags_cache.get())

    @cached_property
    def principal_guard(self) -> PrincipalGuard:
        """What judges requests by whoever they are made for."""
        return self._open_principal_guard(self.config.name)

    def known_digest(self, model: str) -> str:
        """The digest of a model as this process last saw it; "" where it did not."""
        key = model_key(model)
        if found := self.loaded_models.known(key):
            return found.digest
        return next((one.digest for one in self.tags_cache.last or () if model_key(one.name) == key), "")

    async def ready(self) -> bool:
        """Whether an Ollama answers, cached for a second, since anybody local may ask as often as they like."""
        if time.monotonic() - self._ready_checked_at > READY_TTL_SECONDS:
            self._ready_checked_at = time.monotonic()
            try:
                await self.client().ping()
                self._is_ready = True
            except OllamaMCPError:
                self._is_ready = False
        return self._is_ready

    async def aclose(self) -> None:
        """Close all connections."""
        for client in (self._client, self._cloud):
            if client is not None:
                await client.aclose()
        self._client = self._cloud = None

    def _connect(self) -> OllamaClient:
        return self._open_client(self.config)

    def _open_principal_guard(self, host: str) -> PrincipalGuard:
        from ollama_mcp.hosts.principal_guard import PrincipalGuard

        return PrincipalGuard(self._settings, host, self.tags_cache.get, self.card)

    def _for_all(self, fetch: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        """What fetches for a cache that is shared by whoever asks."""
        return fetch if self._settings.transport == "stdio" else lambda: unrestricted(fetch)

    def _open_client(self, config: HostConfig, *, queued: bool = True) -> OllamaClient:
        from ollama_mcp.api import OllamaClient, ReadOnlyGuard

        settings, revive, guard = self._settings, None, None
        if settings.transport != "stdio":
            guard = self.principal_guard if queued else self._open_principal_guard("")
        elif settings.read_only:
            guard = ReadOnlyGuard(settings.defaults.keep_alive)
        # Most servers let everything pass, and load none of this.
        if settings.network != "full":
            from ollama_mcp.hosts.network_guard import NetworkGuard

            guard = NetworkGuard(settings, self, config.url, is_cloud=not queued, before=guard)
        if settings.autostart and queued:
            from ollama_mcp.hosts.autostart import Autostart

            revive = Autostart(config.url).start
        return OllamaClient(
            config.url,
            name=config.name,
            api_key=config.api_key or None,
            headers=config.headers,
            verify=config.verify,
            ca_file=config.ca_file or None,
            cloud=not queued,
            guard=guard,
            timeouts=self._timeouts(),
            admission=self.queue if queued else None,
            revive=revive,
            meter=self.meter,
        )

    def _timeouts(self) -> ClientTimeouts:
        from ollama_mcp.api import ClientTimeouts

        limits = self._settings.timeouts
        return ClientTimeouts(
            connect=limits.connect,
            first_byte=limits.first_byte or None,
            idle=limits.idle or None,
            total=limits.quick,
        )
