"""The client of one Ollama host: a method per endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

from ollama_mcp.api import responses
from ollama_mcp.api.answers import ChatStream, Expected, GenerateStream, ProgressStream
from ollama_mcp.api.events import ChatChunk, GenerateChunk, ProgressEvent
from ollama_mcp.api.exchange import Call, Timeouts
from ollama_mcp.api.failures import not_ollama, shown_body
from ollama_mcp.api.gate import VersionGate, lacking
from ollama_mcp.api.requests import ChatRequest, EmbeddingsRequest, GenerateRequest, encode_json
from ollama_mcp.api.versions import Feature
from ollama_mcp.api.wire import Wire
from ollama_mcp.errors import ApiError, BadAnswer, InvalidArgument, ServerError, UnsupportedByVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from ollama_mcp.api.events import Json
    from ollama_mcp.api.exchange import Exchange
    from ollama_mcp.api.requests import CreateRequest, DecisionRequest, EmbedRequest, Inference, Request
    from ollama_mcp.api.responses import (
        Account,
        CloudStatus,
        DecisionResponse,
        EmbeddingsResponse,
        EmbedResponse,
        FetchedPage,
        ModelCard,
        ModelSummary,
        Recommendation,
        RunningModel,
        SearchResult,
    )
    from ollama_mcp.api.versions import ServerVersion

    M = TypeVar("M", bound=BaseModel)

CLOUD_HOST = "ollama.com"
_HEAVY_BODY = 200_000
_DEFAULT_TIMEOUTS = Timeouts()
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class OllamaClient:
    """Speaks to one Ollama host; use it within one event loop, and close it (`async with`, or `aclose`).

    All methods raise ApiError kinds, each naming the host and what to do next.

    Args:
        base_url: Such as "http://127.0.0.1:11434"; a path is kept, since a proxy may want one.
        name: What messages call the host.
        api_key: Sent as a bearer token, to this host only.
        headers: Further headers, for a proxy before the host.
        timeouts: Limits in seconds.
        verify: False switches the check of the TLS certificate off.
        ca_file: A PEM file with a CA to trust besides the system's.
        cloud: Whether the host is ollama.com itself, which has web search at another path; by its name where None.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "local",
        api_key: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        verify: bool = True,
        ca_file: str | None = None,
        cloud: bool | None = None,
    ) -> None:
        self._wire = Wire(
            base_url,
            name=name,
            api_key=api_key,
            headers=headers,
            timeouts=timeouts,
            verify=verify,
            ca_file=ca_file,
        )
        self._web_folder = "/api" if self._is_cloud(cloud) else "/api/experimental"
        self._gate = VersionGate(self._wire)

    @property
    def base_url(self) -> str:
        """The host's URL without a trailing slash."""
        return self._wire.base_url

    @property
    def name(self) -> str:
        """What messages call the host."""
        return self._wire.name

    @property
    def requests_in_flight(self) -> int:
        """Requests whose answer has not been read to its end."""
        return self._wire.in_flight

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # What the host is.

    async def alive(self) -> None:
        """Return when an Ollama answers at the address; raise what is wrong otherwise."""
        body = await self._wire.bytes(Call("GET", "/", idempotent=True))
        if body.strip() != b"Ollama is running":
            # A proxy may serve a page of its own at the root.
            await self._gate.ask()

    async def version(self) -> str:
        """The version as the server writes it; asked at most once a minute."""
        return str(await self.server())

    async def server(self) -> ServerVersion:
        """The version, comparable; asked at most once a minute."""
        return await self._gate.version()

    async def status(self) -> CloudStatus:
        """Whether the host may use ollama.com."""
        return (await self._get("/api/status", responses.StatusAnswer)).cloud

    async def me(self) -> Account:
        """Whom the host is signed in as at ollama.com."""
        call = Call("POST", "/api/me", b"", idempotent=True)
        body = await self._wire.bytes(call)
        if body.strip() == b"null":
            # Servers before v0.23.2 say so when they can't reach ollama.com.
            raise self._wire.where(call).error(
                ServerError,
                f"{self.name} ({self.base_url}) can't reach ollama.com to see whom it is signed in as.",
                "Try again when that machine is online.",
            )
        return await self._wire.read(call, body, responses.Account)

    async def recommendations(self) -> list[Recommendation]:
        """Models that Ollama recommends."""
        answer = await self._get("/api/experimental/model-recommendations", responses.RecommendationList)
        return answer.recommendations

    # Models.

    async def tags(self) -> list[ModelSummary]:
        """The installed models, newest first."""
        return (await self._get("/api/tags", responses.ModelList)).models

    async def ps(self) -> list[RunningModel]:
        """The loaded models."""
        return (await self._get("/api/ps", responses.RunningList)).models

    async def show(self, model: str, *, verbose: bool = False) -> ModelCard:
        """All about a model; `verbose` adds the token tables, which may be megabytes."""
        body = {"model": model, "name": model} | ({"verbose": True} if verbose else {})
        return await self._wire.document(self._call("/api/show", body, model, idempotent=True), responses.ModelCard)

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; an existing model of that name is replaced without a word."""
        await self._done(self._call("/api/copy", {"source": source, "destination": destination}, source))

    async def delete(self, model: str) -> None:
        """Remove a model; a loaded one stays in memory until it expires."""
        await self._done(Call("DELETE", "/api/delete", encode_json({"model": model, "name": model}), model))

    def create(self, request: CreateRequest) -> ProgressStream:
        """Make a model from another one, or from uploaded files."""
        return self._progress("/api/create", request)

    def pull(self, model: str, *, insecure: bool | None = None) -> ProgressStream:
        """Download a model; what was loaded stays for the next try when it is cut off."""
        return self._progress("/api/pull", _registry_body(model, insecure), model)

    def push(self, model: str, *, insecure: bool | None = None) -> ProgressStream:
        """Upload a model to the registry that its name says."""
        return self._progress("/api/push", _registry_body(model, insecure), model)

    async def blob_exists(self, digest: str) -> bool:
        """Whether the host has the file of that digest ("sha256:" and 64 hex digits)."""
        try:
            await self._wire.bytes(Call("HEAD", f"/api/blobs/{_digest(digest)}", idempotent=True))
        except ApiError as error:
            # HEAD has no words; what came instead of Ollama's 404 is a bad answer.
            if error.status == 404 and not isinstance(error, BadAnswer):
                return False
            raise
        return True

    async def push_blob(self, digest: str, data: bytes | AsyncIterable[bytes], *, size: int | None = None) -> bool:
        """Upload a file unless the host has it; returns whether it was uploaded.

        Args:
            digest: "sha256:" and 64 hex digits; the host checks it.
            data: The bytes, at once or in pieces.
            size: Their number, where they come in pieces and it is known.
        """
        if await self.blob_exists(digest):
            return False
        length = None if isinstance(data, bytes) else size
        await self._wire.bytes(Call("POST", f"/api/blobs/{digest}", data, size=length), limited=False)
        return True

    # Inference.

    def generate(self, request: GenerateRequest) -> GenerateStream:
        """Complete a prompt; `async with` the stream, or `await ...collect()` for the whole answer."""
        expected = Expected()
        split = request.split_thinking and not request.raw and request.suffix is None
        return GenerateStream(
            lambda: self._infer("/api/generate", request, expected),
            GenerateChunk.from_json,
            idle=self._wire.timeouts.idle,
            split_thinking=split,
            expected=expected,
        )

    def chat(self, request: ChatRequest) -> ChatStream:
        """Continue a conversation; `async with` the stream, or `await ...collect()` for the whole answer."""
        expected = Expected()
        return ChatStream(
            lambda: self._infer("/api/chat", request, expected),
            ChatChunk.from_json,
            idle=self._wire.timeouts.idle,
            split_thinking=request.split_thinking,
            expected=expected,
        )

    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        """Vectors of texts; on servers without the endpoint by one request per text."""
        unsure = await self._gate.check(request, "/api/embed")
        call = await self._encoded("/api/embed", request, idempotent=True)
        try:
            answer = await self._wire.document(call, responses.EmbedResponse, limited=False)
        except UnsupportedByVersion:
            # The older endpoint knows neither.
            if request.dimensions is not None or request.truncate is False:
                raise
            return await self._embed_singly(request)
        if isinstance(request.input, list) and len(answer.embeddings) != len(request.input):
            what = f"{len(answer.embeddings)} vectors came for {len(request.input)} texts"
            raise not_ollama(self._wire.where(call), what, 200)
        asked = request.dimensions
        # Servers that do not know the field send whole vectors; so do new ones where the model has no more.
        if unsure and asked and any(len(one) > asked for one in answer.embeddings):
            raise lacking(self._wire.where(call), Feature.DIMENSIONS)
        return answer

    async def embeddings(self, request: EmbeddingsRequest) -> EmbeddingsResponse:
        """The vector of one text, by the older endpoint."""
        call = await self._encoded("/api/embeddings", request, idempotent=True)
        return await self._wire.document(call, responses.EmbeddingsResponse, limited=False)

    async def systemone(self, request: DecisionRequest) -> DecisionResponse:
        """Ask a decision model questions about a state."""
        await self._gate.check(request, "/v1/systemone")
        call = await self._encoded("/v1/systemone", request)
        return await self._wire.document(call, responses.DecisionResponse, limited=False)

    # The web, through ollama.com.

    async def web_search(self, query: str, max_results: int | None = None) -> list[SearchResult]:
        """Search the web; at most 10 results."""
        body: Json = {"query": query} | ({"max_results": max_results} if max_results is not None else {})
        return (await self._wire.document(self._web("web_search", body), responses.SearchAnswer)).results

    async def web_fetch(self, url: str) -> FetchedPage:
        """Fetch a page as text; ollama.com does it, not the host."""
        return await self._wire.document(self._web("web_fetch", {"url": url}), responses.FetchedPage)

    async def _get(self, path: str, model: type[M]) -> M:
        return await self._wire.document(Call("GET", path, idempotent=True), model)

    async def _done(self, call: Call) -> None:
        """Send a call that Ollama answers with nothing; words mean that something else answered."""
        body = await self._wire.bytes(call)
        if body.strip() not in (b"", b"null"):
            raise not_ollama(self._wire.where(call), f"{shown_body(body)} came where nothing is expected", 200)

    def _call(self, path: str, body: Json, model: str | None = None, *, idempotent: bool = False) -> Call:
        return Call("POST", path, encode_json(body), model, idempotent)

    def _web(self, what: str, body: Json) -> Call:
        return self._call(f"{self._web_folder}/{what}", body)

    def _is_cloud(self, told: bool | None) -> bool:
        return urlsplit(self.base_url).hostname == CLOUD_HOST if told is None else told

    async def _encoded(self, path: str, request: Request, *, idempotent: bool = False) -> Call:
        """The call of a request; a large one is encoded in a thread."""
        heavy = request.weight() > _HEAVY_BODY
        try:
            body = await asyncio.to_thread(request.encode) if heavy else request.encode()
        except ValueError:
            # Half a surrogate pair, which JSON can spell and UTF-8 cannot; or a number that JSON cannot spell.
            raise InvalidArgument(
                f"The request to {path} holds a character or a number that cannot be sent.",
                next_step="Look for cut emoji, such as a lone '\\ud83d', and for NaN or Infinity.",
            ) from None
        return Call("POST", path, body, getattr(request, "model", None), idempotent)

    def _progress(self, path: str, request: CreateRequest | Json, model: str | None = None) -> ProgressStream:
        async def send() -> Exchange:
            if isinstance(request, dict):
                return await self._wire.send(self._call(path, request, model))
            await self._gate.check(request, path)
            return await self._wire.send(await self._encoded(path, request))

        return ProgressStream(send, ProgressEvent.from_json, idle=self._wire.timeouts.idle)

    async def _infer(self, path: str, request: Inference, expected: Expected) -> Exchange:
        expected.logprobs = await self._gate.check(request, path) and bool(request.logprobs)
        return await self._wire.send(await self._encoded(path, request))

    async def _embed_singly(self, request: EmbedRequest) -> EmbedResponse:
        texts = [request.input] if isinstance(request.input, str) else request.input
        vectors: list[list[float]] = []
        for text in texts:
            one = EmbeddingsRequest(
                model=request.model, prompt=text, keep_alive=request.keep_alive, options=request.options
            )
            vectors.append((await self.embeddings(one)).embedding)
        # A bare empty text has no vector in the newer form either; in a list each text keeps its place.
        kept = vectors if isinstance(request.input, list) or vectors[0] else []
        return responses.EmbedResponse(model=request.model, embeddings=kept)


def _registry_body(model: str, insecure: bool | None) -> Json:
    return {"model": model, "name": model} | ({"insecure": insecure} if insecure is not None else {})


def _digest(text: str) -> str:
    name, _, value = text.partition(":")
    if name != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise InvalidArgument(f"Digest {text[:80]!r} is not 'sha256:' and 64 hex digits in lower case.")
    return text
