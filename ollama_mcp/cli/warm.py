"""Keeps what a start answers, for `front`: by the command `warm`, and by itself after a first ordinary start."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.front import kept_file, read_kept, sealed, state_of

# After the rush of a start; sessions that end before then are none that a user waits for.
_QUIET_SECONDS = 3.0
_MOST_FILES = 32


def warm(options: argparse.Namespace) -> int:
    """Keep what a start with these options answers, and load once what it needs.

    Raises:
        InvalidArgument: The options are not those of a start over stdio.
        DiskError: The user's cache folder cannot be used.
    """
    from ollama_mcp.cli.options import check_stdio_options, cloud_key, load_from_options

    loaded = load_from_options(options)
    settings = loaded.settings
    if options.command != "serve" or settings.transport != "stdio" or not settings.cache:
        raise InvalidArgument(
            "warm prepares a start over stdio with kept answers.",
            next_step="After it, give the options that the host gives to the server.",
        )
    check_stdio_options(loaded)
    file = Path(kept_file(options.command_line))
    from ollama_mcp._paths import shipped_path, user_config_file

    shipped = [str(shipped_path(name)) for name in ("tools", "prompts", "config.json")]
    # Each is a folder with its files.
    shipped += [str(folder) for folder in shipped_path("skills").iterdir()]
    config = loaded.config_file or user_config_file()
    folders = [os.path.expanduser(folder) for folder in (*settings.tools.folders, *settings.prompts.folders)]
    watched = [*shipped, str(config), *folders]
    state = state_of(watched)  # before anything of it is loaded
    from ollama_mcp.server.sdk import import_sdk

    import_sdk(over_http=False)
    import anyio

    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.server.transports.start_answers import start_answers

    server = OllamaServer(settings, api_key=cloud_key(), allowed=loaded.config_file)
    kept = anyio.run(start_answers, server)
    importlib.import_module("ollama_mcp.api.client")  # as a first call does: this makes its bytecode
    if sys.platform == "win32":
        print("All that a start needs is there. On Windows no answers are kept.")
        return 0
    _write(file, {**kept, "watched": watched, "state": state})
    print(f"Starts with these options answer at once, from {file}")
    return 0


def keep_later(arguments: list[str]) -> None:
    """Run `warm` with these arguments in a process of its own, some seconds from now, if this one still serves then.

    Nothing is done where `warm` could not run the same way, or has no place to write.
    """
    words = sys.orig_argv[1:]
    start = words[: len(words) - len(arguments)]
    name = os.path.basename(start[-1]).partition(".")[0].replace("_", "-") if start else ""
    is_own = start[-2:] == ["-m", "ollama_mcp"] or name == "ollama-mcp-server"
    if sys.platform == "win32" or not is_own or words[len(start) :] != arguments:
        return
    timer = threading.Timer(_QUIET_SECONDS, _keep, [[sys.executable, *start, "warm", *arguments], arguments])
    timer.daemon = True
    timer.start()


def _keep(command: list[str], arguments: list[str]) -> None:
    file = kept_file(arguments)
    with suppress(OSError):
        _make_folder(os.path.dirname(file))
        if read_kept(file) is None:
            null = subprocess.DEVNULL
            process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null)
            os.setpriority(os.PRIO_PROCESS, process.pid, 19)
            process.wait()


def _write(file: Path, kept: dict[str, Any]) -> None:
    """Write a file whole or not at all, and remove the oldest where there are many.

    Raises:
        DiskError: The folder or the file cannot be written, or belongs to somebody else.
    """
    body = json.dumps(kept, ensure_ascii=False).encode()
    try:
        _make_folder(str(file.parent))
        descriptor, name = tempfile.mkstemp(dir=file.parent)  # mode 0600
        try:
            with open(descriptor, "wb") as stream:
                stream.write(sealed(str(file), body))
            os.replace(name, file)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        by_age = sorted(file.parent.glob("start-*.json"), key=lambda one: one.stat().st_mtime_ns)
        for old in by_age[:-_MOST_FILES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"{str(file)!r} cannot be written: {error.strerror}.", next_step="The server starts without it, as before."
        ) from None


def _make_folder(folder: str) -> None:
    """Make the folder in the user's cache folder.

    Raises:
        OSError: It cannot be made, or others can write in it.
    """
    for each in (os.path.dirname(folder), folder):
        with suppress(FileExistsError):
            os.mkdir(each, 0o700)
    found = os.lstat(folder)
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(13, "others can write in its folder")
