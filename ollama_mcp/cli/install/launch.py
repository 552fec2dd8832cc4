"""How a host starts this server the way it was itself started: by uvx, pipx, a virtual environment or a checkout."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ollama_mcp._paths import own_checkout
from ollama_mcp._project import NAME, uvx_command

_MODULE = "ollama_mcp"
_FILE = "ollama_mcp_server.py"
# What runs us; "npx ollama-mcp-server" is another project.
_RUNNERS = ("uv", "uvx", "pipx", NAME)


def own_words() -> list[str]:
    """The words that start this server in any working folder, each program by its absolute path.

    Environments that uvx and `pipx run` keep in a cache are not named, since they may be removed at any time.
    """
    environment = Path(sys.prefix)
    if environment.parent.name.startswith("archive-v"):
        source = _source()
        return [_program("uvx"), *(["--from", source, NAME] if source else uvx_command()[1:])]
    if "pipx" in environment.parts and environment.parent.name != "venvs" and shutil.which("pipx"):
        source = _source()
        return [_program("pipx"), "run", *(["--spec", source] if source else []), NAME]
    script = shutil.which(NAME, path=sysconfig.get_path("scripts"))
    if script is not None:
        return [os.path.abspath(script)]
    checkout = own_checkout()
    return [sys.executable, str(checkout / _FILE)] if checkout else [sys.executable, "-m", _MODULE]


def options_of(words: list[str]) -> list[str] | None:
    """The options that these words give to this server; None where they start something else."""
    if not words:
        return None
    runner = _base(words[0])
    if runner not in _RUNNERS and not runner.startswith("python"):
        return None
    if runner == NAME:
        return words[1:]
    for number, word in enumerate(words[1:], start=1):
        if (
            _base(word) in (NAME, _FILE)
            and words[number - 1] not in ("--from", "--spec", "--project", "--directory", "--with")
        ) or (word == _MODULE and words[number - 1] == "-m"):
            return words[number + 1 :]
    return None


def with_packages_of(old: list[str], program: list[str]) -> list[str]:
    """The words of a program, with what an entry that runs by uvx too has added by --with."""
    options = options_of(old)
    if options is None or {_base(old[0]), _base(program[0])} != {"uvx"}:
        return program
    words = old[: len(old) - len(options)]
    added = [part for at, word in enumerate(words) if word == "--with" for part in words[at : at + 2]]
    added += [word for word in words if word.startswith("--with=")]
    return [program[0], *added, *program[1:]]


def _base(word: str) -> str:
    return word.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None and os.environ.get("UV"):
        # uv names itself to what it starts, and uvx lies beside it.
        found = shutil.which(name, path=os.path.dirname(os.environ["UV"]))
    return os.path.abspath(found) if found else name


def _source() -> str:
    """Where this installation came from, as `--from` takes it; "" for an index."""
    text = None
    try:
        text = importlib.metadata.distribution(NAME).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return ""
    if text is None:
        return ""
    origin: dict[str, Any] = json.loads(text)
    url = str(origin["url"])
    if "vcs_info" in origin:
        version = origin["vcs_info"].get("requested_revision", "")
        return f"{origin['vcs_info']['vcs']}+{url}{'@' + version if version else ''}"
    return url2pathname(urlsplit(url).path) if url.startswith("file:") else url
