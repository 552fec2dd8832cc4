"""Every setting: its section, type, limits and meaning. Defaults live here and, the same, in config.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ollama_mcp.settings.access import AudioSettings, ImageSettings, ReadSettings, UrlSettings, WriteSettings
from ollama_mcp.settings.http import HttpSettings

Toolset = Literal["inference", "models", "work", "system", "blobs", "web", "legacy"]
TOOLSETS: tuple[str, ...] = ("inference", "models", "work", "system", "blobs", "web", "legacy")
DEFAULT_TOOLSETS: tuple[str, ...] = ("inference", "models", "work", "system")


class Section(BaseModel):
    """A group of settings; unknown names in it are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Defaults(Section):
    """What a call gets when it does not say."""

    model: str = Field(default="", description="Model for every task that has none of its own.")
    chat: str = Field(default="", description="Model for ollama_chat.")
    generate: str = Field(default="", description="Model for ollama_generate.")
    embed: str = Field(default="", description="Model for ollama_embed.")
    vision: str = Field(default="", description="Model for chat and generate when images are given.")
    decide: str = Field(default="", description="Model for ollama_decide.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Model options sent with every chat and generate."
    )
    keep_alive: str | float | None = Field(
        default=None, description="How long models stay loaded ('10m', seconds, -1 for ever); null leaves it to Ollama."
    )


class Timeouts(Section):
    """Time limits towards Ollama, in seconds; 0 is no limit."""

    connect: float = Field(default=5.0, ge=0.1, le=600, description="Seconds to reach the Ollama host.")
    first_byte: float = Field(
        default=0.0, ge=0, description="Seconds until an answer begins (loading and queueing count); 0 waits."
    )
    idle: float = Field(default=300.0, ge=0, description="Seconds between two pieces of an answer; 0 waits.")
    quick: float = Field(default=30.0, ge=1, description="Seconds for calls that do no work: version, list, show.")


class Limits(Section):
    """Sizes that a call may have."""

    num_ctx: int = Field(
        default=32_768, ge=512, description="Largest context in tokens that is asked for where a call names none."
    )
    files: int = Field(default=500, ge=1, description="Files in one call; a batch takes any number.")
    file_bytes: int = Field(default=20_000_000, ge=1_000, description="Bytes of one text file or document.")
    passages: int = Field(default=200_000, ge=1, description="Passages that one ollama_rank call searches.")
    questions: int = Field(default=64, ge=1, le=64, description="Questions in one ollama_decide call.")

    answer_chars: int = Field(
        default=40_000, ge=1_000, description="Characters of text in one result; the rest is cut with a note."
    )
    prompt_bytes: int = Field(
        default=50_000_000, ge=1_000, description="Bytes of text in one call's prompt or messages."
    )
    messages: int = Field(default=2_000, ge=1, description="Messages in one chat call.")
    tools: int = Field(default=128, ge=1, description="Tools given to the model in one chat call.")
    embed_inputs: int = Field(default=10_000, ge=1, description="Texts in one ollama_embed call.")
    embed_chunk: int = Field(default=64, ge=1, le=512, description="Texts sent to Ollama in one request.")
    listed: int = Field(default=200, ge=1, description="Rows in one list result.")
    pull_confirm_gb: float = Field(
        default=5.0, ge=0, description="Gigabytes above which a download is confirmed by the user (policy.pull)."
    )


class Tools(Section):
    """Which tools are offered."""

    toolsets: list[str] = Field(
        default_factory=lambda: ["default"],
        description=f"Toolsets: {', '.join(TOOLSETS)}; 'all'; 'default' is {', '.join(DEFAULT_TOOLSETS)}, "
        "and web where OLLAMA_API_KEY or `web` is set.",
    )
    include: list[str] = Field(default_factory=list, description="Single tools beside the toolsets.")
    exclude: list[str] = Field(default_factory=list, description="Tools left out, whatever offers them.")
    folders: list[str] = Field(default_factory=list, description="Folders with your own tool files (*.py).")
    always_load: list[str] = Field(
        default_factory=lambda: ["ollama_chat"],
        description="Tools that a host which searches for tools should always show to the model.",
    )


class Prompts(Section):
    """Prompts beside the shipped ones."""

    folders: list[str] = Field(default_factory=list, description="Folders with your own prompt files (*.md).")


Answering = Literal["ask", "confirm", "allow", "deny"]
"""How the user's yes is had: by a form, by the argument `confirm` of a second call, not at all, or never."""


class Policy(Section):
    """What may be done to models, and how the user's yes is had.

    `ask` shows the user a form, and where the client can show none takes `confirm: true` after a first answer that
    says what would happen; `confirm` takes that argument always; `allow` asks nobody; `deny` refuses.
    """

    delete: Answering = Field(default="ask", description="Deleting a model: ask, confirm, allow or deny.")
    overwrite: Answering = Field(
        default="ask", description="Creating or copying over a model that this server did not make: likewise."
    )
    push: Answering = Field(
        default="ask", description="Publishing a model: likewise, but refused where 'ask' can show no form."
    )
    pull: Answering = Field(default="ask", description="Downloading more than is usual: likewise.")
    unload: Answering = Field(default="ask", description="Unloading a model that another call uses: likewise.")
    cloud_images: Literal["allow", "deny"] = Field(
        default="deny", description="Whether images and sounds may go to a model that runs on ollama.com."
    )
    cloud_files: Literal["allow", "deny"] = Field(
        default="deny", description="Whether the text of files may go to a model that runs on ollama.com."
    )
    cloud_batch: Literal["allow", "deny"] = Field(
        default="deny", description="Whether ollama_batch may use a model that runs on ollama.com."
    )
    answer_seconds: float = Field(default=600.0, gt=0, description="Seconds that a form waits for the user's answer.")
    registries: list[str] = Field(
        default_factory=lambda: ["registry.ollama.ai", "hf.co", "huggingface.co"],
        description="Hosts that a model name may point to in pull, push, create and copy.",
    )
    insecure_registries: list[str] = Field(
        default_factory=list, description="Listed registries that may be reached without TLS checks (`insecure`)."
    )


class Jobs(Section):
    """Long calls that go on after their answer."""

    call_seconds: float = Field(
        default=0.0, ge=0, description="Seconds after which a long call goes on as a job; 0 goes by the client."
    )
    limit: int = Field(default=20, ge=1, description="Jobs that run at once; as many ended ones are kept.")
    keep_seconds: float = Field(default=3_600.0, gt=0, description="Seconds that the result of a job is kept.")
    keep_cut_seconds: float = Field(
        default=600.0, gt=0, description="Seconds that the text of a cancelled call or job is kept."
    )
    keep_bytes: int = Field(default=20_000_000, ge=0, description="About how much all kept results may take.")


class Work(Section):
    """Work on many inputs."""

    parallel: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Requests of one call that Ollama has at once; it queues what it cannot run.",
    )
    largest_gb: float = Field(
        default=16.0, gt=0, description="Largest model, in gigabytes on disk, that is chosen where a call names none."
    )


class Store(Section):
    """What outlives a call, in one SQLite file: checkpoints, embeddings, token estimates, counters."""

    path: str = Field(
        default="",
        description="The file; empty: store.sqlite3 in the user's data folder; ':memory:' keeps nothing on the disk.",
    )
    usage: bool = Field(
        default=True, description="Count calls and tokens by model; the counts never leave this machine."
    )
    embeddings_mb: int = Field(default=1_000, ge=1, description="Megabytes of embeddings that are kept.")


class Settings(Section):
    """All settings of one server process."""

    host: str = Field(
        default="", description="Address of Ollama, by OLLAMA_HOST's rules; empty is http://127.0.0.1:11434."
    )
    api_key: str = Field(
        default="", description="Key sent to this host as a bearer token, for an Ollama behind a proxy."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Extra headers sent to this host.")
    ca_file: str = Field(default="", description="PEM file with the certificates to trust for an https host.")
    read_only: bool = Field(
        default=False, description="Offer only tools that change nothing; wins over every other choice."
    )
    web: bool = Field(
        default=False, description="Offer ollama_web_search and ollama_web_fetch through a signed-in Ollama."
    )
    defaults: Defaults = Field(default_factory=Defaults)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    limits: Limits = Field(default_factory=Limits)
    tools: Tools = Field(default_factory=Tools)
    prompts: Prompts = Field(default_factory=Prompts)
    policy: Policy = Field(default_factory=Policy)
    jobs: Jobs = Field(default_factory=Jobs)
    work: Work = Field(default_factory=Work)
    store: Store = Field(default_factory=Store)
    images: ImageSettings = Field(default_factory=ImageSettings)
    audio: AudioSettings = Field(default_factory=AudioSettings)
    read: ReadSettings = Field(default_factory=ReadSettings)
    write: WriteSettings = Field(default_factory=WriteSettings)
    urls: UrlSettings = Field(default_factory=UrlSettings)
    transport: Literal["stdio", "http", "sse"] = Field(
        default="stdio", description="How MCP clients reach this server."
    )
    http: HttpSettings = Field(default_factory=HttpSettings)
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="What is logged on stderr."
    )
