"""`ollama-mcp-server ledger export`: the rows of calls as JSON lines."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime

from ollama_mcp.cli.options import load_from_options
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store


def ledger(options: argparse.Namespace) -> int:
    """Print the rows since a moment, the oldest first."""
    asyncio.run(_export(load_from_options(options).settings, _moment(options.since)))
    return 0


async def _export(settings: Settings, since: float) -> None:
    store = Store.for_ledger(settings)
    try:
        assert store.ledger is not None
        async for entry in store.ledger.entries(since):
            print(json.dumps(entry, separators=(",", ":")))
    finally:
        await store.aclose()


def _moment(text: str) -> float:
    """Seconds since 1970 of a date or a time; one without a zone is of this machine's."""
    if not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(f"--since takes a date, not {text[:40]!r}.", next_step="Such as 2026-01-31.") from None
    return moment.astimezone(UTC).timestamp()
