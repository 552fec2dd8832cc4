"""The server's instructions: what an agent should know before it sees a single tool; built from the toolsets."""

from __future__ import annotations

from collections.abc import Collection

from ollama_mcp.settings import Settings

MOST_CHARS = 1_200


def instructions(toolsets: Collection[str], settings: Settings) -> str:
    """At most 1,200 characters, the kinds of task first: some hosts index them for tool search."""
    lines = [
        "Run local models through the user's Ollama: private text, bulk work, images, embeddings, second opinions, "
        "model management."
    ]
    if "inference" in toolsets:
        lines.append(
            "Ask a model with ollama_chat (the usual way; ollama_generate is for raw templates and code fill-in). "
            "Compare texts by meaning with ollama_embed. The first call loads the model, 5 to 60 s."
        )
    if "models" in toolsets:
        lines.append("ollama_list_models names what is installed and ollama_show_model what one can do; both are free.")
    if "system" in toolsets:
        lines.append("If anything fails, ollama_status says what the host is doing.")
    if "models" in toolsets and not settings.read_only:
        lines.append(
            "Downloading (ollama_pull_model) takes minutes and resumes when called again. Deleting and overwriting "
            "first answer what would happen; repeat with confirm=true only after the user agreed."
        )
    if settings.read_only:
        lines.append("Read-only: nothing on the host can be changed.")
    return "\n".join(lines)
