"""The server's instructions: what an agent should know before it sees any tool. Built from what is offered."""

from __future__ import annotations

import re
from collections.abc import Collection

from ollama_mcp.settings import Settings

MAX_CHARS = 1_200

# The toolset of each tool that is named below. The tools themselves are loaded later than `initialize` is answered.
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
    "ollama_evaluate": "work",
    "ollama_search": "work",
    "ollama_status": "system",
    "ollama_job": "system",
}
_CHANGING = frozenset(("ollama_pull_model", "ollama_delete_model", "ollama_batch"))
_TOOL_NAME = re.compile(r"\bollama_[a-z_]+")

# Some hosts search for tools by these words, and some cut them, so the kinds of task come first. A line that names a
# tool which is not offered is left out.
_LINES = (
    "Run local models through the user's Ollama: private text, files you need not read, bulk work, images, search by "
    "meaning, checked JSON, second opinions, managing models. Local models are free and private (cloud ones are not), "
    "but slow and fallible: check results. model may be left out.",
    "- Ask, over files and images (give paths), JSON by schema, tool calls: ollama_chat.",
    "- Label, score, yes/no: ollama_decide.",
    "- A prompt or questions over many rows, files or images: ollama_batch.",
    "- Find by words or meaning: ollama_search.",
    "- Similarity of texts: ollama_embed.",
    "- Raw templates, code fill-in: ollama_generate.",
    "- What is installed: ollama_list_models.",
    "- Best one: ollama_evaluate, ollama_compare.",
    "Listing, showing and status are free. A model's first call loads it, 5 to 60 s; a laptop writes 10 to 60 tokens a "
    "second.",
    "ollama_pull_model takes minutes; above {pull_gb} GB it is confirmed first.",
    "Deleting (ollama_delete_model), overwriting and publishing need the user's yes: on [needs_confirmation] ask, then "
    "repeat with confirm=true.",
    "Calls beyond your host's time limit become jobs: ollama_job.",
    "Errors name the next step. If nothing answers: ollama_status.",
)
_READ_ONLY = "Read-only: no tool here changes the host."
# Wording for clients that may not name files.
_REPLACEMENTS_WITHOUT_FILES = (
    ("text, files you need not read,", "text,"),
    ("over files and images (give paths)", "over images (as base64)"),
    ("rows, files or images", "texts"),
)
_GUIDES = "More: ollama://guides/options, .../errors, .../vision."


def may_name_files(settings: Settings) -> bool:
    """Whether clients may name files of this machine: over HTTP they may be on another one."""
    return settings.transport == "stdio" or settings.read.over_http


def build_instructions(toolsets: Collection[str], settings: Settings) -> str:
    """The text for `initialize`: at most 1,200 characters, the kinds of task first.

    Args:
        toolsets: The enabled toolsets.
        settings: For tools included or excluded by name, for read-only, and for whether clients may name files.
    """

    def is_offered(tool: str) -> bool:
        chosen = _TOOLSETS[tool] in toolsets or tool in settings.tools.include
        return chosen and tool not in settings.tools.exclude and not (settings.read_only and tool in _CHANGING)

    lines = [line for line in _LINES if all(is_offered(tool) for tool in _TOOL_NAME.findall(line))]
    if not may_name_files(settings):
        for words, instead in _REPLACEMENTS_WITHOUT_FILES:
            lines = [line.replace(words, instead) for line in lines]
    lines = [line.replace("{pull_gb}", f"{settings.limits.pull_confirm_gb:g}") for line in lines]
    return "\n".join([*lines, *([_READ_ONLY] if settings.read_only else []), _GUIDES])
