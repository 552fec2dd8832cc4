"""Downloading models from a registry, and publishing them there."""

from typing import Annotated

from pydantic import Field

from ollama_mcp import DOWNLOADS, PUBLISHES, Call, Data, tool
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.formats.model_names import DEFAULT_HOST, DEFAULT_NAMESPACE, parse_name
from ollama_mcp.server.formatting import format_bytes
from ollama_mcp.server.transfers import Pull, check_replaceable, follow_stream
from ollama_mcp.server.types import Background, Confirm, ModelName, RequiresSetting

Insecure = Annotated[bool, Field(description="Skip TLS checks; the settings must list the registry.")]


class Transferred(Data):
    """A finished transfer."""

    model: str
    status: str
    size_bytes: int
    seconds: float
    note: str | None = None

    def as_text(self) -> str:
        done = f"{self.model}: {self.status}, {format_bytes(self.size_bytes)} in {format_seconds(self.seconds)}."
        return f"{done}\n{self.note}" if self.note else done


@tool(title="Download a model", toolset="models", hints=DOWNLOADS)
async def ollama_pull_model(
    call: Call,
    model: Annotated[str, Field(description="Such as 'llama3.2:3b' or 'hf.co/user/repo:Q4_K_M'.")],
    insecure: Insecure = False,
    confirm: Confirm = False,
    background: Background = False,
) -> Transferred:
    """Download a model, or update an installed one. Takes minutes for gigabytes; ask the user first. After a cancel or
    an interruption the same call resumes.
    """
    call.check_registry(model, insecure=insecure)
    await check_replaceable(call, model, confirmed=confirm)
    pull = Pull(call, model, insecure=insecure, confirmed=confirm)
    await pull.run()
    call.hosts.invalidate(model)
    transfer = pull.transfer
    return Transferred(
        model=model, status="downloaded", size_bytes=transfer.total, seconds=transfer.seconds, note=pull.note
    )


@tool(title="Publish a model", toolset="models", hints=PUBLISHES)
async def ollama_push_model(
    call: Call,
    model: ModelName,
    insecure: Insecure = False,
    confirm: Annotated[Confirm, RequiresSetting("policy.push", on="confirm")] = False,
    background: Background = False,
) -> Transferred:
    """Publish a model in its registry, where others may see it. The user is asked first; without a form it is refused
    unless the settings allow it.
    """
    call.check_policy("push")
    call.check_registry(model, insecure=insecure)
    found = await call.hosts.installed_model(model)
    name = parse_name(model)
    consequence = f"This publishes {found.name} ({format_bytes(found.size)}) under that name at {name.host}."
    if name.host == DEFAULT_HOST and name.namespace == DEFAULT_NAMESPACE:
        consequence += f" Without a namespace of the user's own (USER/{found.name}, see ollama_copy_model) it refuses."
    await call.confirm(
        consequence,
        subject=f"{found.name} {found.digest}{' insecure' if insecure else ''}",
        confirmed=confirm,
        action="push",
    )
    transfer = await follow_stream(
        call.client.push(model, insecure=insecure or None), call.progress, f"pushing {model}"
    )
    return Transferred(model=model, status="published", size_bytes=transfer.total, seconds=transfer.seconds)
