"""`ollama-mcp-server store upgrade | copy`: the tables of a PostgreSQL database, and what a file held before."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from ollama_mcp.cli.output import Output
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store
from ollama_mcp.store.database import require_postgres
from ollama_mcp.work.batch.concurrency import is_locked, run_lock


def upgrade(options: argparse.Namespace, settings: Settings) -> int:
    """Make the tables of the database, or bring them up to date."""
    url, output = _url(settings.store.url), Output(options)
    from ollama_mcp.store.postgres_errors import shown
    from ollama_mcp.store.postgres_state import VERSION, upgrade_at

    before = upgrade_at(url)
    if output.is_json:
        output.json({"url": shown(url), "before": str(before), "now": str(VERSION)})
    elif before == VERSION:
        print(f"{shown(url)} has the tables of this version ({VERSION}) already.")
    elif any(before):
        print(f"{shown(url)}: the tables were of version {before} and are of version {VERSION} now.")
    else:
        print(f"{shown(url)} has its tables now (version {VERSION}).")
    return 0


def copy(options: argparse.Namespace, settings: Settings) -> int:
    """Bring what a file holds into the database; what is there already stays."""
    url, output = _url(options.target or settings.store.url), Output(options)
    path = Path(options.source).expanduser() if options.source else Store.from_settings(settings).path
    if path is None:
        raise InvalidArgument("The settings keep nothing in a file.", next_step="Name one with --from.")
    from ollama_mcp.store.copying import copy_store
    from ollama_mcp.store.postgres_errors import shown

    copied = copy_store(path, url, running=asyncio.run(_running(path)))
    if output.is_json:
        output.json({"from": str(path), "to": shown(url), **copied._asdict()})
        return 0
    print(f"{path} -> {shown(url)}")
    output.table(("copied", "number"), list(copied.counts.items()))
    if copied.jobs_left or copied.batches_left:
        print(
            f"Left out, since they run: {copied.jobs_left} jobs, {copied.batches_left} batches. "
            "Copy again when they have ended: nothing is doubled."
        )
    print("What is known of searched files stays in the file of each machine.")
    return 0


async def _running(path: Path) -> frozenset[str]:
    """The keys of the batches that are at work on this machine."""
    if not await asyncio.to_thread(path.is_file):
        return frozenset()
    source = Store(path)
    try:
        keys = [run.key for run in await source.batches.unfinished()]
        return frozenset([key for key in keys if await is_locked(run_lock(key))])
    finally:
        await source.aclose()


def _url(url: str) -> str:
    if not url:
        raise InvalidArgument(
            "store.url names no PostgreSQL database; a file is brought up to date by the server itself.",
            next_step="Set OLLAMA_MCP_STORE__URL to postgresql://user@host/database.",
        )
    require_postgres()
    return url
