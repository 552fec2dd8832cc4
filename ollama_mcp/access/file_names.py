"""Which names a file of results may have: such as every system takes for an ordinary file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ollama_mcp.access.spelling import has_control_characters, is_device_name
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument, NotAllowed

SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".npy", ".md", ".txt"})
_LONGEST_NAME = 255
# What agents, editors and builds obey wherever it lies: text that a model wrote must not become their instructions.
STEERING = frozenset(
    {"agents.md", "claude.md", "claude.local.md", "gemini.md", "skill.md", "copilot-instructions.md", "conventions.md"}
    | {"mcp.json", "package.json", "package-lock.json", "tsconfig.json", "jsconfig.json", "composer.json"}
    | {"deno.json", "turbo.json", "vercel.json", "angular.json", "devcontainer.json", "settings.json", "tasks.json"}
    | {"launch.json", "config.json", "requirements.txt", "constraints.txt", "cmakelists.txt", "robots.txt"}
)


def check_name(text: str, suffixes: Sequence[str]) -> None:
    """Refuse a path of results by its text.

    Args:
        text: The path as the call gave it.
        suffixes: Endings that it may have; those among `SUFFIXES` count.

    Raises:
        InvalidArgument: Its ending is another, or a part of it is too long, has control characters or is the name of a
            device or a hidden stream of Windows.
        NotAllowed: Agents, editors or builds obey files of that name.
    """
    if has_control_characters(text):
        raise InvalidArgument(f"The path {quoted(text)} has control characters.", next_step="Give an ordinary name.")
    parts = text.strip().replace("\\", "/").split("/")
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise InvalidArgument(
            f"A name in {quoted(text)} is longer than {_LONGEST_NAME} bytes.", next_step="Give a shorter one."
        )
    # On every system: a path of results may be used on another.
    if ":" in parts[-1] or any(is_device_name(part) for part in parts):
        raise InvalidArgument(
            f"{quoted(text)} is a device or a hidden stream on Windows.", next_step="Give a name without ':'."
        )
    # Folded as macOS compares names: it takes "agent\u017f.md" for "agents.md".
    if parts[-1].casefold() in STEERING:
        raise NotAllowed(
            f"{quoted(text)} is a name that agents or builds obey; results are never written under it, by no setting.",
            next_step="Give another name.",
        )
    endings = [suffix for suffix in suffixes if suffix in SUFFIXES]
    if os.path.splitext(parts[-1])[1].lower() not in endings:
        raise InvalidArgument(
            f"{quoted(text)} is no name for these results: it must end in {' or '.join(endings)}.",
            next_step="Give a path with such an ending.",
        )
