"""Downloading models from a registry and publishing them."""

from typing import Annotated

from pydantic import Field

from ollama_mcp import DOWNLOADS, PUBLISHES, Call, Data, tool
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.server.pulls import Pull
from ollama_mcp.server.text import size
from ollama_mcp.server.transfers import follow
from ollama_mcp.server.types import Background, Confirm, ModelName

Insecure = Annotated[bool, Field(description="Without TLS checks; only for a registry listed in the settings.")]


class Transferred(Data):
    """A finished transfer."""

    model: str
    status: str
    size_bytes: int
    seconds: float
    note: str | None = None

    def as_text(self) -> str:
        done = f"{self.model}: {self.status}, {size(self.size_bytes)} in {shown_seconds(self.seconds)}."
        return f"{done}\n{self.note}" if self.note else done


@tool(title="Download a model", toolset="models", hints=DOWNLOADS)
async def ollama_pull_model(
    call: Call,
    model: Annotated[str, Field(description="Name in the registry, e.g. 'llama3.2:3b' or 'hf.co/user/repo:Q4_K_M'.")],
    insecure: Insecure = False,
    confirm: Confirm = False,
    background: Background = False,
) -> Transferred:
    """Download a model, or update an installed one. Takes minutes for gigabytes; ask the user first. When it was
    cancelled or interrupted, the same call goes on where it stopped.
    """
    call.check_registry(model, insecure=insecure)
    pull = Pull(call, model, insecure=insecure, confirmed=confirm)
    await pull.run()
    call.hosts.forget(model)
    transfer = pull.transfer
    return Transferred(
        model=model, status="downloaded", size_bytes=transfer.total, seconds=transfer.seconds, note=pull.note
    )


@tool(title="Publish a model", toolset="models", hints=PUBLISHES)
async def ollama_push_model(
    call: Call,
    model: ModelName,
    insecure: Insecure = False,
    confirm: Confirm = False,
    background: Background = False,
) -> Transferred:
    """Upload a model to its registry, where others may see it. The user is asked first; without a form it is refused
    unless the settings allow it.
    """
    call.check_policy("push")
    call.check_registry(model, insecure=insecure)
    found = await call.hosts.installed_model(model)
    await call.confirm(
        f"This publishes {found.name} ({size(found.size)}) under that name in its registry.",
        subject=f"{found.name} {found.digest}",
        confirmed=confirm,
        action="push",
    )
    transfer = await follow(call.client.push(model, insecure=insecure or None), call.progress, f"pushing {model}")
    return Transferred(model=model, status="published", size_bytes=transfer.total, seconds=transfer.seconds)
