"""`ollama-mcp-server jobs`, which follows the long work of servers, and `usage`, which counts what was done."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from typing import Any

from ollama_mcp.cli.calling import call
from ollama_mcp.cli.options import cloud_key, load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store
from ollama_mcp.store.content import jobs_kept
from ollama_mcp.work.progress import counted

_ACTIONS = {"show": "status"}


def jobs(options: argparse.Namespace) -> int:
    """List jobs, or show, fetch, cancel or resume one.

    Raises:
        InvalidArgument: The id is missing, or the list was given one.
    """
    if bool(options.id) is (options.action == "list"):
        raise InvalidArgument(f"jobs {options.action} takes {'no' if options.id else 'the'} id of a job.")
    arguments: dict[str, Any] = {"action": _ACTIONS.get(options.action, options.action)}
    if options.id:
        arguments["id"] = options.id
    if options.offset:
        arguments["offset"] = options.offset
    output = Output(options, spare=("seconds", "rate", "since"))
    # What it warns of is the error of this command.
    logging.getLogger("ollama_mcp.server.durable_jobs").setLevel(logging.ERROR)
    result = call(options, "ollama_job", arguments)
    code = output.result(result)
    if options.action == "list" and not result.is_error:
        listed: dict[str, Any] = result.structured_content or {}
        others = asyncio.run(_kept(load_from_options(options).settings)) - len(listed["jobs"])
        if others > 0:
            output.note(f"In the store: {counted(others, 'job')} of tokens or sessions, whose clients alone see them.")
    return code


async def _kept(settings: Settings) -> int:
    """How many jobs the store has, whosever they are."""
    store = Store.from_settings(settings)
    try:
        if not store.url and (store.path is None or not await asyncio.to_thread(store.path.exists)):
            return 0
        return await jobs_kept(store.database)
    finally:
        await store.aclose()


def usage(options: argparse.Namespace) -> int:
    """Print the calls and tokens of all time by model, as the resource ollama://usage has them.

    Raises:
        DiskError: The database of the store cannot be used.
        InvalidArgument: Its address is none, or what it needs is not installed.
    """
    output, counted = Output(options), asyncio.run(_usage(options))
    if output.is_json:
        output.json(counted)
        return 0
    in_all: dict[str, Any] = counted.get("in_all", {})
    rows: list[tuple[object, ...]] = []
    for where in ("local", "cloud"):
        if where in in_all:
            rows += [_row(where, one["model"], one) for one in in_all.get(f"{where}_models", [])]
            rows.append(_row(where, "all", in_all[where]))
    if not counted["counted"]:
        print("Nothing is counted: the setting store.usage is off.")
    elif not rows:
        print("Nothing was done yet.")
    else:
        output.table(("where", "model", "calls", "tokens read", "written", "of files", "seconds"), rows)
    return 0


def _row(where: str, model: str, counts: dict[str, Any]) -> tuple[object, ...]:
    numbers = (counts["calls"], counts["prompt_tokens"], counts["tokens"], counts["file_tokens"], counts["seconds"])
    return (where, model, *(f"{number:,}" for number in numbers))


async def _usage(options: argparse.Namespace) -> dict[str, Any]:
    server = OllamaServer(load_from_options(options).settings, api_key=cloud_key())
    try:
        if server.store.url:
            # Counts that cannot be read are none to a status; here they are all that was asked for.
            await server.store.database.run(lambda connection: None)
        (found,) = await server.read_resource("ollama://usage")
        return json.loads(found.content)
    finally:
        await server.aclose()
