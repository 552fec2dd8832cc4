"""`ollama-mcp-server store show | purge`: what the server has kept, and its deletion."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from ollama_mcp.cli.options import load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.server.formatting import format_bytes
from ollama_mcp.store import Store
from ollama_mcp.store.content import Held
from ollama_mcp.work.batch.concurrency import is_locked, run_lock


def store(options: argparse.Namespace) -> int:
    """Show what the store holds, or delete what nobody works on.

    Raises:
        DiskError: The store cannot be used.
    """
    kept, output = Store.from_settings(load_from_options(options).settings), Output(options)
    if (path := kept.path) is None or not path.exists():
        if output.is_json:
            output.json({"path": str(path) if path else None, "bytes": 0, "kept": []})
            return 0
        where = "in memory (store.path, read_only)" if path is None else f"not there yet ({path})"
        print(f"Nothing is kept: the store is {where}.")
    elif options.action == "show":
        held = asyncio.run(_held(kept))
        if output.is_json:
            output.json({"path": str(path), "bytes": path.stat().st_size, "kept": [one._asdict() for one in held]})
            return 0
        print(f"{path} ({_size(path)})")
        rows = [(one.kind, one.number, format_bytes(one.size) if one.size else None) for one in held]
        output.table(("kept", "number", "size"), rows)
        for file in kept.copies():
            print(f"Copy of an older version: {file} ({_size(file)})")
    else:
        before, copies = _size(path), kept.copies()
        deleted = asyncio.run(_purge(kept))
        for file in copies:
            file.unlink(missing_ok=True)
        print(f"Deleted: {deleted}, all embeddings, {len(copies)} copies of older versions.")
        print("Kept: what runs now, notes on models, measurements, and counts of usage.")
        print(f"{path}: {before} before, {_size(path)} now.")
    return 0


async def _held(kept: Store) -> list[Held]:
    try:
        return await kept.held()
    finally:
        await kept.aclose()


async def _purge(kept: Store) -> str:
    """Delete the content, and tell how much it was."""
    try:
        jobs, batches = await kept.purge_jobs(), 0
        for run in await kept.batches.unfinished():
            if not await is_locked(run_lock(run.key)):
                await (await kept.batches.open(run.key, total=None, metadata={})).remove()
                batches += 1
        profiles = await kept.profiles.clear()
        await kept.searched_files.clear()
        await kept.embeddings.clear()
        return f"{jobs} jobs, {batches} unfinished batches, {profiles} profiles"
    finally:
        await kept.aclose()


def _size(file: Path) -> str | None:
    return format_bytes(file.stat().st_size)
