"""What this project is called and where it is found: every link, command and manifest takes it from here."""

from __future__ import annotations

NAME = "ollama-mcp-server"
OWNER = "OWNER"
"""The account of the repository; a placeholder, with which `make release` refuses to build."""
IS_PUBLISHED = False
"""Whether NAME on the Python package index is this project. On npm that name is another project's."""
REPOSITORY = f"https://github.com/{OWNER}/{NAME}"


def uvx_command() -> list[str]:
    """The command that runs the newest release, or before the first one the repository, with nothing installed."""
    return ["uvx", NAME] if IS_PUBLISHED else ["uvx", "--from", f"git+{REPOSITORY}", NAME]


def has_placeholder() -> bool:
    """Whether the address is not known yet."""
    return OWNER == "OWNER"
