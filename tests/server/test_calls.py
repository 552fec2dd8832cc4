"""What happens while a call runs: progress, cancelling, failures of the host."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from mcp import Client

from ollama_mcp.simulator import Answer, Fault, Simulator
from ollama_mcp.simulator.scheduler import Latency
from ollama_mcp.work import progress as progress_module
from tests.support import connected, data, error, text, texts, until

MODEL = "llama3.2:3b"
CHAT = {"model": MODEL, "prompt": "Hi"}


class Notes:
    """Progress notifications as a client gets them."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float | None, str]] = []
        self.arrived = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.seen.append((progress, total, message or ""))
        self.arrived.set()

    @property
    def messages(self) -> list[str]:
        return [message for _, _, message in self.seen]

    def check(self) -> None:
        """What holds for all progress: it grows, fits a host's row, and stays on one line."""
        values = [value for value, _, _ in self.seen]
        assert values == sorted(set(values))
        assert all(len(message) < 200 and "\n" not in message for message in self.messages)
        assert all(total is None or total >= value for value, total, _ in self.seen)


async def test_progress_starts_at_once_and_says_that_the_model_loads():
    async with Simulator(latency=Latency(load=0.5)) as simulator, connected(simulator.url) as client:
        notes = Notes()
        await client.call_tool("ollama_chat", CHAT, progress_callback=notes)
    assert notes.messages[:2] == [f"waiting for {MODEL}", f"loading {MODEL}"]
    notes.check()


async def test_the_newest_words_come_as_progress_while_the_model_writes(simulator: Simulator):
    gate = asyncio.Event()
    words = [f"word{n} " for n in range(60)]
    simulator.script(MODEL, Answer(text=words, delay=0.02, hold=gate, hold_after=50))
    async with connected(simulator.url) as client:
        notes = Notes()
        call = asyncio.create_task(client.call_tool("ollama_chat", CHAT, progress_callback=notes))
        await until(lambda: any("word4" in message for message in notes.messages))
        assert not call.done()
        gate.set()
        assert text(await call).endswith("word59 ")
    notes.check()
    assert len(notes.seen) < 20


async def test_thinking_shows_as_progress_too(simulator: Simulator):
    simulator.script("qwen3:4b", Answer(text="Four.", thinking=["two ", "and ", "two "] * 5, delay=0.05))
    async with connected(simulator.url) as client:
        notes = Notes()
        await client.call_tool("ollama_chat", {"model": "qwen3:4b", "prompt": "x"}, progress_callback=notes)
    assert any(message.startswith("thinking: two") for message in notes.messages)


async def test_silence_is_bridged_by_heartbeats(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress_module, "HEARTBEAT_SECONDS", 0.1)
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text="done", hold=gate))
    async with connected(simulator.url) as client:
        notes = Notes()
        call = asyncio.create_task(client.call_tool("ollama_chat", CHAT, progress_callback=notes))
        await until(lambda: len(notes.seen) >= 6)
        gate.set()
        await call
    assert any(message.endswith(" s)") for message in notes.messages)
    notes.check()


async def test_nothing_comes_after_the_result(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress_module, "HEARTBEAT_SECONDS", 0.05)
    async with connected(simulator.url) as client:
        notes = Notes()
        await client.call_tool("ollama_chat", CHAT, progress_callback=notes)
        count = len(notes.seen)
        await client.call_tool("ollama_status", {})
        await asyncio.sleep(0.2)
    assert len(notes.seen) == count


async def test_a_pull_reports_bytes_of_the_whole_that_only_grow():
    async with Simulator(latency=Latency(transfer=3e8)) as simulator, connected(simulator.url) as client:
        notes = Notes()
        result = await client.call_tool("ollama_pull_model", {"model": "smollm2:135m"}, progress_callback=notes)
    notes.check()
    size = data(result)["size_bytes"]
    assert notes.seen[-1][1] is not None and notes.seen[-1][1] >= size * 0.9
    assert any(" of 270.9 MB at " in message and " left" in message for message in notes.messages)


async def test_a_client_without_a_token_gets_no_progress_and_no_extra_requests(simulator: Simulator):
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", CHAT)
    assert [seen.path for seen in simulator.requests] == ["/api/ps", "/api/chat"]


@asynccontextmanager
async def _held(simulator: Simulator, client: Client) -> AsyncGenerator[asyncio.Task[Any]]:
    """A chat call whose answer has begun and does not end."""
    simulator.script(MODEL, Answer(text=["One ", "two ", "three"], hold=asyncio.Event(), hold_after=2))
    notes = Notes()
    call = asyncio.create_task(client.call_tool("ollama_chat", CHAT, progress_callback=notes))
    await until(lambda: any("One" in message for message in notes.messages))
    yield call


async def test_a_cancelled_call_closes_the_request_to_ollama_at_once(simulator: Simulator):
    async with connected(simulator.url) as client:
        async with _held(simulator, client) as call:
            call.cancel()
            await until(lambda: simulator.disconnects)
        assert not simulator.in_flight
        assert text(await client.call_tool("ollama_chat", CHAT))


async def test_a_call_that_times_out_at_the_client_frees_the_model(simulator: Simulator):
    simulator.script(MODEL, *(Answer(text="late", hold=asyncio.Event()) for _ in range(4)))
    async with connected(simulator.url) as client:
        # On a busy machine a call may be given up before it has reached Ollama, which shows nothing.
        for seconds in (0.2, 1.0, 5.0, 25.0):
            with pytest.raises(Exception, match="timed out"):
                await client.call_tool("ollama_chat", CHAT, read_timeout_seconds=seconds)
            if any(seen.path == "/api/chat" for seen in simulator.requests):
                break
        await until(lambda: simulator.disconnects)
        simulator.scripts.clear()
        assert text(await client.call_tool("ollama_chat", CHAT))


async def test_a_cancelled_pull_stops_at_the_host_and_goes_on_later():
    async with Simulator(latency=Latency(transfer=5e7)) as simulator, connected(simulator.url) as client:
        notes = Notes()
        pull = {"model": "smollm2:135m"}
        call = asyncio.create_task(client.call_tool("ollama_pull_model", pull, progress_callback=notes))
        await until(lambda: any(" MB of " in message for message in notes.messages))
        call.cancel()
        await until(lambda: simulator.disconnects)
        simulator.machine.latency = Latency()
        assert not (await client.call_tool("ollama_pull_model", pull)).is_error


INTERRUPTED = [
    ("cut", "interrupted"),
    ("reset", "interrupted"),
    ("no_done", "interrupted"),
    ("error_line", "server_error"),
    ("runner_death", "server_error"),
    ("invalid_line", "bad_answer"),
    ("cut_utf8", "bad_answer"),
]


@pytest.mark.parametrize(("fault", "kind"), INTERRUPTED)
async def test_an_answer_that_breaks_off_keeps_its_words_apart_from_the_error(
    simulator: Simulator, fault: Any, kind: str
):
    simulator.script(MODEL, Answer(text=["One ", "two ", "three ", "four"]))
    simulator.faults.add(Fault(fault, path="/api/chat", after=2, times=1))
    async with connected(simulator.url) as client:
        result = await client.call_tool("ollama_chat", CHAT)
        error(result, kind)
        assert texts(result)[1] == ("One two three four" if fault == "no_done" else "One two ")
        assert text(await client.call_tool("ollama_chat", CHAT))


@pytest.mark.parametrize("fault", ["crlf", "blank_lines", "joined", "split"])
async def test_how_the_bytes_arrive_changes_nothing(simulator: Simulator, fault: Any):
    simulator.script(MODEL, Answer(text=["Grüße ", "an ", "alle ", "🦙"]))
    simulator.faults.add(Fault(fault, path="/api/chat"))
    async with connected(simulator.url) as client:
        assert text(await client.call_tool("ollama_chat", CHAT)) == "Grüße an alle 🦙"


REFUSED = [
    (Fault("refuse"), "interrupted"),
    (Fault("forbidden"), "forbidden"),
    (Fault("not_found"), "unsupported_by_version"),
    (Fault("bad_gateway"), "unreachable"),
    (Fault("unavailable"), "busy"),
    (Fault("rate_limited", retry_after=120), "busy"),
    (Fault("unauthorized"), "unauthorized"),
    (Fault("redirect", text="http://127.0.0.1:9/x"), "bad_answer"),
    (Fault("status", status=500, text="model requires more system memory (9 GiB) than is available"), "server_error"),
    (Fault("status", status=413, text="request body too large"), "too_long"),
    (Fault("error_line", after=0, text="model 'x' not found"), "model_not_found"),
]


@pytest.mark.parametrize(("fault", "kind"), REFUSED, ids=[f"{fault.kind}-{kind}" for fault, kind in REFUSED])
async def test_what_a_host_does_instead_of_answering_is_told_by_kind(simulator: Simulator, fault: Fault, kind: str):
    simulator.faults.add(replace(fault, path="/api/chat", seen=0, struck=0))
    async with connected(simulator.url) as client:
        words = error(await client.call_tool("ollama_chat", CHAT), kind)
        assert "<html" not in words.lower()
        simulator.faults.clear()
        assert text(await client.call_tool("ollama_chat", CHAT))


async def test_an_answer_that_is_packed_is_refused(simulator: Simulator):
    simulator.faults.add(Fault("gzip", path="/api/tags"))
    async with connected(simulator.url) as client:
        error(await client.call_tool("ollama_list_models", {}), "bad_answer")


async def test_a_host_that_accepts_and_never_answers_meets_the_deadline(simulator: Simulator):
    simulator.faults.add(Fault("hang", path="/api/chat"))
    async with connected(simulator.url, timeouts={"first_byte": 0.3}) as client:
        words = error(await client.call_tool("ollama_chat", CHAT), "timeout")
    assert "0.3" in words


async def test_a_stream_that_falls_silent_keeps_its_words(simulator: Simulator):
    simulator.script(MODEL, Answer(text=["One ", "two ", "three"]))
    simulator.faults.add(Fault("stall", path="/api/chat", after=2))
    async with connected(simulator.url, timeouts={"idle": 0.3}) as client:
        result = await client.call_tool("ollama_chat", CHAT)
    error(result, "timeout")
    assert texts(result)[1] == "One two "


async def test_a_port_where_nothing_listens_names_address_and_remedy():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with connected(url) as client:
            words = error(await client.call_tool("ollama_chat", CHAT), "unreachable")
    assert url in words and "ollama serve" in words


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>Welcome</html>", b"SSH-2.0-OpenSSH_9\r\n\r\n"]
)
async def test_something_else_at_that_address_is_recognised(reply: bytes):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        async with connected(url) as client:
            result = await client.call_tool("ollama_chat", CHAT)
    assert texts(result)[0].startswith(("[unreachable]", "[bad_answer]"))
    assert url in texts(result)[0]


async def test_a_host_that_does_not_resolve_says_dns():
    async with connected("http://no-such-host.invalid:11434") as client:
        words = error(await client.call_tool("ollama_chat", CHAT), "unreachable")
    assert "no-such-host.invalid" in words


async def test_a_call_that_waits_says_for_whom(simulator: Simulator):
    gate = asyncio.Event()
    notes = Notes()
    async with connected(simulator.url) as client:
        text(await client.call_tool("ollama_chat", CHAT))
        simulator.script(MODEL, Answer(hold=gate), Answer(hold=gate))
        first = asyncio.create_task(client.call_tool("ollama_chat", CHAT))
        await until(lambda: len(simulator.in_flight) == 1)
        second = asyncio.create_task(client.call_tool("ollama_chat", CHAT, progress_callback=notes))
        await until(lambda: len(notes.messages) > 1)
        gate.set()
        await asyncio.gather(first, second)
    assert notes.messages[:2] == [
        f"waiting for {MODEL}",
        f"waiting for {MODEL}, which works on 1 earlier call of this server",
    ]


async def test_a_batch_says_what_it_waits_for_before_its_first_row(simulator: Simulator):
    gate = asyncio.Event()
    notes = Notes()
    simulator.script(MODEL, *(Answer(hold=gate) for _ in range(3)))
    arguments = {"model": MODEL, "input": ["a", "b", "c"], "prompt": "Say {text}"}
    async with connected(simulator.url) as client:
        call = asyncio.create_task(client.call_tool("ollama_batch", arguments, progress_callback=notes))
        await until(lambda: any("0 of 3 rows: " in message for message in notes.messages))
        gate.set()
        assert not (await call).is_error
    said = next(message for message in notes.messages if "0 of 3 rows: " in message)
    assert said in (f"0 of 3 rows: loading {MODEL}", f"0 of 3 rows: {MODEL} reads the prompt")
