"""All settings: sections, types, limits and meanings. The defaults are here and, identical, in config.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, field_validator

from ollama_mcp.settings.access import (
    AudioSettings,
    ImageSettings,
    ReadSettings,
    UploadSettings,
    UrlSettings,
    WriteSettings,
)
from ollama_mcp.settings.auth import AuthSettings, PrincipalSettings
from ollama_mcp.settings.hosts import HostName, HostSettings
from ollama_mcp.settings.observation import LedgerSettings, MetricsSettings

TOOLSETS: tuple[str, ...] = ("inference", "models", "work", "system", "blobs", "web", "legacy")
DEFAULT_TOOLSETS: tuple[str, ...] = ("inference", "models", "work", "system")
# Names that tools had in the version before: taken in calls and settings for one version, and not listed.
OLD_TOOL_NAMES = {"ollama_rank": "ollama_search"}


class SettingsSection(BaseModel):
    """A group of settings; unknown names in it are errors."""

    # `defer_build`: pydantic builds the validators with the first use, not with every start.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class DefaultSettings(SettingsSection):
    """What applies where a call names no value."""

    model: str = Field(default="", description="Model for every task that has none of its own.")
    chat: str = Field(default="", description="Model for ollama_chat.")
    generate: str = Field(default="", description="Model for ollama_generate.")
    embed: str = Field(default="", description="Model for ollama_embed.")
    vision: str = Field(default="", description="Model for chat and generate when images are given.")
    decide: str = Field(default="", description="Model for ollama_decide.")
    rerank: str = Field(default="", description="Model that judges places for ollama_search.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Model options sent with every chat and generate."
    )
    keep_alive: str | float | None = Field(
        default=None, description="How long models stay loaded ('10m', seconds, -1 forever); null: Ollama decides."
    )


class TimeoutSettings(SettingsSection):
    """Time limits for Ollama, in seconds; 0: no limit."""

    connect: float = Field(default=5.0, ge=0.1, le=600, description="Seconds to reach the Ollama host.")
    first_byte: float = Field(
        default=0.0, ge=0, description="Seconds until an answer begins, with loading and queueing; 0: no limit."
    )
    idle: float = Field(
        default=300.0, ge=0, description="Seconds between two parts of an answer, or for a short one; 0: no limit."
    )
    call: float = Field(
        default=0.0, ge=0, description="Seconds for one call in all, except for work that the same call resumes."
    )
    quick: float = Field(default=30.0, ge=1, description="Seconds for calls that run no model: version, list, show.")


class LimitSettings(SettingsSection):
    """Limits on the size of a call."""

    num_ctx: int = Field(
        default=32_768, ge=512, description="Largest context in tokens that is requested where a call names none."
    )
    files: int = Field(default=500, ge=1, description="Files in one call; a batch takes any number.")
    search_files: int = Field(default=20_000, ge=1, description="Files that one ollama_search call looks through.")
    search_bytes: int = Field(
        default=200_000_000, ge=1_000, description="Bytes of text that one ollama_search call reads anew."
    )
    file_bytes: int = Field(default=20_000_000, ge=1_000, description="Bytes of one text file or document.")
    passages: int = Field(default=200_000, ge=1, description="Passages that one ollama_search call searches.")
    questions: int = Field(default=64, ge=1, le=64, description="Questions in one ollama_decide call.")
    answer_chars: int = Field(
        default=40_000,
        ge=1_000,
        description="Bytes of JSON in one result, over all its parts, or less where the client cuts earlier; "
        "ollama_job gives what does not fit.",
    )
    prompt_bytes: int = Field(
        default=50_000_000, ge=1_000, description="Bytes of text in one call's prompt or messages."
    )
    in_flight: int = Field(default=256, ge=1, description="Requests sent at once to one model of a host.")
    waiting: int = Field(default=1_024, ge=0, description="Requests that wait for one model of a host; more are busy.")
    messages: int = Field(default=2_000, ge=1, description="Messages in one chat call.")
    tools: int = Field(default=128, ge=1, description="Tools given to the model in one chat call.")
    embed_inputs: int = Field(default=10_000, ge=1, description="Texts in one ollama_embed call.")
    embed_chunk: int = Field(default=64, ge=1, le=512, description="Texts sent to Ollama in one request.")
    listed: int = Field(default=200, ge=1, description="Rows in one list result.")
    pull_confirm_gb: float = Field(
        default=5.0, ge=0, description="Gigabytes above which the user confirms a download (policy.pull)."
    )


class ToolSettings(SettingsSection):
    """Which tools are offered."""

    toolsets: list[str] = Field(
        default_factory=lambda: ["default"],
        description=f"Toolsets: {', '.join(TOOLSETS)}; 'all'; 'default' is {', '.join(DEFAULT_TOOLSETS)}, "
        "and web where OLLAMA_API_KEY or `web` is set.",
    )
    include: list[str] = Field(default_factory=list, description="Tools offered in addition to the toolsets.")
    exclude: list[str] = Field(
        default_factory=list, description="Tools that are not offered, even if listed elsewhere."
    )
    folders: list[str] = Field(default_factory=list, description="Folders with your own tool files (*.py).")
    always_load: list[str] = Field(
        default_factory=lambda: ["ollama_chat"],
        description="Tools that MCP hosts with tool search should always show to the model.",
    )

    @field_validator("include", "exclude", "always_load")
    @classmethod
    def _by_present_names(cls, names: list[str]) -> list[str]:
        return [OLD_TOOL_NAMES.get(name, name) for name in names]


class PromptSettings(SettingsSection):
    """Prompts in addition to the shipped ones."""

    folders: list[str] = Field(default_factory=list, description="Folders with your own prompt files (*.md).")


ConfirmationMode = Literal["ask", "confirm", "allow", "deny"]
"""How an operation is confirmed: by a form, by the argument `confirm` of a second call, not at all, or never."""


class PolicySettings(SettingsSection):
    """What may be done to models, and how the user confirms it.

    `ask` shows the user a form; where the client cannot show one, it accepts `confirm: true` after a first result that
    says what would happen. `confirm` always requires that argument, `allow` asks nobody, and `deny` refuses.
    """

    delete: ConfirmationMode = Field(default="ask", description="Deleting a model: ask, confirm, allow or deny.")
    overwrite: ConfirmationMode = Field(
        default="ask", description="Replacing a model that this server did not make, by create, copy or pull: likewise."
    )
    push: ConfirmationMode = Field(
        default="ask", description="Publishing a model: likewise, but 'ask' refuses if no form can be shown."
    )
    pull: ConfirmationMode = Field(default="ask", description="Downloading more than limits.pull_confirm_gb: likewise.")
    unload: ConfirmationMode = Field(
        default="ask", description="Unloading a model that another call is using: likewise."
    )
    cloud_images: Literal["allow", "deny"] = Field(
        default="deny", description="Sending images and sounds to a model on ollama.com: allow or deny."
    )
    cloud_files: Literal["allow", "deny"] = Field(
        default="deny", description="Sending the text of files to a model on ollama.com: allow or deny."
    )
    cloud_batch: Literal["allow", "deny"] = Field(
        default="deny", description="Using a model on ollama.com in ollama_batch: allow or deny."
    )
    num_predict: int = Field(
        default=0, ge=0, description="Most tokens of an answer, also where a call names none; 0: no maximum."
    )
    num_ctx: int = Field(default=0, ge=0, description="Largest context that a call may ask for; 0: no maximum.")
    keep_alive: str | float | None = Field(
        default=None, description="Longest keep_alive that a call may ask for ('1h', seconds); null: no maximum."
    )
    answer_seconds: float = Field(default=600.0, gt=0, description="Seconds that a form waits for the user's answer.")
    registries: list[str] = Field(
        default_factory=lambda: ["registry.ollama.ai", "hf.co", "huggingface.co"],
        description="Registry hosts that a model name may contain in pull, push, create and copy.",
    )
    insecure_registries: list[str] = Field(
        default_factory=list, description="Listed registries that may be used without TLS verification (`insecure`)."
    )


class JobSettings(SettingsSection):
    """Long calls that continue as jobs after their first result."""

    call_seconds: float = Field(
        default=0.0, ge=0, description="Seconds after which a long call continues as a job; 0: depends on the client."
    )
    grace_seconds: float = Field(
        default=10.0,
        ge=0,
        description="Seconds after which a call becomes a task of a client that declares MCP Tasks; chat and generate "
        "do so when the client would wait no longer.",
    )
    limit: int = Field(default=20, ge=1, description="Jobs that run at once; the same number of finished ones is kept.")
    resume: Literal["auto", "ask", "off"] = Field(
        default="auto",
        description="Jobs of a server that ended: 'auto' continues what repeats nothing but time, 'ask' waits for "
        "ollama_job(action='resume'), 'off' only keeps what there is.",
    )
    keep_seconds: float = Field(default=604_800.0, gt=0, description="Seconds that the result of a job is kept.")
    keep_cut_seconds: float = Field(
        default=86_400.0, gt=0, description="Seconds that the text of a cancelled call or job is kept."
    )
    keep_bytes: int = Field(default=20_000_000, ge=0, description="Approximate size of all kept results, in bytes.")


class WorkSettings(SettingsSection):
    """Work on many inputs."""

    parallel: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default=4,
        description="Requests of one call that are sent to Ollama at once; it queues what it cannot run. 'auto': as "
        "many as `tune` or the first large batch measured for the model, else 4.",
    )
    largest_gb: float = Field(
        default=16.0, gt=0, description="Largest model, in gigabytes on disk, that is chosen where a call names none."
    )
    judge_seconds: float = Field(
        default=20.0, gt=0, description="Seconds in which `rerank` of ollama_search has places judged; the rest stays."
    )


class StoreSettings(SettingsSection):
    """What outlives a call, in one SQLite file: checkpoints, embeddings, token estimates, counters.

    Several servers share it in a PostgreSQL database, but for what is known of searched files: that stays in the file
    of each machine. Vectors and words are found by the text that they are of, whichever machine it lies on.
    """

    path: str = Field(
        default="",
        description="The file; empty: store.sqlite3 in the user's data folder; ':memory:': nothing is kept on disk.",
    )
    url: str = Field(
        default="",
        description="A PostgreSQL database in place of the file, postgresql://user@host/database (extra `fleet`).",
    )
    usage: bool = Field(
        default=True, description="Count calls and tokens by model; the counts never leave this machine."
    )
    embeddings_mb: int = Field(
        default=1_000, ge=1, description="Megabytes of embeddings and words that are kept; the least used go first."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be the address of a postgresql database, such as postgresql://user@host/database")
        return value


class StateSettings(SettingsSection):
    """What several replicas that serve the same clients have in common."""

    secret: str = Field(
        default="",
        description="Where the secret of all replicas is, 'env:NAME' or 'file:PATH': each can then go on with a "
        "confirmation that another began. With `store.url` they have one in that database.",
    )

    @field_validator("secret")
    @classmethod
    def _check_reference(cls, value: str) -> str:
        if value and not value.startswith(("env:", "file:")):
            raise ValueError("must say where the secret is, as env:... or file:..., and not be the secret itself")
        return value


class HttpSettings(SettingsSection):
    """Where streamable HTTP and SSE are served, to whom, and the limits of one client.

    A client is a token or, without tokens, an address: all programs on this machine that connect from 127.0.0.1 then
    share its limits.
    """

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; any other than loopback needs tokens (docs/team.md)."
    )
    insecure_no_auth: bool = Field(
        default=False, description="Listen on any address without tokens: whoever reaches the port may do everything."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 chooses a free one.")
    socket: str = Field(default="", description="Path of a Unix socket (mode 0600) to listen on instead of a port.")
    tls_certificate: str = Field(
        default="", description="PEM file with the certificate, and those up to its CA; with one, https is served."
    )
    tls_key: str = Field(default="", description="PEM file with its key; empty: in the file of the certificate.")
    behind_proxy: list[IPvAnyNetwork] = Field(
        default_factory=list[IPvAnyNetwork],
        description="Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto count, such as '127.0.0.1'.",
    )
    stateless: bool = Field(default=False, description="Serve streamable HTTP without sessions.")
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Accepted Host headers in addition to the loopback names and the address that was connected to, "
        "with or without a port.",
    )
    allowed_origins: list[str] = Field(
        default_factory=list, description="Web origins whose pages may connect, such as 'http://localhost:6274'."
    )
    body_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Seconds for a request's body to arrive; large bodies get one more per 256 KiB.",
    )
    gone_seconds: float = Field(
        default=5.0, ge=0, description="Seconds after which the call of a disconnected client is cancelled."
    )
    session_seconds: float = Field(default=1800.0, gt=0, description="Seconds after which an idle session ends.")
    max_sessions: int = Field(default=500, ge=1, description="Sessions open per client.")
    max_streams: int = Field(default=200, ge=1, description="Event streams (GET) open per client.")
    max_calls: int = Field(default=1_000, ge=1, description="Calls in flight per client.")
    max_unfinished: int = Field(default=100, ge=1, description="Requests per client whose body has not arrived yet.")


class Settings(SettingsSection):
    """All settings of one server process."""

    host: str = Field(
        default="", description="Address of Ollama, in the format of OLLAMA_HOST; empty: http://127.0.0.1:11434."
    )
    api_key: str = Field(
        default="", description="Key sent to this host as a bearer token, for an Ollama behind a proxy."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Extra headers sent to this host.")
    ca_file: str = Field(default="", description="PEM file with the certificates to trust for an https host.")
    hosts: dict[HostName, HostSettings] = Field(
        default_factory=dict,
        description="Several Ollama hosts by name (docs/hosts.md), in place of host, api_key, headers and ca_file.",
    )
    autostart: bool = Field(
        default=False, description="Start Ollama (`ollama serve`) where a host on this machine refuses the connection."
    )
    read_only: bool = Field(
        default=False, description="Offer only tools that change nothing; overrides every other setting."
    )
    network: Literal["full", "registry", "off"] = Field(
        default="full",
        description="Whom this server, and Ollama for it, may reach beside the hosts: 'full': whoever the other "
        "settings allow; 'registry': only policy.registries, to download models; 'off': nobody. Without 'full' "
        "there are no cloud models, web tools, URLs or push.",
    )
    web: bool = Field(
        default=False, description="Offer ollama_web_search and ollama_web_fetch through a signed-in Ollama."
    )
    defaults: DefaultSettings = Field(default_factory=DefaultSettings)
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    tools: ToolSettings = Field(default_factory=ToolSettings)
    prompts: PromptSettings = Field(default_factory=PromptSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    work: WorkSettings = Field(default_factory=WorkSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    tracing: bool = Field(
        default=False,
        description="Send OpenTelemetry spans where the OTEL_ variables say (extra `otel`; docs/observability.md).",
    )
    images: ImageSettings = Field(default_factory=ImageSettings)
    audio: AudioSettings = Field(default_factory=AudioSettings)
    read: ReadSettings = Field(default_factory=ReadSettings)
    write: WriteSettings = Field(default_factory=WriteSettings)
    urls: UrlSettings = Field(default_factory=UrlSettings)
    uploads: UploadSettings = Field(default_factory=UploadSettings)
    transport: Literal["stdio", "http", "sse"] = Field(
        default="stdio", description="How MCP clients reach this server."
    )
    http: HttpSettings = Field(default_factory=HttpSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    principals: dict[str, PrincipalSettings] = Field(
        default_factory=dict,
        description="What each token or subject may use, by name, and '*' for all others (docs/team.md).",
    )
    cache: bool = Field(
        default=True, description="Keep what a start over stdio answers, so that the next one answers at once."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="What is logged on stderr."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How it is logged: a line, or a JSON object."
    )

    @property
    def is_observed(self) -> bool:
        """Whether anything is told of the server's work beside its log."""
        return self.ledger.enabled or self.metrics.are_kept or self.tracing

    @property
    def effective_urls(self) -> UrlSettings:
        """The settings of URLs as `network` leaves them."""
        return self.urls if self.network == "full" else self.urls.model_copy(update={"enabled": False})
