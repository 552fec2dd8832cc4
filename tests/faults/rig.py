"""The rig of the fault table: a server process with its client, a fault proxy, and a simulated Ollama behind it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ollama_mcp.simulator import Answer, Simulator
from tests.faults.proxy import FaultProxy, PortKeeper
from tests.program import program
from tests.support import until
from tests.transports.wire import HttpPeer, Message, StdioPeer, call

Transport = Literal["stdio", "http"]
Counts = dict[str, int]

MODEL = "llama3.2:3b"
EMBEDDER = "nomic-embed-text"
WORDS = [f"word{number} " for number in range(60)]
ANSWER = "".join(WORDS)
IDLE_SECONDS = 2.0
_CANCELLED = -32800
_LISTENS = "ollama-mcp-server listens at "
_SETTINGS = {
    "timeouts.idle": IDLE_SECONDS,
    "store.path": ":memory:",
    "http.gone_seconds": 0.1,
    "policy.pull": "allow",
    "limits.pull_confirm_gb": 1000,
}


@dataclass(frozen=True)
class Result:
    """What a tool call gave: its kind of error ("" is success), the text for the agent, the partial text of a model."""

    kind: str
    text: str
    partial: str

    @classmethod
    def of(cls, message: Message) -> Result:
        """The result in a JSON-RPC answer."""
        result: dict[str, Any] = message["result"]
        texts = [block["text"].removesuffix("\n") for block in result["content"] if block["type"] == "text"]
        metadata: dict[str, Any] = result.get("_meta") or {}
        meta: dict[str, Any] = metadata.get("ollama-mcp-server/error") or {}
        if not result.get("isError"):
            return cls("", "\n".join(texts), "")
        assert meta.get("complete") is False, result
        return cls(meta["kind"], texts[0], "".join(texts[1:]))


class Server:
    """A server process and its client over one transport.

    Args:
        transport: How they talk.
        settings: Settings besides those of all servers here.
        prefix: A command that starts the process, such as one that lowers a limit.
        is_forked: Whether the process may be forked from one that has imported the program, which is sooner; its own
            limits and number are those of the process that stands for it then.

    Attributes:
        said: Every message that came from the server.
    """

    def __init__(
        self,
        transport: Transport,
        settings: dict[str, Any] | None = None,
        *,
        prefix: tuple[str, ...] = (),
        is_forked: bool = False,
    ) -> None:
        self.transport: Transport = transport
        self.port = PortKeeper()
        chosen = {"host": self.port.url, **_SETTINGS, **(settings or {})}
        config = str(chosen.pop("config", ""))
        options = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in chosen.items()]
        arguments = ["serve", *(part for option in options for part in ("--set", option))]
        if transport == "http":
            arguments += ["--transport", "http", "--port", "0"]
        if config:
            arguments += ["--config", config]
        script = [sys.executable, str(Path(__file__).with_name("serve_counted.py"))]
        command = program("tests.faults.serve_counted") if is_forked else script
        self.process = StdioPeer(*arguments, command=[*prefix, *command])
        self._http: HttpPeer | None = None
        self._numbers = 0
        self._tasks: dict[int, asyncio.Task[Message | None]] = {}
        self._answers: dict[int, Message] = {}
        self._cancelled: set[int] = set()
        self._least: Counts = {}
        self.said: list[Message] = []

    def close(self) -> None:
        """End the process, with its own exit code and nothing on stderr that looks like a crash."""
        self.process.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        self.process.__exit__()
        self.port.close()
        assert code == 0, self.process.stderr
        assert not [line for line in self.process.stderr if "Traceback" in line], self.process.stderr

    async def open(self) -> None:
        """Open the session, once."""
        if self._numbers:
            return
        self._numbers = 1
        if self.transport == "stdio":
            await asyncio.to_thread(self.process.handshake)
            return
        line = await asyncio.to_thread(self.process.next_line)
        assert line.startswith(_LISTENS), line
        port = urlsplit(line.removeprefix(_LISTENS)).port
        assert port is not None
        self._http = HttpPeer(port)
        await self._http.handshake()

    async def begin(self, tool: str, **arguments: Any) -> int:
        """Send a call; gives its number."""
        self._numbers += 1
        message = call(self._numbers, tool, **arguments)
        # What is watched is streamed, however quick the model was before.
        message["params"]["_meta"] = {"progressToken": self._numbers}
        if self._http is None:
            await asyncio.to_thread(self.process.send, message)
        else:
            self._tasks[self._numbers] = asyncio.create_task(self._post(self._http, message))
        return self._numbers

    async def answer(self, number: int) -> Result:
        """The answer to a call."""
        if self._http is not None:
            message = await self._tasks.pop(number)
            assert message is not None, "the connection was closed without an answer"
            return Result.of(message)
        while number not in self._answers:
            await self._receive()
        return Result.of(self._answers.pop(number))

    async def ask(self, tool: str, **arguments: Any) -> Result:
        """Send a call and wait for its answer."""
        return await self.answer(await self.begin(tool, **arguments))

    async def cancel(self, number: int) -> None:
        """Say that nobody waits for a call any more. An answer that still comes is an error."""
        self._cancelled.add(number)
        params = {"requestId": number}
        message: Message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        if self._http is None:
            await asyncio.to_thread(self.process.send, message)
        else:
            assert (await self._http.post(message)).status == 202
            answer = await self._tasks.pop(number)
            # Its response has to end somehow.
            assert answer is None or answer["error"]["code"] == _CANCELLED, answer

    async def send_again(self, number: int) -> None:
        """Send another call with the id of one in flight, which must be refused."""
        message = call(number, "ollama_status")
        if self._http is None:
            await asyncio.to_thread(self.process.send, message)
            while "error" not in (refused := await asyncio.to_thread(self.process.receive)):
                assert refused["method"] == "notifications/progress"
            assert refused["id"] is None
            assert "in flight" in refused["error"]["message"]
        else:
            refused = await self._http.post(message)
            assert refused.status == 409, refused

    async def counts(self) -> Counts:
        """What the process holds."""
        self.process.process.send_signal(signal.SIGUSR1)
        while not (line := await asyncio.to_thread(self.process.next_line)).startswith("counts "):
            assert "Traceback" not in line, self.process.stderr
        counts: Counts = json.loads(line.removeprefix("counts "))
        return counts

    async def least_counts(self) -> Counts:
        """The least that the process has held at rest so far, so that what is just ending hides nothing."""
        counts = await self.counts()
        self._least = {name: min(count, self._least.get(name, count)) for name, count in counts.items()}
        return self._least

    async def _receive(self) -> None:
        message = await asyncio.to_thread(self.process.receive)
        self.said.append(message)
        number = message.get("id")
        if isinstance(number, int):
            assert number not in self._cancelled, "a cancelled call was answered"
            self._answers[number] = message

    async def _post(self, peer: HttpPeer, message: Message) -> Message | None:
        answer = await peer.post(message)
        self.said += answer.messages
        found = [one for one in answer.messages if one.get("id") == message["id"]]
        return found[0] if found else None


@dataclass
class Rig:
    """One row's server, proxy and Ollama."""

    server: Server
    proxy: FaultProxy
    simulator: Simulator
    folder: Path

    async def ask(self, tool: str = "ollama_generate", **arguments: Any) -> Result:
        """Call a tool; by default a model, which answers with ANSWER."""
        return await self.server.ask(tool, **self._arguments(tool, arguments))

    async def begin(self, tool: str = "ollama_generate", **arguments: Any) -> int:
        """Send a call; the same arguments."""
        return await self.server.begin(tool, **self._arguments(tool, arguments))

    def _arguments(self, tool: str, given: dict[str, Any]) -> dict[str, Any]:
        return {"model": MODEL, "prompt": "Hi"} if tool == "ollama_generate" and not given else given

    def script(self, answer: Answer | None = None) -> None:
        """Script the model's next answers, as many as are sent again at most."""
        self.simulator.scripts.clear()
        self.simulator.script(MODEL, *[answer or Answer(text=WORDS)] * 4)

    def sent(self, path: str = "/api/generate", method: str = "") -> int:
        """How many requests to a path Ollama has seen; a trailing "*" is a prefix match."""
        matches = [
            one.path.startswith(path[:-1]) if path.endswith("*") else one.path == path
            for one in self.simulator.requests
            if method in ("", one.method)
        ]
        return sum(matches)

    async def works(self) -> None:
        """Everything is mended, open connections are lost, and the next call works."""
        self.proxy.mend()
        self.simulator.faults.clear()
        self.script()
        await self.proxy.drop()
        result = await self.ask()
        assert (result.kind, result.text) == ("", ANSWER)

    async def settled(self, before: Counts) -> None:
        """Nothing is left of what was counted before."""
        counts: Counts = {}
        for _ in range(500):
            counts = await self.server.counts()
            if all(counts[name] <= before[name] for name in before):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"left over: {counts}, before: {before}")


@asynccontextmanager
async def rigged(server: Server, folder: Path, **simulator: Any) -> AsyncGenerator[Rig]:
    """A rig around a server; keywords are arguments of the simulator."""
    simulator.setdefault("version", "latest")
    async with Simulator(**simulator) as ollama, FaultProxy(server.port) as proxy:
        proxy.upstream = ollama.url
        await server.open()
        yield Rig(server, proxy, ollama, folder)


async def in_flight(rig: Rig, path: str = "/api/generate", count: int = 1) -> None:
    """Wait until so many requests to a path are being served."""
    await until(lambda: sum(one.path == path for one in rig.simulator.in_flight) == count, 20)


async def disconnected(rig: Rig, path: str = "/api/generate", count: int = 1) -> None:
    """Wait until the simulator saw so many clients of a path leave."""
    await until(lambda: sum(one.request.path == path for one in rig.simulator.disconnects) >= count, 20)
