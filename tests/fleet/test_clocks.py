"""Machines whose clocks differ: processes that share a database go by its clock."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from ollama_mcp import clock
from ollama_mcp.server.confirmation_codes import ConfirmationCodes
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store
from ollama_mcp.store.ledger import LedgerRow
from tests.cli.support import ROOT, environment
from tests.fleet.postgres import Postgres

HOUR = 3_600
AHEAD = """
import time
real = time.time
time.time = lambda: real() + {seconds}
"""


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_process_goes_by_the_databases_clock(
    hours: int, database_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, question, real = ConfirmationCodes(b"secret"), ("ann", "ollama_delete_model", "a"), time.time
    code = codes.make([question])
    store = Store(tmp_path / "s.sqlite3", url=database_server.url())
    try:
        monkeypatch.setattr(time, "time", lambda: real() + hours * HOUR)
        assert not codes.take(code, question)
        begun = await store.batches.open("key", total=1, metadata={})
        assert abs(clock.now() - real()) < HOUR / 4
        assert codes.take(code, question)
        (run,) = await store.batches.unfinished()
        assert begun.key == run.key and abs(run.touched - real()) < HOUR / 4
    finally:
        await store.aclose()
        clock.follow(time.time())


@pytest.mark.parametrize("hours", [1, -1])
async def test_the_ledger_goes_by_the_databases_clock(
    hours: int, database_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, settings = time.time, Settings.model_validate({"store": {"url": database_server.url()}})
    store = Store.for_ledger(settings)
    assert store.ledger is not None
    try:
        monkeypatch.setattr(time, "time", lambda: real() + hours * HOUR)
        # Of a moment at which the database's clock was not known yet, and of a later one.
        for tool in ("first", "second"):
            store.ledger.add(LedgerRow("ann", tool, at=time.time()))
            await store.ledger.flush()
        at = [datetime.fromisoformat(row["at"]).timestamp() async for row in store.ledger.entries()]
        assert len(at) == 2 and all(abs(one - real()) < HOUR / 4 for one in at)
    finally:
        await store.aclose()
        clock.follow(time.time())


@pytest.mark.slow
async def test_a_machine_hours_ahead_deletes_no_batch_that_is_at_work(
    database_server: Postgres, tmp_path: Path
) -> None:
    url = database_server.url()
    store = Store(tmp_path / "s.sqlite3", url=url)
    try:
        await store.batches.open("key", total=1, metadata={})
        (tmp_path / "sitecustomize.py").write_text(AHEAD.format(seconds=5 * HOUR), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ollama_mcp", "store", "purge", "--set", f"store.url={url}"),
            stdout=asyncio.subprocess.PIPE,
            env=environment(PYTHONPATH=f"{tmp_path}:{ROOT}"),
        )
        out, _ = await asyncio.wait_for(process.communicate(), 120)
        assert b"Kept: 1 batches" in out, out
        assert len(await store.batches.unfinished()) == 1
    finally:
        await store.aclose()
