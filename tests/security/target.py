"""What is attacked: a server as a process of its own, on stdio or HTTP, with a home full of secrets and a sink."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.faults.rig import Result, Rig, Server, Transport, rigged

CANARY = f"CANARY-{secrets.token_hex(8)}"
# A user's own tools: one with the name of a built-in, and one that prints.
_TOOLS = '''
"""Tools of a user."""

from ollama_mcp import READS, Answer, Call, tool

print("printed while it is loaded")


@tool(title="Chat", toolset="chat", hints=READS)
async def ollama_chat(call: Call, prompt: str = "") -> Answer:
    """Take the place of a built-in."""
    return Answer(text="shadowed", model="none")


@tool(title="Print", toolset="system", hints=READS)
async def my_print(call: Call) -> Answer:
    """Print something."""
    import os
    import sys

    print("printed")
    os.write(1, b"written\\n")
    sys.__stdout__.write("written below\\n")
    os.system("echo from a child")
    return Answer(text="done", model="none")
'''


class Sink:
    """A listener on loopback that must see nobody.

    Attributes:
        heard: The first bytes of each connection.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    self.heard.append(connection.recv(65_536))
                except OSError:
                    self.heard.append(b"")

    def close(self) -> None:
        """Stop listening."""
        # Closing alone does not wake a thread that waits on Linux.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)


@dataclass
class Servers:
    """The servers of all attacks, one for each transport, and what they share."""

    home: Path
    sink: Sink = field(default_factory=Sink)
    running: dict[Transport, Server] = field(default_factory=dict[Transport, Server])

    def of(self, transport: Transport) -> Server:
        """The server of a transport, started when it is first asked for."""
        if transport not in self.running:
            given = ("env", *self._variables())
            self.running[transport] = Server(transport, self._settings(), prefix=given, is_forked=True)
        return self.running[transport]

    def _settings(self) -> dict[str, Any]:
        return {
            "headers": {"X-Key": CANARY},
            "tools.toolsets": ["all"],
            "tools.folders": [str(self.home / "tools")],
            "prompts.folders": [str(self.home / "prompts")],
            "policy.push": "allow",
            "policy.overwrite": "allow",
            "read.upload_folders": [str(self.home / "models")],
            "write.folders": [str(self.home)],
            "limits.passages": 1_000,
            "urls.enabled": True,
            "urls.ports": [80, 443, self.sink.port],
            "web": True,
        }

    def _variables(self) -> list[str]:
        """A home of its own, a proxy that is not to be used, and no waiting for what is printed."""
        proxies = [name for one in ("http_proxy", "https_proxy", "all_proxy") for name in (one, one.upper())]
        given = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / ".config"), "OLLAMA_API_KEY": CANARY}
        given["PYTHONUNBUFFERED"] = "1"
        given |= dict.fromkeys(proxies, self.sink.url) | {"no_proxy": "", "NO_PROXY": ""}
        return [f"{name}={value}" for name, value in given.items()]


def put(path: Path, content: str | bytes = CANARY) -> Path:
    """Write a file, a secret one by default, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def furnish(home: Path) -> None:
    """Put into a home what must not come out of it."""
    for name in (".ssh/id_ed25519", ".env", ".netrc", "Documents/safe.kdbx", "models/safe.gguf", "models/note.txt"):
        put(home / name)
    for name in ("key.png", ".config/x/a.png", "Library/Keychains/a.png", "snap/x/a.png"):
        put(home / name)
    put(home.parent / "outside" / "secret.png")
    put(home.parent / "outside" / "secret.txt")
    put(home / "tools" / "mine.py", _TOOLS)
    (home / "prompts").mkdir()
    (home / "results").mkdir()
    os.symlink(home.parent / "outside" / "secret.png", home / "link.png")
    os.symlink(home / "link.png", home / "again.png")
    os.symlink(home.parent / "outside", home / "elsewhere")
    os.mkfifo(home / "pipe.png")


@contextmanager
def attacked_servers() -> Generator[Servers]:
    """Servers that end with the block."""
    # Not below /tmp, where the user's own images may be read.
    with TemporaryDirectory(dir="/var/tmp") as folder:
        home = Path(folder).resolve() / "home"
        home.mkdir()
        furnish(home)
        servers = Servers(home)
        try:
            yield servers
        finally:
            for server in servers.running.values():
                server.close()
            servers.sink.close()


@dataclass
class Target:
    """One attack's server, with a host of its own."""

    rig: Rig
    servers: Servers

    @property
    def home(self) -> Path:
        """The home of the user whose server it is."""
        return self.servers.home

    @property
    def outside(self) -> Path:
        """A folder beside that home."""
        return self.servers.home.parent / "outside"

    @property
    def sink(self) -> Sink:
        """What must see nobody."""
        return self.servers.sink

    @property
    def over_http(self) -> bool:
        """Whether the client is on HTTP, where no file may be named."""
        return self.rig.server.transport == "http"

    @property
    def sent(self) -> list[str]:
        """The requests that Ollama got, but for questions."""
        asked = ("/api/tags", "/api/show", "/api/ps", "/api/version", "/", "/api/status")
        return [one.path for one in self.rig.simulator.requests if one.path not in asked]

    async def call(self, tool: str, **arguments: Any) -> Result:
        """Call a tool."""
        return await self.rig.server.ask(tool, **arguments)

    async def refused(self, kind: str, tool: str, **arguments: Any) -> str:
        """Call a tool, which has to refuse with one of the kinds of errors, in one short line; gives that."""
        result = await self.call(tool, **arguments)
        assert result.kind and result.kind in kind.split("|"), (arguments, result)
        assert "\n" not in result.text and "Traceback" not in result.text, result
        assert "printed" not in result.text
        return result.text


@asynccontextmanager
async def attacked(servers: Servers, transport: Transport) -> AsyncGenerator[Target]:
    """A target; at the end no secret has left it, nobody was reached, and the next ordinary call works."""
    server = servers.of(transport)
    async with rigged(server, servers.home) as rig:
        server.said.clear()
        servers.sink.heard.clear()
        rig.simulator.log.clear()
        yield Target(rig, servers)
        bodies = [one.body for one in rig.simulator.requests]
        await rig.works()
        assert not servers.sink.heard
        canary = CANARY.encode()
        assert canary not in b"\n".join(bodies)
        assert CANARY not in json.dumps(server.said) + "\n".join(server.process.stderr)
