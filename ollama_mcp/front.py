"""Answers a client on stdio from kept answers while the server loads, then hands the pipe over to it.

Importing the MCP SDK takes most of a start, and some hosts do not wait for it. What a start answers depends on this
program, its settings and its tool and prompt files, never on Ollama; so it is kept in the user's cache folder, by
`cli/warm.py`. Where anything differs from when it was kept, the start is the ordinary one.

Only messages whose answer is certain are answered here. The first other one, and all after it, wait for the server. It
gets the bytes from there on, after the lines that began the session, whose answer it must not repeat. Nothing is
imported but a few modules of the standard library: more would delay the first answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import stat
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    # Serves the bytes that were received; the number is that of the answers to them which the client has already.
    Serve = Callable[[bytes, int], int]

PREFIX = '{"jsonrpc":"2.0","id":'  # how an answer begins; its id follows, then what is kept
_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_VARIABLES = ("OLLAMA", "PYTHON", "PYDANTIC", "XDG_CONFIG_HOME", "HOME")
_MAX_FILE_BYTES, _MAX_LINE_BYTES = 8_000_000, 65_536
# In these Python and the server do not read JSON alike: half a surrogate pair, and what is no JSON at all.
_UNCERTAIN = (b"\\u", b"NaN", b"Infinity")
_FIELDS, _INFO_FIELDS = {"jsonrpc", "id", "method", "params"}, {"name", "version", "title", "description", "websiteUrl"}
_VERSION, _CAPABILITIES, _INFO = (
    f"io.modelcontextprotocol/{name}" for name in ("protocolVersion", "clientCapabilities", "clientInfo")
)


def kept_file(arguments: Sequence[str]) -> str:
    """The file for starts with these arguments, this environment, this Python and this copy of the program."""
    # The first folder is that of the script, from which nothing is imported.
    folders = sys.path if sys.flags.safe_path else sys.path[1:]
    variables = sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES))
    parts = [list(arguments), variables, sys.version, sys.prefix, sys.flags.optimize, folders, _PACKAGE]
    name = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if sys.platform == "darwin" or not os.path.isabs(base):
        base = os.path.expanduser("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    return os.path.join(base, "ollama-mcp-server", f"start-{name}.json")


def state_of(watched: Iterable[str]) -> str:
    """A digest of the program, the installed packages, and other files and folders (the .py and .md directly in them).

    Raises:
        OSError: Something of it cannot be read.
    """
    lines: list[str] = []
    for folder, folders, names in os.walk(_PACKAGE):
        folders[:] = sorted({*folders} - {"__pycache__"})
        for name in sorted(names):
            found = os.stat(os.path.join(folder, name))
            lines.append(f"{folder} {name} {found.st_size} {found.st_mtime_ns} {found.st_ino}")
    for folder in filter(os.path.isdir, sys.path[1:]):
        # The names of these folders hold the versions of the packages.
        packages = [entry for entry in os.scandir(folder) if entry.name.endswith(".dist-info")]
        lines += sorted(f"{entry.path} {entry.stat().st_mtime_ns}" for entry in packages)
    for path in watched:
        names = sorted(os.listdir(path)) if os.path.isdir(path) else []
        files = [os.path.join(path, name) for name in names if name.endswith((".py", ".md"))] if names else [path]
        for file in filter(os.path.isfile, files):
            with open(file, "rb") as stream:
                lines.append(f"{file} {hashlib.blake2b(stream.read()).hexdigest()}")
        lines.append(f"{path} {os.path.exists(path)}")
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=32).hexdigest()


def sealed(file: str, body: bytes) -> bytes:
    """The content of a kept file: its body behind a digest of it and of the file's name."""
    return hashlib.blake2b(os.path.basename(file).encode() + body, digest_size=32).hexdigest().encode() + b"\n" + body


def read_kept(file: str) -> dict[str, Any] | None:
    """What a kept file holds; None unless it is whole, still true, and nobody else can have written it."""
    try:
        folder = os.lstat(os.path.dirname(file))
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            is_ours = all(one.st_uid == os.geteuid() and not one.st_mode & 0o022 for one in (folder, found))
            if not is_ours or not stat.S_ISDIR(folder.st_mode) or not stat.S_ISREG(found.st_mode):
                return None
            content = stream.read(_MAX_FILE_BYTES)
        body = content.partition(b"\n")[2]
        kept = json.loads(body) if content == sealed(file, body) else None
        return kept if kept and kept["state"] == state_of(kept["watched"]) else None
    except (OSError, ValueError):
        return None


def open_front(arguments: Sequence[str]) -> Front | None:
    """A front for a start with these arguments; None where the start has to be the ordinary one."""
    try:
        ends = [os.fstat(descriptor) for descriptor in (0, 1, 2)][:2]  # all three have to be open
    except OSError:
        return None
    are_pipes = all(stat.S_ISFIFO(end.st_mode) or stat.S_ISSOCK(end.st_mode) for end in ends)
    # Windows' pipes cannot be waited for, and one socket for both directions is a case for the server.
    if sys.platform == "win32" or not are_pipes or os.path.samestat(*ends):
        return None
    kept = read_kept(kept_file(arguments))
    return Front(kept) if kept else None


class Front:
    """Answers on the process's stdin and stdout as long as it is certain of each answer."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self._kept, self._is_open, self._rest = kept, True, b""
        self._version = ""  # of the session, once a client has begun one
        self._begun: list[bytes] = []  # what the server has to hear of it
        # Copies, since the server turns 0 and 1 away from the client while it loads.
        self._stdin, self._stdout = os.dup(0), os.dup(1)

    def serve(self, load: Callable[[], Serve]) -> int:
        """Answer while `load` runs in a thread, then let what it returns serve on; returns that one's exit code."""
        done, finished = os.pipe()
        loaded: list[Serve | BaseException] = []

        def run() -> None:
            try:
                loaded.append(load())
            except BaseException as error:
                loaded.append(error)
            os.close(finished)

        self._receive()  # a client that is there already need not wait for the first import
        sys.setswitchinterval(0.0005)  # how long the loading thread may keep the interpreter from an answer
        try:
            threading.Thread(target=run, name="load", daemon=True).start()
            while self._is_open and done not in select.select([self._stdin, done], [], [])[0]:
                self._receive()
            select.select([done], [], [])
        except KeyboardInterrupt:
            os._exit(130)  # ending the interpreter in the midst of an import may crash it
        sys.setswitchinterval(0.005)  # as Python has it
        for descriptor in (done, self._stdin, self._stdout):
            os.close(descriptor)
        if isinstance(loaded[0], BaseException):
            raise loaded[0]
        return loaded[0](b"".join(self._begun) + self._rest, 1 if self._version else 0)

    def _receive(self) -> None:
        """Take what the client has sent and answer it."""
        try:
            while self._is_open and select.select([self._stdin], [], [], 0)[0]:
                data = os.read(self._stdin, _MAX_LINE_BYTES)
                self._rest += data
                while self._is_open and b"\n" in self._rest:
                    line, rest = self._rest.split(b"\n", 1)
                    answer = self._answer(line)
                    self._is_open = answer is not None
                    if answer is not None:
                        self._rest = rest
                        self._write(answer)
                self._is_open = self._is_open and bool(data) and len(self._rest) < _MAX_LINE_BYTES
        except OSError:
            self._is_open = False  # the server finds the same, and knows what to do

    def _write(self, data: bytes) -> None:
        while data:
            select.select([], [self._stdout], [])
            data = data[os.write(self._stdout, data[: select.PIPE_BUF]) :]

    def _answer(self, line: bytes) -> bytes | None:
        """The answer to a line, b"" where it wants none; None if the server has to see it."""
        if not line.strip():
            return b""
        try:
            message: Any = None if any(word in line for word in _UNCERTAIN) else json.loads(line.decode())
        except (ValueError, RecursionError):
            return None
        if not _is_object(message) or message.get("jsonrpc") != "2.0" or message.keys() - _FIELDS:
            return None
        method, params = message.get("method"), message.get("params", {})
        if type(method) is not str or not _is_object(params):
            return None
        if "id" not in message:
            if not method.startswith("notifications/") or sum(map(len, self._begun)) > _MAX_LINE_BYTES:
                return None
            self._begun.append(line + b"\n")
            return b""
        name, request_id = self._name_of(method, params), _id_text(message["id"])
        if name not in self._kept["answers"] or not request_id:
            return None
        if method == "initialize":
            self._version = name.split()[0]
            self._begun.append(line + b"\n")
        return f"{PREFIX}{request_id}{self._kept['bodies'][self._kept['answers'][name]]}\n".encode()

    def _name_of(self, method: str, params: dict[str, Any]) -> str:
        """Under which name the answer to a request is kept; "" where the server might refuse the request."""
        if method == "initialize":
            is_known = not self._version and params.keys() == {"protocolVersion", "capabilities", "clientInfo"}
            if not is_known or not _is_client(params["clientInfo"], params["capabilities"]):
                return ""
            version, negotiated = params["protocolVersion"], self._kept["negotiated"]
            return f"{negotiated.get(version, negotiated[''])} initialize" if type(version) is str else ""
        meta: Any = params.get("_meta", {})
        if (
            not params.keys() <= {"_meta"}
            or not _is_object(meta)
            or type(meta.get("progressToken", 0)) not in (int, str)
        ):
            return ""
        if _VERSION not in meta:
            return f"{self._version} {method}" if meta.keys() <= {"progressToken"} else ""
        is_known = {_CAPABILITIES} <= meta.keys() <= {_VERSION, _CAPABILITIES, _INFO, "progressToken"}
        is_known = is_known and _is_client(meta.get(_INFO, {"name": "", "version": ""}), meta[_CAPABILITIES])
        return f"{meta[_VERSION]} {method}" if is_known and meta[_VERSION] in self._kept["modern"] else ""


def _id_text(request_id: object) -> str:
    """A request's id as JSON; "" where the server might write it in another way."""
    if isinstance(request_id, str) and request_id.isascii() and request_id.isprintable():
        return "" if {'"', "\\"} & {*request_id} else f'"{request_id}"'
    return str(request_id) if type(request_id) is int and abs(request_id) < 2**53 else ""


def _is_client(info: Any, capabilities: Any) -> bool:
    """Whether the server takes these as a client's name and capabilities."""
    if not _is_object(info) or not {"name", "version"} <= info.keys() <= _INFO_FIELDS:
        return False
    if any(type(text) is not str for text in info.values()) or not _is_object(capabilities):
        return False
    # Objects of objects; roots has flags, and only for tasks it matters what is in the inner ones.
    return all(
        _is_object(value)
        and all(
            type(inner) is bool if name == "roots" else _is_object(inner, name == "tasks") for inner in value.values()
        )
        for name, value in capabilities.items()
    )


def _is_object(value: Any, throughout: bool = False) -> bool:
    return value.__class__ is dict and not (throughout and not all(_is_object(inner, True) for inner in value.values()))
