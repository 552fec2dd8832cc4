"""How many files and functions of this project a warm call enters, in a server over stdio.

    python -m bench.call_path [--list chat]

The figures are a ratchet: `LIMITS` holds the most that each call may enter, tests/architecture/test_call_path.py holds
the server to them, and a change that needs more says why. Functions are counted once each, by `sys.setprofile` in all
threads; comprehensions are not counted, since Python 3.12 inlines them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from bench.clients import ROOT, Process, running

MODEL = "llama3.2:3b"
# Files and functions at most, as measured, and up to five functions more: what ends a call (its answer is out, the
# connection is put back) may run just after it was counted. A batch row counts what the first row did not enter. Some
# are there on purpose: a host's queue with its measured times (12), a bound for what is kept by model (1), chunks and
# lines that are read without a generator or a lock a token (25), and sockets, responses and messages that are read here
# in place of anyio, httpcore, h11 and the SDK's dispatcher (3 files, 20), whose call it is (1 file, 1), and two files
# that were too long to stand as one: a job apart from all jobs, the access of a server apart from the server (2, 4);
# and a wake-up at the end of the work (3), one turn of the loop sooner than asyncio's; one write for the lines of a
# turn, and an end that is known without waiting for it (3).
LIMITS: dict[str, tuple[int, int]] = {
    "chat": (42, 182),
    "chat with a file": (66, 289),
    "failing chat": (42, 168),
}
SECOND_ROW_LIMIT = 8
# What timers do beside a call, in calls that a busy machine slows down, and what is therefore not counted: the loaded
# models are asked for again when they are two seconds old, after one second a call finds out what it waits for, and two
# seconds after the first count the store writes it.
TIMED = frozenset(
    {
        "ollama_mcp/api/client.py:OllamaClient._get",
        "ollama_mcp/api/client.py:OllamaClient.ps",
        "ollama_mcp/api/http1.py:encode_head",
        "ollama_mcp/api/http1.py:encode_request",
        "ollama_mcp/api/http_session.py:ApiResponse.read_all",
        "ollama_mcp/api/http_session.py:HttpSession.fetch_bytes",
        "ollama_mcp/api/http_session.py:HttpSession.fetch_model",
        "ollama_mcp/api/http_session.py:HttpSession.parse_body",
        "ollama_mcp/api/responses.py:JsonResponse.from_body",
        "ollama_mcp/api/responses.py:ResponseModel._default_for_wrong",
        "ollama_mcp/api/responses.py:StrictResponseModel._drop_nulls",
        "ollama_mcp/api/responses.py:_null_as_empty",
        "ollama_mcp/api/responses.py:_parse_time",
        "ollama_mcp/formats/model_names.py:model_key",
        "ollama_mcp/hosts/model_activity.py:LoadedModelTracker._fetch_by_key",
        "ollama_mcp/hosts/model_activity.py:fully_on_gpu",
        "ollama_mcp/hosts/pool.py:HostPool.__init__.<locals>.<lambda>",
        "ollama_mcp/hosts/ttl_cache.py:CoalescingTTLCache._refresh",
        "ollama_mcp/hosts/ttl_cache.py:CoalescingTTLCache.get.<locals>.<lambda>",
        "ollama_mcp/work/call_context.py:CallContext._report_waiting",
        "ollama_mcp/work/call_context.py:CallContext._report_waiting.<locals>.described",
        "ollama_mcp/work/call_context.py:CallContext.report_waiting.<locals>.start",
        "ollama_mcp/work/progress.py:Progress.say",
        "ollama_mcp/work/progress.py:Progress.say.<locals>.said",
        "ollama_mcp/store/usage.py:UsageCounter._write",
        "ollama_mcp/store/usage.py:UsageCounter._write.<locals>.<lambda>",
        "ollama_mcp/store/usage.py:_put",
        "ollama_mcp/store/writes.py:WriteBehind._start",
        "ollama_mcp/store/writes.py:WriteBehind.schedule",
    }
)
# The store writes counters 2 s after the first of several changes, and what `ps` said is kept for 2 s.
_SETTLED_SECONDS = 3.0
_OURS = (f"{ROOT}/ollama_mcp/", f"{ROOT}/tools/")

Entered = set[str]


def serve(control: Path) -> None:
    """Run the server; each line written to the FIFO `control` ends a count, writes it beside, and starts the next."""
    from ollama_mcp_server import main

    entered: set[CodeType] = set()

    def record(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            entered.add(frame.f_code)

    def answer_commands() -> None:
        # A thread: a signal may be delivered to any thread, and then waits until the event loop wakes up.
        while control.read_text(encoding="utf-8"):
            names = [f"{code.co_filename}:{code.co_qualname}" for code in list(entered) if _is_counted(code)]
            entered.clear()
            partial = control.with_suffix(".partial")
            partial.write_text(json.dumps(names), encoding="utf-8")
            partial.rename(control.with_suffix(".json"))

    threading.Thread(target=answer_commands, daemon=True).start()
    threading.setprofile(record)
    sys.setprofile(record)
    sys.argv[1:] = []
    sys.exit(main())


def _is_counted(code: CodeType) -> bool:
    name = code.co_name
    return code.co_filename.startswith(_OURS) and (not name.startswith("<") or name == "<lambda>")


class CountingServer(Process):
    """A server process that tells which functions a call enters."""

    def __init__(self, folder: Path, ollama: str) -> None:
        self._control = folder / "control"
        os.mkfifo(self._control)
        super().__init__([sys.executable, "-m", "bench.call_path", "--serve", str(self._control)], ollama, folder)

    async def entered(self, tool: str, arguments: dict[str, Any], *, fails: bool = False) -> Entered:
        """The functions that a warm call enters, as "file:name": those of two calls, without what timers did beside."""
        for _ in range(3):
            await self._call(tool, arguments, fails=fails)
        # Let the store write what these calls left to it; then refresh what is cached for seconds only.
        await asyncio.sleep(_SETTLED_SECONDS)
        await self._call(tool, arguments, fails=fails)
        return await self._count(tool, arguments, fails=fails) & await self._count(tool, arguments, fails=fails)

    async def _count(self, tool: str, arguments: dict[str, Any], *, fails: bool) -> Entered:
        await asyncio.to_thread(self._take_count)
        await self._call(tool, arguments, fails=fails)
        return await asyncio.to_thread(self._take_count)

    def _take_count(self) -> Entered:
        """The functions entered since the last count."""
        self._control.write_text("count", encoding="utf-8")
        written = self._control.with_suffix(".json")
        while not written.exists():
            time.sleep(0.01)
        names = json.loads(written.read_text(encoding="utf-8"))
        written.unlink()
        return {name.removeprefix(f"{ROOT}/") for name in names} - TIMED

    async def _call(self, tool: str, arguments: dict[str, Any], *, fails: bool) -> None:
        try:
            await self.ask("tools/call", {"name": tool, "arguments": arguments})
        except RuntimeError:
            if not fails:
                raise


@asynccontextmanager
async def counting_server() -> AsyncGenerator[CountingServer]:
    """A server over a simulated Ollama, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name, running("ollama_mcp.simulator", "--port", "0") as ollama:
        server = CountingServer(_make_project(name), ollama)
        try:
            await server.start()
            await server.handshake()
            yield server
        finally:
            await server.close()


def _make_project(name: str) -> Path:
    """Turn a folder into a project with files to read: there the server may read and write."""
    folder = Path(name).resolve()
    (folder / "pyproject.toml").touch()
    (folder / "notes.txt").write_text("The meeting is at noon.\n" * 3, encoding="utf-8")
    (folder / "one.csv").write_text("text\nfirst\n", encoding="utf-8")
    (folder / "two.csv").write_text("text\nfirst\nsecond\n", encoding="utf-8")
    return folder


async def measure() -> dict[str, Entered]:
    """The functions entered by each kind of call; for "second row" those that the first row did not enter."""
    chat: dict[str, Any] = {"model": MODEL, "prompt": "Hi"}
    async with counting_server() as server:
        found = {
            "chat": await server.entered("ollama_chat", chat),
            "chat with a file": await server.entered("ollama_chat", {**chat, "files": ["notes.txt"]}),
            "failing chat": await server.entered("ollama_chat", {**chat, "model": "absent"}, fails=True),
        }
        batch: dict[str, Any] = {"model": MODEL, "prompt": "Shorten: {text}", "overwrite": True}
        first = await server.entered("ollama_batch", {**batch, "input": "one.csv", "output": "one.jsonl"})
        both = await server.entered("ollama_batch", {**batch, "input": "two.csv", "output": "two.jsonl"})
        found["second row"] = both - first
    return found


def files_of(entered: Entered) -> set[str]:
    """The files of the functions."""
    return {name.partition(":")[0] for name in entered}


def main() -> None:
    """Print the table, and the functions of one call where asked to."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--list", metavar="CALL", help="list the functions of this call too")
    options.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve is not None:
        serve(chosen.serve)
    found = asyncio.run(measure())
    print("| a warm call over stdio | files | functions |\n|---|---|---|")
    for name, entered in found.items():
        print(f"| {name} | {len(files_of(entered))} | {len(entered)} |")
    for function in sorted(found.get(chosen.list, ())):
        print(f"  {function}")


if __name__ == "__main__":
    main()
