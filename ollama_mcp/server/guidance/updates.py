"""Tells clients which resources a tool has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.subscriptions import ResourceUpdated

if TYPE_CHECKING:
    from ollama_mcp.server.app import OllamaServer

_MODELS = ("ollama://models", "ollama://status")
_RUNNING = ("ollama://running", "ollama://status")
_USED = (*_RUNNING, "ollama://usage")
CHANGES: dict[str, tuple[str, ...]] = {
    "ollama_pull_model": _MODELS,
    "ollama_create_model": _MODELS,
    "ollama_copy_model": _MODELS,
    "ollama_delete_model": _MODELS,
    "ollama_load_model": _RUNNING,
    "ollama_unload_model": _RUNNING,
    # These load the model that they use.
    "ollama_chat": _USED,
    "ollama_generate": _USED,
    "ollama_embed": _USED,
    "ollama_embeddings": _USED,
    "ollama_batch": _USED,
    "ollama_compare": _USED,
    "ollama_decide": _USED,
    "ollama_rank": _USED,
}


async def changed(server: OllamaServer, tool_name: str) -> None:
    """Call after a tool has ended well: its changes reach prompts, completions and those who listen for updates.

    Clients of protocol 2026-07-28 hear of it where they listen; older ones cannot subscribe to a resource of ours.

    Args:
        server: The server that was called.
        tool_name: The tool.
    """
    uris = CHANGES.get(tool_name, ())
    if uris and "guidance" in server.__dict__:
        server.guidance.live.forget()
    for uri in uris:
        await server.updates.publish(ResourceUpdated(uri=uri))
