"""Runs commands of this program in forks of one process that has imported it: `python serve.py SOCKET`.

Each connection brings a command: its three streams, then its words, of which the first is its module, its folder and
environment. It is told the process id, then the exit code. The connection's end kills a command that still runs; the
end of stdin ends this process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import NoReturn, cast

# What most commands import; the files of tools are loaded by each, as ever.
IMPORTED = (
    "anyio._backends._asyncio",
    "ollama_mcp.api.responses",
    "ollama_mcp.cli.ask",
    "ollama_mcp.cli.config",
    "ollama_mcp.cli.evaluate",
    "ollama_mcp.cli.jobs",
    "ollama_mcp.cli.ledger",
    "ollama_mcp.cli.options",
    "ollama_mcp.cli.output",
    "ollama_mcp.cli.progress_line",
    "ollama_mcp.cli.tools",
    "ollama_mcp.cli.work",
    "ollama_mcp.hosts.vulnerabilities",
    "ollama_mcp.server.app",
    "ollama_mcp.server.transfers",
    "ollama_mcp.server.transports.http",
    "ollama_mcp.server.transports.stdio",
    "ollama_mcp.server.usage_report",
    "ollama_mcp.work.chat.run",
    "ollama_mcp.work.decide.decider",
    "platformdirs.unix",
    "rich.logging",
    "sqlite3",
    "tests.transports.sample",
    "uvloop",
)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def serve(path: str) -> socket.socket:
    """Return the connection of a command in the process that is forked for it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)  # noqa: T201 - whoever started this waits for it
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if 0 in ready:
                raise SystemExit(0)
            connection, _ = listener.accept()
            if not os.fork():
                return connection
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def received(connection: socket.socket) -> tuple[list[str], str, dict[bytes, bytes], list[int]]:
    """The words of a command, its folder, its environment, and its streams."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    data = b""
    while len(data) < int.from_bytes(head, "big"):
        data += connection.recv(65_536)
    words, folder, variables = marshal.loads(data)
    return words, folder, variables, streams


def watched(connection: socket.socket, streams: list[int]) -> None:
    """Return in the process of the command; the one above it waits for its end and tells of it."""
    lives, ends = os.pipe()
    command = os.fork()
    if not command:
        return
    for descriptor in (ends, *streams):
        os.close(descriptor)
    connection.sendall(command.to_bytes(8, "big"))
    if connection in select.select([connection, lives], [], [])[0]:
        os.kill(command, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    try:
        connection.sendall(code.to_bytes(8, "big", signed=True))
    finally:
        os._exit(0)


def become(words: list[str], folder: str, variables: dict[bytes, bytes], streams: list[int]) -> str:
    """Give this process what the command was started with, as Python does when it starts; returns its module."""
    module, *words = words
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environb.clear()
    os.environb.update(variables)
    os.chdir(folder)
    given = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:] = [folder, *given, *(part for part in sys.path[1:] if part not in given)]
    sys.argv = [module, *words]
    sys.orig_argv = [sys.executable, "-m", module, *words]
    is_plain = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = sys.__stdout__ = _writer(1, "strict", is_plain=is_plain)
    sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace", is_plain=is_plain)
    return module


def _writer(number: int, errors: str, *, is_plain: bool) -> io.TextIOWrapper:
    raw = io.FileIO(number, "wb", closefd=False)
    if is_plain:
        return io.TextIOWrapper(cast("io.BufferedWriter", raw), encoding="utf-8", errors=errors, write_through=True)
    lines = number == 2 or os.isatty(number)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=lines)


def run(module: str) -> int:
    """Run a module as `python -m` does; returns its exit code."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    return 0


def end(code: int) -> NoReturn:
    """End this process as Python does, but for the objects, of which there are so many that freeing them takes long."""
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - waits for threads
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] - nothing else calls them without an end
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path[0] = ROOT
    for module in IMPORTED:
        # uvloop is not everywhere.
        with suppress(ImportError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    connection = serve(sys.argv[1])
    command = received(connection)
    watched(connection, command[-1])
    connection.close()
    end(run(become(*command)))
