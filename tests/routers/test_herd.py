"""ollama-herd between the server and two Ollamas: what it passes on, and what it makes of faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.routers.herd import add_node, herd
from tests.support import connected, data, error, text, texts, until

pytestmark = pytest.mark.slow
CHAT, EMBED = "llama3.2:3b", "all-minilm"
PARTS = ["One ", "two ", "three"]


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of the router that the tests share; each reports its own nodes to it, under the same names."""
    with herd(tmp_path_factory.mktemp("herd")) as url:
        yield url


@dataclass
class Herd:
    """A client of a server whose Ollama is the router, and the simulators behind it."""

    client: Client
    a: Simulator
    b: Simulator

    async def ask(self, tool: str = "ollama_chat", **arguments: Any) -> CallToolResult:
        """Call a tool; chat by default."""
        return await self.client.call_tool(
            tool, {"model": CHAT, "prompt": "Hi"} if tool == "ollama_chat" else arguments
        )

    def script(self, answer: Answer) -> None:
        """What the model answers, wherever it is asked."""
        for simulator in (self.a, self.b):
            simulator.script(CHAT, *[answer] * 4)

    def fail(self, fault: Fault) -> None:
        """A fault of both Ollamas."""
        for simulator in (self.a, self.b):
            simulator.faults.add(fault)


@asynccontextmanager
async def routed(router: str, folder: Path) -> AsyncGenerator[Herd]:
    """Two Ollamas behind the router, and a server before it that writes into a folder."""
    async with Simulator(version="latest", models=[CHAT]) as a, Simulator(version="latest", models=[CHAT, EMBED]) as b:
        async with httpx.AsyncClient() as client:
            for name, simulator in (("a", a), ("b", b)):
                # Loaded, so that the pace of its answers counts.
                (await client.post(f"{simulator.url}/api/generate", json={"model": CHAT})).raise_for_status()
                await add_node(router, name, simulator)
        async with connected(router, write={"folders": [str(folder)]}) as client:
            yield Herd(client, a, b)


async def test_what_it_has_is_listed_and_used(router: str, tmp_path: Path) -> None:
    async with routed(router, tmp_path) as bench:
        models = {row["name"]: row for row in data(await bench.ask("ollama_list_models"))["models"]}
        assert set(models) == {CHAT, "all-minilm:latest"}
        assert models["all-minilm:latest"]["capabilities"] == ["embedding"]
        (host,) = data(await bench.ask("ollama_status"))["hosts"]
        assert host["reachable"] and host["ollama_version"] != "unknown"
        assert "completion" in texts(await bench.ask("ollama_show_model", model=CHAT))[0]
        bench.script(Answer(PARTS))
        assert text(await bench.ask()) == "".join(PARTS)
        vectors = data(await bench.ask("ollama_embed", model=EMBED, input=["a", "b"], vectors=True))["vectors"]
        assert [len(vector) for vector in vectors] == [384, 384]
        assert [one.path for one in bench.b.requests if one.path == "/api/embed"]


async def test_an_answer_is_passed_on_while_it_is_written(router: str, tmp_path: Path) -> None:
    async with routed(router, tmp_path) as bench:
        seen: asyncio.Queue[str] = asyncio.Queue()
        bench.script(Answer(PARTS, hold="go", hold_after=2))

        async def report(progress: float, total: float | None, message: str | None) -> None:
            seen.put_nowait(message or "")

        call = asyncio.create_task(
            bench.client.call_tool("ollama_chat", {"model": CHAT, "prompt": "Hi"}, progress_callback=report)
        )
        async with asyncio.timeout(30):
            while "two" not in await seen.get():
                pass
        for simulator in (bench.a, bench.b):
            simulator.release("go")
        assert text(await call) == "".join(PARTS)


async def test_a_cancelled_call_is_freed_at_ollama(router: str, tmp_path: Path) -> None:
    async with routed(router, tmp_path) as bench:
        bench.script(Answer(PARTS, hold=asyncio.Event(), hold_after=1))
        call = asyncio.create_task(bench.ask())
        await until(lambda: bench.a.in_flight or bench.b.in_flight)
        call.cancel()
        await until(lambda: not bench.a.in_flight and not bench.b.in_flight)
        assert len([*bench.a.disconnects, *bench.b.disconnects]) == 1
        await asyncio.gather(call, return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "kind", "kept"),
    [
        (Fault("status", "/api/chat", text="it broke"), "interrupted", ""),
        (Fault("unavailable", "/api/chat"), "interrupted", ""),
        (Fault("refuse", "/api/chat"), "interrupted", ""),
        (Fault("reset", "/api/chat", after=2), "interrupted", "One two "),
        (Fault("no_done", "/api/chat"), "interrupted", "One two three"),
        (Fault("error_line", "/api/chat", after=2, text="it broke"), "server_error", "One two "),
        (Fault("runner_death", "/api/chat", after=2), "server_error", "One two "),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_a_fault_behind_it_is_an_error_with_what_was_written(
    router: str, tmp_path: Path, fault: Fault, kind: str, kept: str
) -> None:
    async with routed(router, tmp_path) as bench:
        bench.script(Answer(PARTS))
        bench.fail(fault)
        result = await bench.ask()
        error(result, kind)
        assert texts(result)[1:] == ([kept] if kept else [])


@pytest.mark.parametrize("kind", ["no_done", "status"])
async def test_a_row_that_broke_behind_it_is_never_taken_for_a_finished_one(
    router: str, tmp_path: Path, kind: str
) -> None:
    async with routed(router, tmp_path) as bench:
        bench.script(Answer(PARTS))
        # The model's pace is known then, and short answers are not streamed: what the router makes of one that ends too
        # early looks whole.
        assert not (await bench.ask()).is_error
        bench.fail(Fault(kind, "/api/chat"))  # pyright: ignore[reportArgumentType]
        output = tmp_path / "rows.jsonl"
        row = {
            "input": ["x", "y"],
            "prompt": "{text}",
            "model": CHAT,
            "options": {"num_predict": 5},
            "output": str(output),
        }
        await bench.ask("ollama_batch", **row)
        errors = [json.loads(line)["error"]["kind"] for line in output.read_text().splitlines()]
        assert len(errors) == 2 and set(errors) <= {"interrupted", "server_error"}


async def test_one_ollama_that_dies_is_gone_round_and_comes_back(router: str, tmp_path: Path) -> None:
    async with routed(router, tmp_path) as bench:
        bench.script(Answer("Hello"))
        await bench.a.stop()
        for _ in range(2):
            assert text(await bench.ask()) == "Hello"
        await bench.b.stop()
        error(await bench.ask(), "interrupted")


async def test_what_it_does_not_know_is_no_answer_of_ollama(router: str, tmp_path: Path) -> None:
    async with routed(router, tmp_path) as bench:
        error(await bench.ask("ollama_chat_of_none", model="x"), "invalid_argument")
        said = error(await bench.ask("ollama_copy_model", source=CHAT, destination="x"), "bad_answer")
        assert "404" in said
        missing = await bench.client.call_tool("ollama_chat", {"model": "absent", "prompt": "Hi"})
        assert "not found on any node" in error(missing, "model_not_found")
