"""What helps an agent beside the tools: prompts, resources and completions, built when first asked for."""

from __future__ import annotations

from ollama_mcp.server.guidance.guided_server import GuidedServer, UpdateBus, notify_changes, register_guidance

__all__ = ["GuidedServer", "UpdateBus", "notify_changes", "register_guidance"]
