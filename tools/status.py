"""The state of the Ollama host; answers even when the host does not."""

import asyncio

from pydantic import BaseModel

from ollama_mcp import READS, Call, Data, __version__, tool
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.hosts.holes import warnings
from ollama_mcp.server.failures import failure_text
from ollama_mcp.server.text import size


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


class Status(Data):
    """All hosts, and this server's own state."""

    server_version: str
    hosts: list[HostStatus]
    read_only: bool

    def as_text(self) -> str:
        lines = [_line(host) for host in self.hosts]
        return "\n".join([*lines, f"ollama-mcp-server {self.server_version}{', read-only' if self.read_only else ''}"])


@tool(title="Show Ollama's status", toolset="system", hints=READS)
async def ollama_status(call: Call) -> Status:
    """Call this first when another tool fails: whether Ollama answers, its version, how many models are installed and
    loaded, the cloud's state; free.
    """
    return Status(server_version=__version__, hosts=[await _ask(call)], read_only=call.settings.read_only)


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
