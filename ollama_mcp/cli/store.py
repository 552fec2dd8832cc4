"""`ollama-mcp-server store show | purge | upgrade | copy`: what the server has kept, and its deletion."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from ollama_mcp import clock
from ollama_mcp.cli.options import load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.server.formatting import format_bytes
from ollama_mcp.store import Store
from ollama_mcp.store.content import Held
from ollama_mcp.work.batch.concurrency import is_locked, run_lock

# Locks are seen on one machine only, and a run is marked as used at most once an hour.
_IN_USE_SECONDS = 2 * 3_600


def store(options: argparse.Namespace) -> int:
    """Show what the store holds, delete what nobody works on, or see to the tables of a PostgreSQL database.

    Raises:
        DiskError: The store cannot be used.
        InvalidArgument: The settings name no database, or the address is none.
    """
    settings = load_from_options(options).settings
    if options.action in ("upgrade", "copy"):
        from ollama_mcp.cli import store_database

        return getattr(store_database, options.action)(options, settings)
    kept, output = Store.from_settings(settings), Output(options)
    if not kept.url and ((path := kept.path) is None or not path.exists()):
        if output.is_json:
            output.json({"path": str(path) if path else None, "bytes": 0, "kept": []})
            return 0
        where = "in memory (store.path, read_only)" if path is None else f"not there yet ({path})"
        print(f"Nothing is kept: the store is {where}.")
    elif options.action == "show":
        held = asyncio.run(_held(kept))
        where, size = _where(kept), _size(kept)
        if output.is_json:
            output.json({"path": where, "bytes": size, "kept": [one._asdict() for one in held]})
            return 0
        print(f"{where} ({format_bytes(size)})")
        rows = [(one.kind, f"{one.number:,}", format_bytes(one.size) if one.size else None) for one in held]
        output.table(("kept", "number", "size"), rows)
        for file in kept.copies():
            print(f"Copy of an older version: {file} ({format_bytes(file.stat().st_size)})")
    else:
        before, copies = _size(kept), kept.copies()
        deleted, in_use, at_workers = asyncio.run(_purge(kept))
        for file in copies:
            file.unlink(missing_ok=True)
        print(f"Deleted: {deleted}, all embeddings, {len(copies)} copies of older versions.")
        print("Kept: what runs now, notes on models, measurements, and counts of usage.")
        if at_workers:
            print(f"Kept: {at_workers} batches whose rows workers have; ollama_job cancels them.")
        if in_use:
            print(f"Kept: {in_use} batches that were used within two hours; another machine may be at work on them.")
        print(f"{_where(kept)}: {format_bytes(before)} before, {format_bytes(_size(kept))} now.")
        if kept.url:
            print("PostgreSQL itself gives the space back, when it next vacuums these tables.")
    return 0


async def _held(kept: Store) -> list[Held]:
    try:
        return await kept.held()
    finally:
        await kept.aclose()


async def _purge(kept: Store) -> tuple[str, int, int]:
    """Delete the content; tell how much it was, how many batches may be at work elsewhere, and how many at workers."""
    try:
        jobs, batches, in_use = await kept.purge_jobs(), 0, 0
        at_workers = await kept.at_workers()
        for run in await kept.batches.unfinished():
            if run.key in at_workers:
                continue
            if kept.url and run.touched > clock.now() - _IN_USE_SECONDS:
                in_use += 1
            elif not await is_locked(run_lock(run.key)):
                await (await kept.batches.open(run.key, total=None, metadata={})).remove()
                batches += 1
        profiles = await kept.profiles.clear()
        await kept.embeddings.clear()
        if kept.path is not None and await asyncio.to_thread(kept.path.exists):
            await kept.searched_files.clear()
        return f"{jobs} jobs, {batches} unfinished batches, {profiles} profiles", in_use, len(at_workers)
    finally:
        await kept.aclose()


def _where(kept: Store) -> str:
    if not kept.url:
        return str(kept.path)
    from ollama_mcp.store.postgres_errors import shown

    return shown(kept.url)


def _size(kept: Store) -> int:
    if kept.url:
        from ollama_mcp.store.postgres_state import size_of

        return size_of(kept.url)
    return (kept.path or Path()).stat().st_size
