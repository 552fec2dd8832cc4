"""The server's instructions: what an agent should know before it sees a single tool; built from what is offered."""

from __future__ import annotations

import re
from collections.abc import Collection

from ollama_mcp.settings import Settings

MOST_CHARS = 1_200

# Toolset of each tool that is named below: the tools themselves are loaded only when they are asked for.
_TOOLSETS = {
    "ollama_chat": "inference",
    "ollama_generate": "inference",
    "ollama_embed": "inference",
    "ollama_list_models": "models",
    "ollama_show_model": "models",
    "ollama_pull_model": "models",
    "ollama_delete_model": "models",
    "ollama_status": "system",
    "ollama_job": "system",
}
_CHANGING = frozenset(("ollama_pull_model", "ollama_delete_model"))
_TOOL = re.compile(r"\bollama_[a-z_]+")

# Some hosts search for tools by these words, so the kinds of task come first; a line with a tool that is not offered
# is left out.
_LINES = (
    "Run local models through the user's Ollama: private text, bulk work, images, embeddings, checked JSON, second "
    "opinions, model management. It is free and private, but slower, and small models err: check what comes back.",
    "- Text, images (give paths), JSON by schema (format), tool calls: ollama_chat.",
    "- Texts by meaning: ollama_embed with an embedding model.",
    "- Raw templates and code fill-in only: ollama_generate.",
    "- Which model: ollama_list_models names what is installed, by capability on request.",
    "- What one can do: ollama_show_model.",
    "Listing, showing and status are free. The first call to a model loads it, 5 to 60 s; a laptop writes 10 to 60 "
    "tokens a second.",
    "Downloading (ollama_pull_model) takes minutes, resumes when called again and needs the user's yes.",
    "Deleting (ollama_delete_model), overwriting and publishing need it too: the first call answers what would happen; "
    "repeat it with confirm=true only after the user agreed.",
    "A call that outlasts your host's patience goes on as a job: ollama_job gets the rest.",
    "An error's text ends in the next step. If nothing answers: ollama_status.",
)
_READ_ONLY = "Read-only: nothing on the host can be changed."
# Clients on HTTP may name no files.
_BY_PATH, _INLINE = "(give paths)", "(as base64)"
_GUIDES = "More: resources ollama://guides/options, .../errors, .../vision."


def instructions(toolsets: Collection[str], settings: Settings) -> str:
    """At most 1,200 characters, the kinds of task first.

    Args:
        toolsets: The enabled toolsets.
        settings: For single tools that are included or excluded, and for read-only.
    """

    def is_offered(tool: str) -> bool:
        chosen = _TOOLSETS[tool] in toolsets or tool in settings.tools.include
        return chosen and tool not in settings.tools.exclude and not (settings.read_only and tool in _CHANGING)

    lines = [line for line in _LINES if all(is_offered(tool) for tool in _TOOL.findall(line))]
    if settings.transport != "stdio":
        lines = [line.replace(_BY_PATH, _INLINE) for line in lines]
    return "\n".join([*lines, *([_READ_ONLY] if settings.read_only else []), _GUIDES])
