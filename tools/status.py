"""The state of the Ollama host; answers even when the host does not."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, WithJsonSchema

from ollama_mcp import READS, Call, Data, __version__, tool
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.hosts.holes import warnings
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.text import size
from ollama_mcp.store import Tally, UsageRow

# So many models are named in a span of time; the sums hold all.
MODELS_SHOWN = 20


class HostStatus(BaseModel):
    """One Ollama host."""

    name: str
    url: str
    reachable: bool
    version: str | None = None
    cloud: str | None = None
    installed: int | None = None
    disk_bytes: int | None = None
    loaded: list[str] | None = None
    warnings: list[str] | None = None
    problem: str | None = None


class Counts(BaseModel):
    """What models did: answers given, tokens read and written, those read from files that the agent never saw."""

    calls: int
    prompt_tokens: int
    tokens: int
    file_tokens: int
    seconds: float


class ModelCounts(Counts):
    """What one model did."""

    model: str


class Span(BaseModel):
    """What was done in a span of time by local models; what ollama.com did is apart, and in none of those sums."""

    local: Counts | None = None
    local_models: list[ModelCounts] | None = None
    cloud: Counts | None = None
    cloud_models: list[ModelCounts] | None = None


# Written out, the counts would be most of what the list of tools says of this one.
ShortSpan = Annotated[
    Span, WithJsonSchema({"type": "object", "properties": {"local": {"type": "object"}, "cloud": {"type": "object"}}})
]


class Usage(BaseModel):
    """What was done since this server started, and in all; nothing of it where counting is off."""

    counted: bool
    this_run: ShortSpan | None = None
    in_all: ShortSpan | None = None


class Status(Data):
    """All hosts, and this server's own state."""

    server_version: str
    hosts: list[HostStatus]
    read_only: bool
    usage: Usage

    def as_text(self) -> str:
        lines = [_line(host) for host in self.hosts]
        lines.append(f"ollama-mcp-server {self.server_version}{', read-only' if self.read_only else ''}")
        return "\n".join([*lines, *_usage_lines(self.usage)])


@tool(title="Show Ollama's status", toolset="system", hints=READS)
async def ollama_status(call: Call) -> Status:
    """Call this first when another tool fails: whether Ollama answers, its version, how many models are installed and
    loaded, the cloud's state; free.
    """
    host, usage = await asyncio.gather(_ask(call), _usage(call))
    return Status(server_version=__version__, hosts=[host], read_only=call.settings.read_only, usage=usage)


async def _ask(call: Call) -> HostStatus:
    client = call.client
    try:
        version = await client.version()
        installed, loaded, cloud = await asyncio.gather(client.tags(), client.ps(), _cloud(call))
    except OllamaMCPError as error:
        return HostStatus(name=client.name, url=client.base_url, reachable=False, problem=failure_text(error))
    return HostStatus(
        name=client.name,
        url=client.base_url,
        reachable=True,
        version=version,
        cloud=cloud,
        installed=len(installed),
        disk_bytes=sum(model.size for model in installed),
        loaded=[model.name for model in loaded],
        warnings=warnings(await client.server()) or None,
    )


async def _cloud(call: Call) -> str | None:
    try:
        status = await call.client.status()
    except OllamaMCPError:
        return None
    return "disabled" if status.disabled else "enabled"


async def _usage(call: Call) -> Usage:
    totals = await call.store.usage.totals()
    if not totals.enabled:
        return Usage(counted=False)
    return Usage(counted=True, this_run=_span(totals.run), in_all=_span(totals.ever))


def _span(tally: Tally) -> Span | None:
    """The counts of a span of time; None where nothing was done."""
    if not tally.local and not tally.cloud:
        return None
    return Span(
        local=_counts(tally.local_sum) if tally.local else None,
        local_models=[_model(row) for row in tally.local[:MODELS_SHOWN]] or None,
        cloud=_counts(tally.cloud_sum) if tally.cloud else None,
        cloud_models=[_model(row) for row in tally.cloud[:MODELS_SHOWN]] or None,
    )


def _counts(row: UsageRow) -> Counts:
    return Counts(
        calls=row.calls,
        prompt_tokens=row.prompt_tokens,
        tokens=row.tokens,
        file_tokens=row.file_tokens,
        seconds=round(row.seconds, 1),
    )


def _model(row: UsageRow) -> ModelCounts:
    return ModelCounts(model=row.model, **_counts(row).model_dump())


def _usage_lines(usage: Usage) -> list[str]:
    """What was done, in a line; nothing where there is nothing to tell."""
    if not usage.counted:
        return ["Usage is not counted (setting store.usage)."]
    this_run, in_all = usage.this_run, usage.in_all
    parts = [f"this run: {_said(this_run)}"] if this_run is not None else []
    parts += [f"in all: {_said(in_all)}"] if in_all is not None and in_all != this_run else []
    words = "; ".join(parts)
    return [f"{words[0].upper()}{words[1:]}."] if words else []


def _said(span: Span) -> str:
    local, cloud = span.local, span.cloud
    parts: list[str] = []
    if local is not None:
        parts.append(f"{_calls(local)}, {local.tokens:,} tokens written")
        parts += [f"{local.file_tokens:,} read from files you did not see"] if local.file_tokens else []
    parts += [f"on ollama.com {_calls(cloud)}, {cloud.tokens:,} tokens written"] if cloud is not None else []
    return ", ".join(parts)


def _calls(counts: Counts) -> str:
    return "1 call" if counts.calls == 1 else f"{counts.calls:,} calls"


def _line(host: HostStatus) -> str:
    if not host.reachable:
        return f"{host.name} ({host.url}) does not answer: {host.problem}"
    loaded = ", ".join(host.loaded or []) or "none"
    cloud = f", cloud {host.cloud}" if host.cloud else ""
    state = (
        f"{host.name} ({host.url}): Ollama {host.version}, {host.installed} models installed "
        f"({size(host.disk_bytes)}), loaded: {loaded}{cloud}"
    )
    return "\n".join([state, *(f"warning: {warning}" for warning in host.warnings or [])])
