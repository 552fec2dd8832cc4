"""The state of the Ollama host and the usage so far; the tool succeeds even when the host is down."""

import asyncio
from dataclasses import replace

from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from ollama_mcp import READS, Call, Data, __version__, tool
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.escaping import MAX_NOTE_LENGTH, escape
from ollama_mcp.hosts.vulnerabilities import version_warnings
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.formatting import format_bytes
from ollama_mcp.server.usage_report import UsageCounts, UsagePeriod, UsageReport, usage_report


class HostStatus(BaseModel):
    """One Ollama host."""

    name: str
    url: str
    reachable: bool
    ollama_version: str | None = None
    lacks: list[str] | None = None
    cloud: str | None = None
    installed: int | None = None
    disk_bytes: int | None = None
    loaded: list[str] | None = None
    warnings: list[str] | None = None
    problem: str | None = None
    # Only where there are several hosts or processes, so that the schema does not name them.
    tags: SkipJsonSchema[list[str] | None] = None
    in_flight: SkipJsonSchema[int | None] = None
    others_in_flight: SkipJsonSchema[int | None] = None
    waiting: SkipJsonSchema[int | None] = None
    expected_wait_seconds: SkipJsonSchema[float | None] = None
    set_aside_seconds: SkipJsonSchema[float | None] = None
    last_error: SkipJsonSchema[str | None] = None


class StatusReport(Data):
    """All hosts, the usage, and the state of this server."""

    mcp_server_version: str
    hosts: list[HostStatus]
    read_only: bool
    usage: UsageReport

    def as_text(self) -> str:
        lines = [_host_line(host) for host in self.hosts]
        lines.append(f"ollama-mcp-server {self.mcp_server_version}{', read-only' if self.read_only else ''}")
        return "\n".join([*lines, *_usage_lines(self.usage)])


@tool(title="Show Ollama's status", toolset="system", hints=READS)
async def ollama_status(call: Call) -> StatusReport:
    """Check whether Ollama answers, when another tool fails: version, models installed and loaded, cloud state, usage.
    Free. Memory of loaded models: ollama_list_running.
    """
    calls = [replace(call, hosts=member) for member in call.hosts.members]
    hosts, usage = await asyncio.gather(asyncio.gather(*map(_host_status, calls)), usage_report(call.store))
    if len(calls) > 1 or calls[0].hosts.queue.others is not None:
        hosts = [_with_work(host, one) for host, one in zip(hosts, calls, strict=True)]
    return StatusReport(mcp_server_version=__version__, hosts=hosts, read_only=call.settings.read_only, usage=usage)


def _with_work(host: HostStatus, call: Call) -> HostStatus:
    """The status with what this server has sent there, and what it met."""
    member = call.hosts
    queue = member.queue
    aside = round(queue.health.seconds_left, 1) if queue.health.set_aside else None
    return host.model_copy(
        update={
            "tags": list(member.config.tags) or None,
            "in_flight": queue.sent,
            "others_in_flight": None if queue.others is None else sum(queue.others.sent.values()),
            "waiting": queue.waiting,
            "expected_wait_seconds": round(member.expected_wait, 1),
            "set_aside_seconds": aside,
            "last_error": queue.health.last_error or None,
        }
    )


async def _host_status(call: Call) -> HostStatus:
    # Imported with the first call, so that listing the tools stays fast.
    from ollama_mcp.api import Feature

    client = call.client
    lacking = {Feature.THINK: "thinking", Feature.LOGPROBS: "logprobs", Feature.SYSTEMONE: "decision models"}
    try:
        version = await client.current_version()
        installed, loaded, cloud = await asyncio.gather(client.tags(), call.hosts.running(), _cloud(call))
    except OllamaMCPError as error:
        return HostStatus(name=client.name, url=client.base_url, reachable=False, problem=failure_text(error))
    return HostStatus(
        name=client.name,
        url=client.base_url,
        reachable=True,
        ollama_version=str(version),
        lacks=[name for feature, name in lacking.items() if not version.supports(feature)] or None,
        cloud=cloud,
        installed=len(installed),
        disk_bytes=sum(model.size for model in installed),
        loaded=None if loaded is None else [model.name for model in loaded],
        warnings=version_warnings(version) or None,
    )


async def _cloud(call: Call) -> str | None:
    try:
        status = await call.client.status()
    except OllamaMCPError:
        # Servers before v0.16.2 have no such endpoint.
        return None
    return "disabled" if status.disabled else "enabled"


def _usage_lines(usage: UsageReport) -> list[str]:
    """The usage as one line; no line where there was none."""
    if not usage.counted:
        return ["Usage is not counted (setting store.usage)."]
    this_run, in_all = usage.this_run, usage.in_all
    parts = [f"this run: {_period_text(this_run)}"] if this_run is not None else []
    parts += [f"in all: {_period_text(in_all)}"] if in_all is not None and in_all != this_run else []
    words = "; ".join(parts)
    return [f"{words[0].upper()}{words[1:]}."] if words else []


def _period_text(span: UsagePeriod) -> str:
    local, cloud = span.local, span.cloud
    parts: list[str] = []
    if local is not None:
        parts.append(f"{_calls(local)}, {local.tokens:,} tokens written")
        parts += [f"{local.file_tokens:,} read from files that did not pass through you"] if local.file_tokens else []
    parts += [f"on ollama.com {_calls(cloud)}, {cloud.tokens:,} tokens written"] if cloud is not None else []
    return ", ".join(parts)


def _calls(counts: UsageCounts) -> str:
    return "1 call" if counts.calls == 1 else f"{counts.calls:,} calls"


def _work_text(host: HostStatus) -> str:
    """What this server does there, and others; "" where it is the only one, and there is one host only."""
    if host.in_flight is None:
        return ""
    others = "" if host.others_in_flight is None else f" (of other processes {host.others_in_flight})"
    parts = [
        f"in flight {host.in_flight}{others}, waiting {host.waiting}, expected wait {host.expected_wait_seconds:g} s"
    ]
    parts += [f"set aside for {host.set_aside_seconds:g} s"] if host.set_aside_seconds is not None else []
    parts += [f"last error: {escape(host.last_error, MAX_NOTE_LENGTH)}"] if host.last_error and host.reachable else []
    return "; " + "; ".join([*parts, *([f"tags: {', '.join(host.tags)}"] if host.tags else [])])


def _host_line(host: HostStatus) -> str:
    if not host.reachable:
        return f"{host.name} ({host.url}) does not answer: {host.problem}{_work_text(host)}"
    loaded = "unknown" if host.loaded is None else escape(", ".join(host.loaded), MAX_NOTE_LENGTH) or "none"
    cloud = f", cloud {host.cloud}" if host.cloud else ""
    lacks = f"; this version lacks {', '.join(host.lacks)}" if host.lacks else ""
    state = (
        f"{host.name} ({host.url}): Ollama {escape(host.ollama_version or '', 60)}, {host.installed} models installed "
        f"({format_bytes(host.disk_bytes)}), loaded: {loaded}{cloud}{lacks}{_work_text(host)}"
    )
    return "\n".join([state, *(f"warning: {escape(warning, MAX_NOTE_LENGTH)}" for warning in host.warnings or [])])
