"""Rows of the fault table that are more than one call under one rule: what is done, up to the result that is judged."""

from __future__ import annotations

import asyncio
import os
import signal

from ollama_mcp.simulator import Answer, Fault, Latency, Simulator
from tests.contract.gguf_files import gguf
from tests.faults.proxy import Wire
from tests.faults.rig import ANSWER, EMBEDDER, MODEL, WORDS, Result, Rig, disconnected, in_flight
from tests.support import until

SLOW_TRANSFER = Latency(transfer=1e8)
_SIZE = 24 << 20


async def refused(rig: Rig) -> Result:
    """Ollama does not listen."""
    await rig.proxy.refuse()
    await rig.proxy.drop()
    result = await rig.ask()
    await rig.proxy.listen()
    return result


async def give_up(rig: Rig) -> None:
    """The client cancels a call that Ollama has."""
    number = await rig.begin()
    await in_flight(rig)
    await rig.server.cancel(number)
    await disconnected(rig)


async def after_idle_close(rig: Rig) -> Result:
    """The connection of an earlier call is closed while nobody uses it."""
    assert not (await rig.ask()).kind
    await rig.proxy.drop()
    return await rig.ask()


async def every_byte_alone(rig: Rig) -> Result:
    """Bytes come one at a time, in the middle of letters too."""
    words = ["Grüße ", "an 🦙 ", "日本"]
    rig.script(Answer(text=words))
    rig.proxy.down = Wire("trickle")
    result = await rig.ask()
    assert result.text == "".join(words)
    return Result("", ANSWER, "")


async def endless_line(rig: Rig) -> Result:
    """Something answers with a line that never ends."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n" + b'{"response":"'
    left = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            while True:
                writer.write(b"x" * 2**16)
                await writer.drain()
        except ConnectionError:
            left.set()
        finally:
            writer.close()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        rig.proxy.upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await rig.proxy.drop()
        before = _peak_memory(rig)
        result = await rig.ask()
        async with asyncio.timeout(20):
            await left.wait()
        assert _peak_memory(rig) - before < 200 << 20
        server.close()
    rig.proxy.upstream = rig.simulator.url
    return result


def _peak_memory(rig: Rig) -> int:
    with open(f"/proc/{rig.server.process.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


async def redirected(rig: Rig) -> Result:
    """Ollama's answer leads to another host, which gets nothing."""
    async with Simulator(version="latest") as other:
        rig.simulator.faults.add(Fault("redirect", "/api/generate", text=f"{other.url}/api/generate"))
        result = await rig.ask()
        assert not other.requests
        assert other.url.rpartition(":")[2] in result.text
    return result


async def other_version(rig: Rig) -> Result:
    """Ollama is replaced by an older one at the same address."""
    assert not (await rig.ask("ollama_status")).kind
    async with Simulator(version="0.17.7") as older:
        rig.proxy.upstream = older.url
        await rig.proxy.drop()
        result = await rig.ask("ollama_status")
        await rig.proxy.drop()
    rig.proxy.upstream = rig.simulator.url
    return result


async def deleted_meanwhile(rig: Rig) -> Result:
    """Somebody deletes the model after it was listed."""
    assert MODEL in (await rig.ask("ollama_list_models")).text
    found = rig.simulator.store.find(MODEL)
    assert found is not None
    rig.simulator.store.remove(found)
    result = await rig.ask()
    assert MODEL not in (await rig.ask("ollama_list_models")).text
    rig.simulator.store.add(found)
    return result


async def stalled_pull(rig: Rig) -> None:
    """A pull gets no bytes; its client gives up."""
    rig.simulator.registry.stalled = True
    number = await rig.begin("ollama_pull_model", model="all-minilm")
    await in_flight(rig, "/api/pull")
    await rig.server.cancel(number)
    await disconnected(rig, "/api/pull")


def _weights(rig: Rig) -> str:
    path = rig.folder / "weights.gguf"
    head = gguf({"general.architecture": "llama"}, {"token_embd.weight": (_SIZE // 4,)})
    path.write_bytes(head + bytes(_SIZE - len(head)) if len(head) < _SIZE else head)
    return str(path)


async def upload_cut(rig: Rig) -> Result:
    """The line is cut after some of an upload, once: it is sent again from its beginning."""
    path = _weights(rig)
    rig.proxy.up = Wire("cut", after=_SIZE * 2 // 5)
    number = await rig.begin("ollama_create_model", model="mine", path=path)
    await until(lambda: rig.proxy.passed >= _SIZE * 2 // 5, 20)
    rig.proxy.mend()
    result = await rig.server.answer(number)
    assert not result.kind, result
    assert rig.sent("/api/blobs/*", "POST") == 1
    return Result("", ANSWER, "")


async def upload_mismatch(rig: Rig) -> Result:
    """The host's digest of the bytes is another one."""
    path = rig.folder / "small.gguf"
    path.write_bytes(gguf({"general.architecture": "llama"}))
    said = 'digest mismatch, expected "sha256:a", got "sha256:b"'
    rig.simulator.faults.add(Fault("status", "/api/blobs/*", nth=2, status=400, text=said))
    return await rig.ask("ollama_create_model", model="mine", path=str(path))


async def file_cut(rig: Rig) -> Result:
    """The file shrinks while its bytes are on the way."""
    path = _weights(rig)
    held = rig.proxy.up = Wire("hold", after=_SIZE // 8)
    number = await rig.begin("ollama_create_model", model="mine", path=path)
    await until(lambda: rig.proxy.passed >= held.after, 20)
    os.truncate(path, _SIZE // 2)
    rig.proxy.mend()
    result = await rig.server.answer(number)
    assert not rig.sent("/api/blobs/*", "POST"), "a blob of half a file was stored"
    return result


async def embed_in_parts(rig: Rig) -> Result:
    """Of many texts, those of one request fail for good."""
    rig.simulator.faults.add(Fault("status", "/api/embed", contains="text 150", text="it broke"))
    texts = [f"text {number}" for number in range(200)]
    return await rig.ask("ollama_embed", model=EMBEDDER, input=texts)


async def clock_jump(rig: Rig) -> Result:
    """The clock jumps while an answer is on its way."""
    rig.script(Answer(text=WORDS, hold="gate", hold_after=9))
    number = await rig.begin()
    await in_flight(rig)
    rig.server.process.process.send_signal(signal.SIGUSR2)
    await rig.server.counts()
    rig.simulator.release("gate")
    return await rig.server.answer(number)


async def twins(rig: Rig) -> None:
    """A second call with an id that is in flight is refused, whatever is done to the first."""
    rig.script(Answer(text=WORDS, hold=asyncio.Event()))
    number = await rig.begin()
    await in_flight(rig)
    await rig.server.send_again(number)
    assert rig.sent() == 1
    await rig.server.cancel(number)
    await disconnected(rig)


async def many_files(rig: Rig) -> Result:
    """More calls at once than the process may open files; those in excess wait or are refused, the others go on."""
    rig.script(Answer(text=WORDS, hold="gate"))
    numbers = [await rig.begin() for _ in range(80)]
    await until(lambda: len(rig.simulator.in_flight) >= 20, 20)
    if rig.server.transport == "stdio":
        refused = await rig.server.answer(numbers.pop())
        assert refused.kind == "busy" and "open files" in refused.text
    # Over HTTP a client's own connection is what cannot be had: it is accepted later.
    rig.simulator.release("gate")
    assert {(await rig.server.answer(number)).kind for number in numbers} <= {"", "busy"}
    rig.script()
    return await rig.ask()


async def config_gone(rig: Rig) -> Result:
    """What was read at the start stays in force."""
    config = rig.folder / "config.json"
    config.write_text("{ broken")
    assert not (await rig.ask()).kind
    config.unlink()
    return await rig.ask()


async def blocked_loop(rig: Rig) -> Result:
    """A tool blocks the loop for longer than an answer may be silent; the answer is read all the same."""
    rig.script(Answer(text=WORDS, hold="gate", hold_after=9))
    answer = await rig.begin()
    await in_flight(rig)
    blocking = await rig.begin("block")
    rig.simulator.release("gate")
    assert (await rig.server.answer(blocking)).text == "blocked"
    return await rig.server.answer(answer)


async def unwatched(rig: Rig) -> Result:
    """Calls go on as ever, whatever becomes of what is told of them; the log speaks of it once."""
    results = [await rig.ask() for _ in range(3)]
    assert {(result.kind, result.text) for result in results} == {("", ANSWER)}
    said = rig.server.process.stderr
    await until(lambda: any("opentelemetry" in line for line in said), 60)
    assert sum("opentelemetry" in line for line in said) == 1
    # Which port could not be taken depends on who runs the tests.
    assert sum("no metrics" in line for line in said) <= 1
    return results[-1]


async def unwritten(rig: Rig) -> Result:
    """Calls go on as ever while their rows cannot be written; the log speaks of it once."""
    results = [await rig.ask() for _ in range(3)]
    assert {(result.kind, result.text) for result in results} == {("", ANSWER)}
    said = rig.server.process.stderr
    await until(lambda: any("full.sqlite3" in line for line in said), 60)
    results.append(await rig.ask())
    assert sum("full.sqlite3" in line for line in said) == 1
    return results[-1]
