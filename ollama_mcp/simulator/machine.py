"""The state of the simulated server: version, disk, memory, account, and what a test scripted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import ModelName, parse_name
from ollama_mcp.simulator.answers import Scripts
from ollama_mcp.simulator.errors import SIGNIN_URL, ErrorResponse, model_not_found
from ollama_mcp.simulator.library import CLOUD_MODELS, INSTALLED, find_library_model
from ollama_mcp.simulator.registry import Downloads, Registry
from ollama_mcp.simulator.scheduler import Latency, Scheduler
from ollama_mcp.simulator.server_versions import DEFAULT, Generation
from ollama_mcp.simulator.store import ModelStore, StoredModel

AccountState = Literal["signed_in", "signed_out", "no_key", "unreachable", "disabled"]

_NO_SUCH_HOST = "dial tcp: lookup ollama.com on 127.0.0.53:53: no such host"


@dataclass
class Machine:
    """Everything that the routes read and change."""

    generation: Generation
    reported_version: str
    store: ModelStore
    scheduler: Scheduler
    latency: Latency
    account: AccountState = "signed_in"
    scripts: Scripts = field(default_factory=Scripts)
    registry: Registry = field(default_factory=Registry)
    cloud: ModelStore = field(default_factory=ModelStore)
    gpu_bytes: int = 0
    accuracies: dict[str, float] = field(default_factory=dict[str, float])
    downloads: Downloads = field(init=False)

    def __post_init__(self) -> None:
        self.downloads = Downloads(self._bytes_per_second, self.store.add_blob)

    @classmethod
    def build(
        cls,
        version: str | None,
        models: Iterable[str] | None,
        latency: Latency,
        account: AccountState,
        num_parallel: int,
        max_queue: int,
        max_loaded: int,
    ) -> Machine:
        """A machine with some models installed; the arguments are those of `Simulator`.

        Raises:
            ValueError: The version or a model is unknown.
        """
        generation = Generation(version or DEFAULT)
        store = ModelStore()
        # Listings begin with the last modified model, so the first name is installed last.
        for name in reversed(tuple(INSTALLED if models is None else models)):
            store.install(find_library_model(name))
        cloud = ModelStore()
        for model in CLOUD_MODELS:
            cloud.install(model)
        scheduler = Scheduler(latency, num_parallel=num_parallel, max_queue=max_queue, max_loaded=max_loaded)
        reported = generation.version if version else f"{generation.version}-simulator"
        return cls(generation, reported, store, scheduler, latency, account, cloud=cloud)

    def checked_name(self, text: str) -> ModelName:
        """The model name in a request.

        Raises:
            ErrorResponse: 400, not a valid name.
        """
        try:
            return parse_name(text)
        except InvalidArgument:
            raise ErrorResponse(400, "invalid model name") from None

    def installed_model(self, text: str, *, pull_hint: bool = False) -> StoredModel:
        """The installed model of a name.

        Raises:
            ErrorResponse: 400 or 404, in the wording of the generation.
        """
        model = self.store.find(text)
        if model is not None:
            return model
        # Servers before v0.18.0 answer an invalid name with 404, like a missing model.
        if self.generation.has_strict_names and text:
            self.checked_name(text)
        raise model_not_found(text, pull_hint=pull_hint)

    def resolve_model(self, name: str, path: str, *, pull_hint: bool = False) -> tuple[StoredModel, str]:
        """The model of a request, local or in the cloud, and the name for the response.

        A name that ends in `:cloud` or `-cloud` is passed on to ollama.com with the account of this server; the
        response then carries the name of the model there.

        Raises:
            ErrorResponse: 400 for an invalid name, 404 for a missing model, or what `check_cloud_access` raises.
        """
        lowered = name.strip().lower()
        # The common case first, because this runs for every request.
        if not self.generation.has_strict_names or ("cloud" not in lowered and not lowered.endswith(":local")):
            return self.installed_model(name, pull_hint=pull_hint), name
        if lowered.endswith((":cloud:local", ":local:cloud")):
            raise ErrorResponse(400, f'use either :local or :cloud, not both: "{name}"')
        if lowered.endswith(":local"):
            return self.installed_model(name[: -len(":local")], pull_hint=pull_hint), name
        if not self.checked_name(name).is_cloud:
            return self.installed_model(name, pull_hint=pull_hint), name
        operation = "remote model details are unavailable" if path == "/api/show" else "remote model is unavailable"
        self.check_cloud_access(operation, path)
        cloud_name = _name_in_cloud(name)
        model = self.cloud.find(cloud_name)
        if model is None:
            raise ErrorResponse(404, f"model '{cloud_name}' not found")
        return model, cloud_name

    def check_cloud_access(self, operation: str, path: str) -> None:
        """Check that a request can be passed on to ollama.com.

        Args:
            operation: What is unavailable if the cloud is disabled, for the error.
            path: Path of the request to ollama.com, for the error.

        Raises:
            ErrorResponse: 401, 403 or 502, depending on the account.
        """
        match self.account:
            case "signed_in":
                return
            case "disabled":
                raise ErrorResponse(403, f"ollama cloud is disabled: {operation}")
            case "unreachable":
                raise ErrorResponse(502, f'Post "https://ollama.com:443{path}?ts=1795229555": {_NO_SUCH_HOST}')
            case "no_key":
                raise ErrorResponse(401, "unauthorized")
            case "signed_out":
                raise self.unauthorized()

    def unauthorized(self) -> ErrorResponse:
        """401 for a server that is signed out, with the address or, before v0.12.1, the key to sign in."""
        if self.generation.since(0, 12, 1):
            return ErrorResponse(401, "unauthorized", signin_url=SIGNIN_URL)
        return ErrorResponse(401, "unauthorized", public_key="c2ltdWxhdG9y")

    async def close(self) -> None:
        """Stop the timers and the downloads."""
        self.scheduler.close()
        await self.downloads.close()

    def _bytes_per_second(self) -> float:
        return 0.0 if self.registry.stalled else self.latency.transfer


def is_model_name(text: str) -> bool:
    """Whether a text is a valid model name."""
    try:
        parse_name(text)
    except InvalidArgument:
        return False
    return True


def _name_in_cloud(name: str) -> str:
    """The name of a cloud model on ollama.com: "qwen3:cloud" is "qwen3", "gpt-oss:20b-cloud" is "gpt-oss:20b"."""
    parsed = parse_name(name)
    tag = parsed.tag[: -len("-cloud")] if parsed.tag.lower().endswith("-cloud") else ""
    short = parsed.short.rsplit(":", 1)[0]
    return f"{short}:{tag}" if tag else short
