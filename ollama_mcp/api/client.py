"""The client of one Ollama host: a method per endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, TypeVar

from ollama_mcp.api import responses
from ollama_mcp.api.error_mapping import quote_body, unexpected_response
from ollama_mcp.api.events import ChatChunk, GenerateChunk, ProgressEvent
from ollama_mcp.api.host_config import ClientTimeouts
from ollama_mcp.api.http_session import ApiRequest, HttpSession
from ollama_mcp.api.inference_streams import ChatStream, GenerateStream
from ollama_mcp.api.requests import ChatRequest, EmbeddingsRequest, GenerateRequest, RegistryRequest, encode_json
from ollama_mcp.api.stream import ProgressStream
from ollama_mcp.api.versions import Feature, VersionGate, unsupported_feature
from ollama_mcp.errors import ApiError, BadAnswer, InvalidArgument, ServerError, UnsupportedByVersion
from ollama_mcp.formats.host_url import is_ollama_com

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ollama_mcp.api.admission import Admission
    from ollama_mcp.api.events import Json
    from ollama_mcp.api.http_session import ApiResponse, RequestInfo
    from ollama_mcp.api.metering import Meter
    from ollama_mcp.api.read_only import Guard
    from ollama_mcp.api.requests import CreateRequest, DecisionRequest, EmbedRequest, ModelRequest, RequestModel
    from ollama_mcp.api.responses import (
        Account,
        CloudStatus,
        DecisionResponse,
        EmbeddingsResponse,
        EmbedResponse,
        FetchedPage,
        JsonResponse,
        ModelCard,
        ModelSummary,
        Recommendation,
        RunningModel,
        SearchResult,
    )
    from ollama_mcp.api.versions import ServerVersion

    M = TypeVar("M", bound=JsonResponse)

# Characters from which a body is encoded in a thread: base64 images take tens of milliseconds.
_ENCODE_IN_THREAD = 200_000
_DEFAULT_TIMEOUTS = ClientTimeouts()
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class OllamaClient:
    """Calls one Ollama host; use it within one event loop, and close it (`async with`, or `aclose`).

    All methods raise kinds of ApiError, which name the host and what to do next.

    Args:
        base_url: Such as "http://127.0.0.1:11434"; a path is kept, since a proxy may need one.
        name: What messages call the host.
        api_key: Sent as a bearer token, to this host only.
        headers: Further headers, for a proxy in front of the host.
        timeouts: Limits in seconds.
        verify: Whether to verify the TLS certificate.
        ca_file: PEM file of a CA to trust besides the system's.
        cloud: Whether the host is ollama.com itself, whose web search has another path; None tells by the URL.
        guard: Refuses what may not be sent, with NotAllowed; None sends everything.
        admission: Queues what runs a model; None sends at once.
        revive: Tries to start a host that refuses connections; returns whether to try again.
        meter: Is told of each exchange with the host; None measures nothing.
        session: Sends the requests; None makes one from the other arguments.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "local",
        api_key: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        timeouts: ClientTimeouts = _DEFAULT_TIMEOUTS,
        verify: bool = True,
        ca_file: str | None = None,
        cloud: bool | None = None,
        guard: Guard | None = None,
        admission: Admission | None = None,
        revive: Callable[[], Awaitable[bool]] | None = None,
        meter: Meter | None = None,
        session: HttpSession | None = None,
    ) -> None:
        make: Callable[..., HttpSession] = HttpSession
        if meter is not None:
            if meter.takes_sums:
                from ollama_mcp.api.summing import SummedSession as Session
            else:
                from ollama_mcp.api.metering import MeteredSession as Session

            make = partial(Session, meter=meter)
        self._session = session or make(
            base_url,
            name=name,
            api_key=api_key,
            headers=headers,
            timeouts=timeouts,
            verify=verify,
            ca_file=ca_file,
            guard=guard,
            admission=admission,
            revive=revive,
        )
        is_cloud = is_ollama_com(self.base_url) if cloud is None else cloud
        self._web_path = "/api" if is_cloud else "/api/experimental"
        self._gate = VersionGate(self._fetch_version)

    @property
    def base_url(self) -> str:
        """The host's URL without a trailing slash."""
        return self._session.base_url

    @property
    def name(self) -> str:
        """What messages call the host."""
        return self._session.name

    @property
    def requests_in_flight(self) -> int:
        """Requests whose response has not been read to its end."""
        return self._session.in_flight

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # The host.

    async def ping(self) -> None:
        """Return if an Ollama server answers at the address; raise an ApiError otherwise."""
        body = await self._session.fetch_bytes(ApiRequest("GET", "/", idempotent=True))
        if body.strip() != b"Ollama is running":
            # A proxy may serve a page of its own at the root.
            await self._gate.refresh()

    async def version(self) -> str:
        """The version as the server writes it; requested at most once a minute."""
        return str(await self.server_version())

    async def server_version(self) -> ServerVersion:
        """The version in comparable form; requested at most once a minute."""
        return await self._gate.version()

    async def current_version(self) -> ServerVersion:
        """The version in comparable form, requested now: the server may have been replaced."""
        return await self._gate.refresh()

    async def status(self) -> CloudStatus:
        """Whether the host may use ollama.com."""
        return (await self._get("/api/status", responses.StatusResponse)).cloud

    async def me(self) -> Account:
        """The account at ollama.com that the host is signed in to."""
        request = ApiRequest("POST", "/api/me", b"", idempotent=True)
        body = await self._session.fetch_bytes(request)
        if body.strip() == b"null":
            # Servers before v0.23.2 send null when they can't reach ollama.com.
            raise self._session.describe(request).error(
                ServerError,
                f"{self.name} ({self.base_url}) can't reach ollama.com to look up its account.",
                "Try again when that machine is online.",
            )
        return await self._session.parse_body(request, body, responses.Account)

    async def recommendations(self) -> list[Recommendation]:
        """Models that Ollama recommends."""
        response = await self._get("/api/experimental/model-recommendations", responses.RecommendationList)
        return response.recommendations

    # Models.

    async def tags(self) -> list[ModelSummary]:
        """The installed models, newest first."""
        found = (await self._get("/api/tags", responses.ModelList)).models
        return found if self._session.guard is None else self._session.guard.visible(found)

    async def ps(self) -> list[RunningModel]:
        """The loaded models."""
        found = (await self._get("/api/ps", responses.RunningList)).models
        return found if self._session.guard is None else self._session.guard.visible(found)

    async def show(self, model: str, *, verbose: bool = False) -> ModelCard:
        """The details of a model; `verbose` adds the token tables, which may be megabytes."""
        body = {"model": model, "name": model} | ({"verbose": True} if verbose else {})
        request = ApiRequest("POST", "/api/show", encode_json(body), model, idempotent=True)
        return await self._session.fetch_model(request, responses.ModelCard)

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; an existing model of that name is replaced silently."""
        body = encode_json({"source": source, "destination": destination})
        await self._send_expecting_nothing(ApiRequest("POST", "/api/copy", body, source))

    async def delete(self, model: str) -> None:
        """Remove a model; a loaded one stays in memory until it expires."""
        body = encode_json({"model": model, "name": model})
        await self._send_expecting_nothing(ApiRequest("DELETE", "/api/delete", body, model))

    def create(self, request: CreateRequest) -> ProgressStream:
        """Create a model from another one, or from uploaded files."""
        return self._progress("/api/create", request)

    def pull(self, model: str, *, insecure: bool | None = None) -> ProgressStream:
        """Download a model; when interrupted, the next pull continues where this one ended."""
        return self._progress("/api/pull", RegistryRequest(model=model, insecure=insecure))

    def push(self, model: str, *, insecure: bool | None = None) -> ProgressStream:
        """Upload a model to the registry in its name."""
        return self._progress("/api/push", RegistryRequest(model=model, insecure=insecure))

    async def blob_exists(self, digest: str) -> bool:
        """Whether the host has the file with that digest ("sha256:" and 64 hex digits)."""
        try:
            await self._session.fetch_bytes(ApiRequest("HEAD", f"/api/blobs/{_check_digest(digest)}", idempotent=True))
        except ApiError as error:
            # A 404 that is not Ollama's, such as a proxy's page, is a BadAnswer.
            if error.status == 404 and not isinstance(error, BadAnswer):
                return False
            raise
        return True

    async def push_blob(self, digest: str, data: bytes | AsyncIterable[bytes], *, size: int | None = None) -> bool:
        """Upload a file unless the host has it; returns whether it was uploaded.

        Args:
            digest: "sha256:" and 64 hex digits; the host verifies it.
            data: The bytes, at once or in chunks.
            size: Their number, if they come in chunks and it is known.
        """
        if await self.blob_exists(digest):
            return False
        length = None if isinstance(data, bytes) else size
        await self._session.fetch_bytes(ApiRequest("POST", f"/api/blobs/{digest}", data, size=length), limited=False)
        return True

    # Inference.

    def generate(self, request: GenerateRequest) -> GenerateStream:
        """Complete a prompt; `async with` the stream, or `await ...collect()` for the whole answer."""
        return GenerateStream(
            partial(self._send, "/api/generate", request),
            GenerateChunk.from_json,
            idle=self._session.timeouts.idle,
            whole=None if request.stream or request.within else self._describe("/api/generate", request),
            # Raw text and the middle between prompt and suffix are not shaped by a chat template.
            split_thinking=request.split_thinking and not request.raw and request.suffix is None,
            wants_logprobs=bool(request.logprobs),
        )

    def chat(self, request: ChatRequest) -> ChatStream:
        """Continue a conversation; `async with` the stream, or `await ...collect()` for the whole answer."""
        return ChatStream(
            partial(self._send, "/api/chat", request),
            ChatChunk.from_json,
            idle=self._session.timeouts.idle,
            whole=None if request.stream or request.within else self._describe("/api/chat", request),
            split_thinking=request.split_thinking,
            wants_logprobs=bool(request.logprobs),
        )

    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        """Embed texts; servers without the endpoint get one request per text."""
        api_request = await self._prepare("/api/embed", request, idempotent=True)
        try:
            response = await self._session.fetch_model(api_request, responses.EmbedResponse, limited=False)
        except UnsupportedByVersion:
            # The older endpoint knows neither field.
            if request.dimensions is not None or request.truncate is False:
                raise
            return await self._embed_one_by_one(request)
        info = self._session.describe(api_request)
        if isinstance(request.input, list) and len(response.embeddings) != len(request.input):
            what = f"{len(response.embeddings)} vectors came for {len(request.input)} texts"
            raise unexpected_response(info, what, 200)
        wanted = request.dimensions
        # Servers that do not know the field send whole vectors; so do new ones where the model has no more.
        if api_request.unverified and wanted and any(len(vector) > wanted for vector in response.embeddings):
            raise unsupported_feature(info, Feature.DIMENSIONS)
        return response

    async def embeddings(self, request: EmbeddingsRequest) -> EmbeddingsResponse:
        """Embed one text, by the older endpoint."""
        api_request = await self._prepare("/api/embeddings", request, idempotent=True)
        return await self._session.fetch_model(api_request, responses.EmbeddingsResponse, limited=False)

    async def systemone(self, request: DecisionRequest) -> DecisionResponse:
        """Ask a decision model questions about a state."""
        api_request = await self._prepare("/v1/systemone", request)
        return await self._session.fetch_model(api_request, responses.DecisionResponse, limited=False)

    # The web, through ollama.com.

    async def web_search(self, query: str, max_results: int | None = None) -> list[SearchResult]:
        """Search the web; at most 10 results."""
        body: Json = {"query": query} | ({"max_results": max_results} if max_results is not None else {})
        return (await self._web("web_search", body, responses.SearchResponse)).results

    async def web_fetch(self, url: str) -> FetchedPage:
        """Fetch a page as text; ollama.com does it, not the host."""
        return await self._web("web_fetch", {"url": url}, responses.FetchedPage)

    async def _get(self, path: str, model: type[M]) -> M:
        return await self._session.fetch_model(ApiRequest("GET", path, idempotent=True), model)

    async def _web(self, operation: str, body: Json, model: type[M]) -> M:
        request = ApiRequest("POST", f"{self._web_path}/{operation}", encode_json(body))
        return await self._session.fetch_model(request, model)

    async def _fetch_version(self) -> str:
        return (await self._get("/api/version", responses.VersionResponse)).version

    async def _send_expecting_nothing(self, request: ApiRequest) -> None:
        """Send a request that Ollama answers with an empty body; any other comes from something else."""
        body = await self._session.fetch_bytes(request)
        if body.strip() not in (b"", b"null"):
            what = f"{quote_body(self._session.without_secrets(body))} came where nothing is expected"
            raise unexpected_response(self._session.describe(request), what, 200)

    def _progress(self, path: str, request: RequestModel) -> ProgressStream:
        return ProgressStream(
            partial(self._send, path, request), ProgressEvent.from_json, idle=self._session.timeouts.idle
        )

    def _describe(self, path: str, request: ModelRequest) -> RequestInfo:
        return self._session.describe(ApiRequest("POST", path, model=request.model))

    async def _send(self, path: str, request: RequestModel) -> ApiResponse:
        return await self._session.send(await self._prepare(path, request))

    async def _prepare(self, path: str, request: RequestModel, *, idempotent: bool = False) -> ApiRequest:
        """The HTTP request of a request model, once the server's version is known to support it."""
        model = getattr(request, "model", None)
        unverified = False
        # Most requests need no feature that could be missing, and cost no question for the version.
        if features := request.required_features():
            unverified = await self._gate.check(features, self._session.describe(ApiRequest("POST", path)))
        try:
            is_large = request.estimated_size() > _ENCODE_IN_THREAD
            body = await asyncio.to_thread(request.encode) if is_large else request.encode()
        except ValueError:
            # A lone surrogate, which JSON can spell and UTF-8 cannot; or a number that JSON cannot spell.
            raise InvalidArgument(
                f"The request to {path} contains a character or a number that cannot be sent.",
                next_step="Look for cut emoji, such as a lone '\\ud83d', and for NaN or Infinity.",
            ) from None
        keep_alive = getattr(request, "keep_alive", None)
        within = getattr(request, "within", None)
        if not within and not getattr(request, "stream", True):
            # The limit of silence is that of the whole answer.
            within = self._session.timeouts.idle
        return ApiRequest(
            "POST", path, body, model, idempotent, unverified=unverified, keep_alive=keep_alive, within=within
        )

    async def _embed_one_by_one(self, request: EmbedRequest) -> EmbedResponse:
        texts = [request.input] if isinstance(request.input, str) else request.input
        vectors: list[list[float]] = []
        for text in texts:
            single = EmbeddingsRequest(
                model=request.model, prompt=text, keep_alive=request.keep_alive, options=request.options
            )
            vectors.append((await self.embeddings(single)).embedding)
        # A bare empty text has no vector in the newer form either; in a list each text keeps its place.
        kept = vectors if isinstance(request.input, list) or vectors[0] else []
        return responses.EmbedResponse(model=request.model, embeddings=kept)


def _check_digest(text: str) -> str:
    name, _, value = text.partition(":")
    if name != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise InvalidArgument(f"Digest {text[:80]!r} is not 'sha256:' and 64 hex digits in lower case.")
    return text
