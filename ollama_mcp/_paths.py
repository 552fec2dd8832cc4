"""Paths of the shipped tools/, prompts/, skills/ and config.json, and of the user's own settings and data files.

In a wheel the shipped files are inside this package. In a checkout, and so in an editable install, they are the
top-level folders beside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_APP_NAME = "ollama-mcp-server"


def shipped_path(name: str) -> Path:
    """Return the path of a shipped folder or file.

    Raises:
        FileNotFoundError: It is in neither place; the message names both.
    """
    inside = _PACKAGE / name
    if inside.exists():
        return inside
    root = own_checkout()
    if root is not None and (root / name).exists():
        return root / name
    raise FileNotFoundError(
        f"{name} is neither in {inside} nor in a checkout at {_PACKAGE.parent}; reinstall the package"
    )


def own_checkout() -> Path | None:
    """Return the checkout that this package runs from, as in an editable install; None if it is installed."""
    root = _PACKAGE.parent
    # The two marker files tell a checkout from site-packages, where another distribution may have installed a `tools`.
    is_checkout = (root / "ollama_mcp_server.py").exists() and (root / "pyproject.toml").exists()
    return root if is_checkout else None


def user_config_file() -> Path:
    """Return the path of the user's own config file, whether it exists or not."""
    # platformdirs is imported where it is needed: no listing of tools asks for these paths.
    from platformdirs import user_config_path

    return user_config_path(_APP_NAME, appauthor=False) / "config.json"


def default_store_file() -> Path:
    """Return the path of the store where the settings name none, whether it exists or not."""
    from platformdirs import user_data_path

    return user_data_path(_APP_NAME, appauthor=False) / "store.sqlite3"


def default_uploads_folder() -> Path:
    """Return the folder of files that clients sent where the settings name none, whether it exists or not."""
    return default_store_file().with_name("uploads")
