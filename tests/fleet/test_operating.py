"""What an operator of a fleet reads: of a database that is away, of jobs of others, of a worker of another version."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from ollama_mcp.cli import main
from ollama_mcp.simulator import Simulator
from ollama_mcp.store import Store
from ollama_mcp.store.jobs import StoredJob
from ollama_mcp.work.progress import Progress
from tests.fleet.postgres import Postgres
from tests.fleet.running import batch, simulated
from tests.fleet.workers import shared, until_alive
from tests.support import connected

NOWHERE = "--set=store.url=postgresql://u@127.0.0.1:9/d"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(folder, str(tmp_path))


@pytest.mark.parametrize("command", ["usage", "jobs"])
def test_a_database_that_is_away_is_told_once_and_not_as_if_nothing_were_there(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, NOWHERE, "--ollama", "http://127.0.0.1:9"]) != 0
    said = capsys.readouterr()
    assert not said.out and said.err.count("cannot be used") == 1


def test_jobs_of_others_are_counted_where_they_cannot_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.sqlite3"

    async def kept(principal: str) -> None:
        store = Store(path)
        await store.jobs.add(StoredJob(f"of-{principal}", "ollama_chat", "m", principal, None, "digest", False))
        await store.aclose()

    listing = ["jobs", f"--set=store.path={path}", "--ollama", "http://127.0.0.1:9"]
    asyncio.run(kept("local"))
    assert main(listing) == 0
    said = capsys.readouterr()
    assert "of-local" in said.out and "of tokens" not in said.err
    asyncio.run(kept("token ann"))
    assert main(listing) == 0
    said = capsys.readouterr()
    assert "of-token ann" not in said.out and "1 job of tokens or sessions" in said.err


def test_no_pace_is_told_of_what_another_process_does() -> None:
    progress = Progress(None)
    progress.done, progress.total = 5.0, 8.0
    assert progress.pace() == (0.0, None)


@pytest.mark.slow
async def test_a_worker_of_another_version_says_once_that_it_takes_no_rows(
    tmp_path: Path, database_server: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Of the process's worker alone: what becomes of a run is decided by its server.
    monkeypatch.setattr("ollama_mcp.fleet.work.__version__", "0.0.1")
    caplog.set_level(logging.WARNING, "ollama_mcp.fleet.work")
    url = database_server.url()
    for name in ("home", "other"):
        (tmp_path / name).mkdir()
    settings = shared(tmp_path / "other", url)
    settings["fleet"] = {**settings["fleet"], "work": True}
    async with simulated() as own, Simulator(version="latest") as simulator, connected(simulator.url, **settings):
        await until_alive(url, 1)
        async with batch(own, url, tmp_path / "home", rows=40) as running:
            await running.until("SELECT coalesce(sum(returns), 0) FROM ranges", lambda times: times >= 3)
    assert len([record for record in caplog.records if "Install one version everywhere" in record.message]) == 1
    assert not any(seen.path == "/api/chat" for seen in simulator.requests)
