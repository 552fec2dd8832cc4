"""Checks on this machine: programs, settings, disk, folders, proxies."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_mcp import __version__
from ollama_mcp.cli.doctor.check import Check
from ollama_mcp.settings.load import iter_settings

if TYPE_CHECKING:
    from ollama_mcp.settings import LoadedSettings, Settings
    from ollama_mcp.store import Store

_SHIPPED = "shipped config.json"
_LOW_BYTES = 2_000_000_000
_PROXIES = ("http", "https", "all")


def check_versions() -> Check:
    """This server, Python, the MCP SDK and the system."""
    sdk = importlib.metadata.version("mcp")
    system = f"{platform.system()} {platform.release()}"
    return Check(
        "versions", f"ollama-mcp-server {__version__}, Python {platform.python_version()}, mcp {sdk}, {system}"
    )


def check_settings(loaded: LoadedSettings) -> Check:
    """Which settings differ from the shipped ones by whose will, without their values."""
    given = [f"{path} ({loaded.origins[path]})" for path, _ in iter_settings() if _is_given(loaded, path)]
    file = f"config file {loaded.config_file}" if loaded.config_file else "no config file"
    return Check("settings", f"{file}; set: {', '.join(given) or 'nothing'}")


def _is_given(loaded: LoadedSettings, path: str) -> bool:
    return loaded.origins.get(path, _SHIPPED) != _SHIPPED


def check_disk(store: Store) -> Iterator[Check]:
    """Room where this server keeps its store, and where a local Ollama keeps its models."""
    models = os.environ.get("OLLAMA_MODELS") or os.path.expanduser("~/.ollama/models")
    for what, folder in (("the store", store.path and store.path.parent), ("Ollama's models", Path(models))):
        if folder is None:
            continue
        there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
        if there is None or (what != "the store" and there != folder):
            continue
        free = shutil.disk_usage(there).free
        found = f"{free / 1e9:.1f} GB free for {what} ({folder})"
        if free < _LOW_BYTES:
            yield Check("disk", found, "warning", "Make room there.")
        else:
            yield Check("disk", found)


def check_folders(settings: Settings) -> Iterator[Check]:
    """Whether the folders of the settings can be used."""
    named = [(f"read.{name}", os.R_OK, getattr(settings.read, name)) for name in _READ_FOLDERS]
    named.append(("write.folders", os.W_OK, settings.write.folders))
    good: list[str] = []
    for setting, mode, folders in named:
        for folder in folders:
            path = os.path.expanduser(folder)
            if os.path.isdir(path) and os.access(path, mode | os.X_OK):
                good.append(f"{setting} {path}")
                continue
            why = "cannot be used by this user" if os.path.isdir(path) else "is no folder"
            yield Check("folders", f"{setting}: {path} {why}", "warning", f"Correct {setting}, or make the folder.")
    if good:
        yield Check("folders", ", ".join(good))
    else:
        yield Check("folders", "none is listed: `allow FOLDER` lets files be read from one, besides the project")


_READ_FOLDERS = ("text_folders", "image_folders", "upload_folders")


def check_proxies(url: str) -> Check:
    """Whether a proxy of the environment would catch what goes to Ollama."""
    host = urlsplit(url).hostname or ""
    proxies = urllib.request.getproxies_environment()
    caught = [name for name in _PROXIES if name in proxies]
    if not caught:
        return Check("proxies", "none is set")
    names = ", ".join(f"{name.upper()}_PROXY" for name in caught)
    if urllib.request.proxy_bypass(host):
        return Check("proxies", f"{names} is set, and NO_PROXY leaves {host} out")
    return Check(
        "proxies",
        f"{names} is set, and NO_PROXY does not leave {host} out: other programs send what is for Ollama to the proxy "
        "(this server does not)",
        "warning",
        f"Add {host} to NO_PROXY.",
    )
