"""The pool of Ollama hosts, and what is known of their models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import ModelNotFound, OllamaMCPError, Unsupported
from ollama_mcp.formats.host import base_url
from ollama_mcp.formats.names import parse_name, same_model
from ollama_mcp.formats.options import OPTIONS
from ollama_mcp.hosts.cards import ThinkLevels, capabilities_of, think_levels
from ollama_mcp.hosts.contexts import Contexts
from ollama_mcp.hosts.recent import Recent

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard, ModelSummary, OllamaClient
    from ollama_mcp.settings import Settings

CARD_SECONDS = 30.0
CARDS_AT_ONCE = 8
READY_SECONDS = 1.0
CLOUD_NAME = "ollama.com"
CLOUD_URL = "https://ollama.com:443"


class HostPool:
    """The hosts of one server process; their clients live as long as it does."""

    def __init__(self, settings: Settings, *, api_key: str = "", cloud_url: str = CLOUD_URL) -> None:
        self._settings = settings
        self._api_key = api_key
        self._cloud_url = cloud_url
        self._client: OllamaClient | None = None
        self._cloud: OllamaClient | None = None
        self._cards: dict[str, tuple[float, ModelCard]] = {}
        self._asked_ready = float("-inf")
        self._is_ready = False
        self._able: dict[str, list[str]] = {}
        self._made: set[str] = set()
        self.url = base_url(settings.host)
        self.contexts = Contexts(lambda: self.client().ps())
        self.listed: Recent[list[ModelSummary]] = Recent(lambda: self.client().tags())

    @property
    def has_cloud_key(self) -> bool:
        """Whether OLLAMA_API_KEY was given."""
        return bool(self._api_key)

    def client(self) -> OllamaClient:
        """The client of the host that serves the next call."""
        if self._client is None:
            # The key of ollama.com goes to ollama.com and to hosts that name one of their own, nowhere else.
            key = self._settings.api_key or (self._api_key if self.url == CLOUD_URL else "")
            self._client = self._connect(self.url, "local", key)
        return self._client

    def cloud(self) -> OllamaClient:
        """A client of https://ollama.com with the user's key."""
        if self._cloud is None:
            self._cloud = self._connect(self._cloud_url, CLOUD_NAME, self._api_key)
        return self._cloud

    async def card(self, model: str) -> ModelCard:
        """The model's card from `show`, up to 30 s old."""
        key = parse_name(model).key
        at, card = self._cards.get(key, (float("-inf"), None))
        if card is None or time.monotonic() - at > CARD_SECONDS:
            card = await self.client().show(model)
            self._cards[key] = (time.monotonic(), card)
        return card

    async def capabilities(self, models: Sequence[ModelSummary]) -> dict[str, list[str]]:
        """What each installed model can do, by its name.

        Taken from the cards, since the list that Ollama gives with tags is not complete, and kept by digest: a list of
        two hundred models asks for two hundred cards once. Where a card cannot be had (a cloud model, one deleted
        meanwhile) the list counts.
        """
        gate = asyncio.Semaphore(CARDS_AT_ONCE)

        async def ask(model: ModelSummary) -> list[str]:
            if model.digest not in self._able:
                try:
                    async with gate:
                        self._able[model.digest] = capabilities_of(await self.client().show(model.name))
                except OllamaMCPError:
                    return model.capabilities or []
            return self._able[model.digest]

        return dict(zip([model.name for model in models], await asyncio.gather(*map(ask, models)), strict=True))

    async def thinking(self, model: str) -> ThinkLevels:
        """How the model may be told to think."""
        return think_levels(await self.card(model))

    async def load(self, model: str, *, keep_alive: float | str | None, options: dict[str, Any] | None) -> float:
        """Load a model into memory, whatever it is for; returns the seconds it took.

        It is loaded as the next call will want it, with the defaults of the settings: another num_ctx would make
        Ollama load it anew.
        """
        from ollama_mcp.api import EmbedRequest, GenerateRequest

        defaults = self._settings.defaults
        wanted = {**defaults.options, **(options or {})}
        # What Ollama keeps beside its options says nothing about loading.
        shared: dict[str, Any] = {
            "model": model,
            "keep_alive": defaults.keep_alive if keep_alive is None else keep_alive,
            "options": {name: value for name, value in wanted.items() if name in OPTIONS} or None,
        }
        start = time.monotonic()
        if "completion" in capabilities_of(await self.card(model)):
            await self.client().generate(GenerateRequest(prompt="", **shared)).collect()
        else:
            await self.client().embed(EmbedRequest(input=[], **shared))
        self.contexts.forget()
        return time.monotonic() - start

    async def unload(self, model: str) -> None:
        """Drop a model from memory; no error where it was not loaded."""
        from ollama_mcp.api import EmbedRequest, GenerateRequest

        self.contexts.forget()
        try:
            await self.client().generate(GenerateRequest(model=model, prompt="", keep_alive=0)).collect()
        except Unsupported:
            # Servers that check what a model is for before they unload it.
            await self.client().embed(EmbedRequest(model=model, input=[], keep_alive=0))

    async def find(self, model: str) -> ModelSummary | None:
        """The installed model of that name, or None."""
        return next((found for found in await self.client().tags() if same_model(found.name, model)), None)

    async def installed_model(self, model: str) -> ModelSummary:
        """The installed model of that name.

        Raises:
            ModelNotFound: There is none.
        """
        found = await self.find(model)
        if found is None:
            client = self.client()
            raise ModelNotFound(
                f"Model {model!r} is not installed on {client.name} ({client.base_url}).",
                host=client.base_url,
                model=model,
            )
        return found

    def made(self, model: str) -> None:
        """Remember that this process made the model: it may overwrite it without asking."""
        self.forget(model)
        self._made.add(parse_name(model).key)

    def has_made(self, model: str) -> bool:
        """Whether this process made the model."""
        return parse_name(model).key in self._made

    def web(self) -> OllamaClient:
        """The client for web search: ollama.com with the user's key, else the signed-in host."""
        return self.cloud() if self._api_key else self.client()

    def forget(self, model: str) -> None:
        """Drop what is known of a model that was changed or deleted."""
        self._cards.pop(parse_name(model).key, None)
        self.contexts.forget()
        self.listed.forget()

    async def installed(self) -> list[ModelSummary]:
        """The installed models, or none when the host cannot say (for help texts)."""
        try:
            return await self.client().tags()
        except OllamaMCPError:
            return []

    async def ready(self) -> bool:
        """Whether an Ollama answers, as of the last second: anybody local may ask as often as they like."""
        if time.monotonic() - self._asked_ready > READY_SECONDS:
            self._asked_ready = time.monotonic()
            try:
                await self.client().alive()
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

    def _connect(self, url: str, name: str, key: str) -> OllamaClient:
        from ollama_mcp.api import OllamaClient, Timeouts

        limits = self._settings.timeouts
        return OllamaClient(
            url,
            name=name,
            api_key=key or None,
            headers=self._settings.headers if name != CLOUD_NAME else {},
            ca_file=self._settings.ca_file or None,
            cloud=name == CLOUD_NAME,
            timeouts=Timeouts(
                connect=limits.connect,
                first_byte=limits.first_byte or None,
                idle=limits.idle or None,
                total=limits.quick,
            ),
        )
