"""Each row of the fault table, over stdio and over HTTP, against the server as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.not_run import ELSEWHERE, LEFT
from tests.faults.rig import ANSWER, Server, Transport, disconnected, rigged
from tests.faults.rows import ROWS, Row
from tests.transports.wire import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what processes hold is counted in /proc")
Servers = Callable[[Transport], Server]
TRANSPORTS: tuple[Transport, ...] = ("stdio", "http")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the servers may read for uploads."""
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def servers(folder: Path) -> Generator[Servers]:
    """The servers that the rows share, one for each transport."""
    running: dict[Transport, Server] = {}

    def of(transport: Transport) -> Server:
        if transport not in running:
            running[transport] = Server(transport, reading(folder))
        return running[transport]

    yield of
    for server in running.values():
        server.close()


BLOCKING_TOOL = '''
import time

from ollama_mcp import READS, Call, tool


@tool(title="Block", toolset="system", hints=READS)
async def block(call: Call) -> str:
    """Block the event loop for a second."""
    time.sleep(1)
    return "blocked"
'''


def in_folder(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the names of files in them as paths."""
    known: dict[str, Any] = {"config": str(folder / "config.json"), "tools.folders": [str(folder / "tools")]}
    known["store.path"] = str(folder / "full.sqlite3")
    return {name: known.get(name, value) for name, value in settings.items()}


def reading(folder: Path) -> dict[str, object]:
    """Settings by which files of a folder may be uploaded."""
    return {"read.upload_folders": [str(folder)], "read.over_http": True}


CASES = [
    pytest.param(row, transport, id=f"{row.id}-{transport}", marks=[pytest.mark.slow] if row.slow else [])
    for row in ROWS
    for transport in TRANSPORTS
    if transport == "stdio" or not row.stdio_only
]


@pytest.mark.parametrize(("row", "transport"), CASES)
async def test_row(row: Row, transport: Transport, servers: Servers, folder: Path) -> None:
    if not (row.settings or row.prefix):
        return await run(row, servers(transport), folder)
    (folder / "config.json").write_text("{}")
    (folder / "tools").mkdir(exist_ok=True)
    (folder / "tools" / "block.py").write_text(BLOCKING_TOOL)
    server = Server(transport, {**reading(folder), **in_folder(row.settings, folder)}, prefix=row.prefix)
    try:
        await run(row, server, folder)
    finally:
        server.close()


async def run(row: Row, server: Server, folder: Path) -> None:
    """Do what the row says, and judge what comes and what is left."""
    async with rigged(server, folder, **row.simulator) as rig:
        await rig.works()
        before = await server.least_counts()
        rig.simulator.log.clear()
        rig.script()
        rig.simulator.faults.add(*(replace(rule) for rule in row.rules))
        rig.proxy.up, rig.proxy.down, rig.proxy.reply = row.up, row.down, row.reply
        if row.reply or row.up != row.down:
            await rig.proxy.drop()
        result = await (row.steps(rig) if row.steps else rig.ask(row.tool, **row.arguments))
        if result is not None:
            assert result.kind == row.kind, result
            if row.tool == "ollama_generate" and not row.kind and not row.says:
                assert result.text == ANSWER
            if row.kind:
                assert result.text.startswith(f"[{row.kind}] ") and "\n" not in result.text
            assert all(words in result.text for words in row.says), result.text
            assert not [words for words in row.never if words in result.text], result.text
            assert result.partial.startswith(row.kept) and ANSWER.startswith(result.partial), result
            assert bool(result.partial) == bool(row.kept)
        if row.sent is not None:
            assert rig.sent(row.path) == row.sent
        if row.gone:
            await disconnected(rig, row.path)
        await rig.works()
        await rig.settled(before)


def test_every_number_is_run_or_says_where_it_is_or_why_not() -> None:
    run_here = {row.id.partition("-")[0] for row in ROWS}
    numbers = [*run_here, *ELSEWHERE, *LEFT]
    assert sorted(numbers) == [f"F{number:02}" for number in range(1, 61)]
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), place
    for number, reason in LEFT.items():
        print(f"{number}: {reason}")  # noqa: T201 - shown by pytest -s
