"""`ollama-mcp-server tune`: measures how many requests at a time a model is worth, for `work.parallel: auto`."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict

from ollama_mcp.cli.options import cloud_key, load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.cli.progress_line import ProgressLine
from ollama_mcp.hosts import HostPool
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store, Tuning
from ollama_mcp.work.batch.tune import tune_model
from ollama_mcp.work.own_context import own_context
from ollama_mcp.work.parallel import described
from ollama_mcp.work.progress import Progress


def tune(options: argparse.Namespace) -> int:
    """Measure, keep and print.

    Raises:
        OllamaMCPError: The model cannot be measured; nothing is kept.
    """
    settings = load_from_options(options).settings
    asyncio.run(_measure(settings, options.model, Output(options)))
    return 0


async def _measure(settings: Settings, name: str, output: Output) -> None:
    line, store = ProgressLine(), Store.from_settings(settings)
    progress = Progress(line.show if line.visible and not output.is_quiet else None)
    hosts = HostPool(settings, api_key=cloud_key())
    try:
        call = own_context(settings, hosts, store, progress=progress)
        model, tuning = await tune_model(call, name)
    finally:
        line.clear()
        await hosts.aclose()
        await store.aclose()
    if output.is_json:
        output.json({"model": model, "host": hosts.url, "is_kept": store.persistent, **asdict(tuning)})
        return
    print(f"{model} on {hosts.url}")
    print("\n".join(_table(tuning)))
    print(described(tuning, model))
    if not store.persistent:
        print("It is not kept: the store is in memory (store.path, read_only).")
    elif settings.work.parallel != "auto":
        print('It is used once the setting work.parallel is "auto".')


def _table(tuning: Tuning) -> list[str]:
    rows = [f"{parallel:>18}  {rate:>10.1f}" for parallel, rate in tuning.steps.items()]
    return [f"{'requests at a time':>18}  {'requests/s':>10}", *rows]
