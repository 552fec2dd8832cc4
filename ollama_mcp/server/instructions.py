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
    "ollama_pull_model": "models",
    "ollama_delete_model": "models",
    "ollama_batch": "work",
    "ollama_compare": "work",
    "ollama_decide": "work",
    "ollama_rank": "work",
    "ollama_status": "system",
    "ollama_job": "system",
}
_CHANGING = frozenset(("ollama_pull_model", "ollama_delete_model", "ollama_batch"))
_TOOL = re.compile(r"\bollama_[a-z_]+")

# Some hosts search for tools by these words, so the kinds of task come first; a line with a tool that is not offered
# is left out.
_LINES = (
    "Run local models through the user's Ollama: private text, files you need not read, bulk work, images, search by "
    "meaning, checked JSON, second opinions, managing models. Free and private, but slower, and small models err: "
    "check what comes back. model may be left out.",
    "- Ask, over files and images (give paths), JSON by schema, tool calls: ollama_chat.",
    "- Label, score, yes/no: ollama_decide.",
    "- A prompt or questions over many rows, files or images: ollama_batch.",
    "- Find passages by meaning: ollama_rank.",
    "- Similarity of a few texts: ollama_embed.",
    "- Raw templates, code fill-in: ollama_generate.",
    "- What is installed: ollama_list_models.",
    "- Which does it best: ollama_compare.",
    "Listing, showing and status are free. A model's first call loads it, 5 to 60 s; a laptop writes 10 to 60 tokens a "
    "second.",
    "Downloading (ollama_pull_model) takes minutes and needs the user's yes.",
    "Deleting (ollama_delete_model), overwriting and publishing need the user's yes: the first call says what would "
    "happen; confirm=true only after that.",
    "What outlasts your host's patience goes on: ollama_job.",
    "An error's text ends in the next step. If nothing answers: ollama_status.",
)
_READ_ONLY = "Read-only: nothing on the host can be changed."
# What is said instead to clients that may name no files.
_WITHOUT_FILES = (
    ("text, files you need not read,", "text,"),
    ("over files and images (give paths)", "over images (as base64)"),
    ("rows, files or images", "texts"),
)
_GUIDES = "More: ollama://guides/options, .../errors, .../vision."


def may_name_files(settings: Settings) -> bool:
    """Whether clients may name files of this machine at all."""
    return settings.transport == "stdio" or settings.read.over_http


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
    if not may_name_files(settings):
        for words, instead in _WITHOUT_FILES:
            lines = [line.replace(words, instead) for line in lines]
    return "\n".join([*lines, *([_READ_ONLY] if settings.read_only else []), _GUIDES])
