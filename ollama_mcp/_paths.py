"""Where the shipped tools/, prompts/ and config.json lie.

In a wheel they are inside this package; in a checkout (and so in an editable install) they are the top-level folders
beside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Path of a shipped folder or file.

    Raises:
        FileNotFoundError: It is in neither place; both are named.
    """
    inside = _PACKAGE / name
    if inside.exists():
        return inside
    root = _PACKAGE.parent
    # The markers keep a stray site-packages/tools of another distribution out.
    if (root / "ollama_mcp_server.py").exists() and (root / "pyproject.toml").exists() and (root / name).exists():
        return root / name
    raise FileNotFoundError(f"{name} is neither in {inside} nor in a checkout at {root / name}; reinstall the package")


def user_config_file() -> Path:
    """The user's own config file, whether it exists or not."""
    from platformdirs import user_config_path

    return user_config_path("ollama-mcp-server", appauthor=False) / "config.json"
