"""`ollama-mcp-server store upgrade | copy`: the tables of a PostgreSQL database, and what a file held before."""

from __future__ import annotations

import argparse

from ollama_mcp.cli.output import Output
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings import Settings
from ollama_mcp.store.database import require_postgres


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


def _url(url: str) -> str:
    if not url:
        raise InvalidArgument(
            "store.url names no PostgreSQL database; a file is brought up to date by the server itself.",
            next_step="Set OLLAMA_MCP_STORE__URL to postgresql://user@host/database.",
        )
    require_postgres()
    return url
