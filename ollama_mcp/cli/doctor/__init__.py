"""`ollama-mcp-server doctor`: checks everything between a host and a model's answer, in order, with what to do."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import asdict

from ollama_mcp.cli.doctor.check import Check, exit_code
from ollama_mcp.cli.install.machine import Machine
from ollama_mcp.cli.options import cloud_key, load_from_options, to_arguments
from ollama_mcp.cli.output import Output
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.escaping import escape
from ollama_mcp.hosts import HostPool, open_pool
from ollama_mcp.settings import LoadedSettings
from ollama_mcp.store import Store

_MARKS = {"ok": "ok", "warning": "WARNING", "broken": "BROKEN"}
_COLOURS = {"ok": "32", "warning": "33", "broken": "31"}
_MAX_CHARS = 2_000


def doctor(options: argparse.Namespace) -> int:
    """Make all checks and print each as it is done; returns 0, 1 with warnings, 2 where something is broken."""
    return asyncio.run(_report(options))


async def _report(options: argparse.Namespace) -> int:
    checks: list[Check] = []
    output = Output(options)
    async for check in _checks(options):
        checks.append(check)
        if not options.json and not (options.quiet and check.verdict == "ok"):
            _show(check, is_coloured=output.is_coloured and sys.stdout.isatty())
    code = exit_code(checks)
    if options.json:
        output.json({"exit_code": code, "checks": [asdict(check) for check in checks]})
    elif not options.quiet:
        print(("All is well.", "It works, with warnings.", "Something is broken.")[code])
    return code


async def _checks(options: argparse.Namespace) -> AsyncGenerator[Check]:
    from ollama_mcp.cli.doctor.machine import check_settings, check_versions

    yield check_versions()
    try:
        loaded = load_from_options(options)
        hosts = open_pool(loaded.settings, api_key=cloud_key())
    except InvalidArgument as error:
        # Everything else depends on the settings.
        yield Check("settings", error.message, "broken", error.next_step or "Correct that setting.")
        return
    yield check_settings(loaded)
    store = Store.from_settings(loaded.settings)
    if store.url:
        from ollama_mcp.cli.doctor.database import check_database

        async for check in check_database(store.url):
            yield check
    try:
        async for check in _of_ollama(loaded, hosts, store):
            yield check
    finally:
        await hosts.aclose()
        await store.aclose()
    async for check in _of_machine(loaded, hosts.url, store, options):
        yield check


async def _of_ollama(loaded: LoadedSettings, hosts: HostPool, store: Store) -> AsyncGenerator[Check]:
    from ollama_mcp.cli.doctor.models import check_models
    from ollama_mcp.cli.doctor.network import check_host

    answers = False
    for host in hosts.members:
        label = f"{host.config.name}: " if len(hosts.members) > 1 else ""
        origin = loaded.origins.get("hosts" if label else "host", "default")
        yield Check(f"{label}address", f"{host.url} ({origin})")
        is_whole = True
        async for check in check_host(host, label=label):
            is_whole = is_whole and check.verdict != "broken"
            yield check
        answers = answers or is_whole
    if answers:
        async for check in check_models(loaded.settings, hosts, store):
            yield check


async def _of_machine(
    loaded: LoadedSettings, url: str, store: Store, options: argparse.Namespace
) -> AsyncGenerator[Check]:
    from ollama_mcp.cli.doctor.machine import check_disk, check_folders, check_proxies
    from ollama_mcp.cli.doctor.starts import check_hosts, check_own_start

    for check in (*check_disk(store), *check_folders(loaded.settings), check_proxies(url)):
        yield check
    yield await check_own_start(to_arguments(options))
    async for check in check_hosts(Machine.here()):
        yield check


def _show(check: Check, *, is_coloured: bool) -> None:
    mark = f"{_MARKS[check.verdict]:8}"
    if is_coloured:
        mark = f"\x1b[{_COLOURS[check.verdict]}m{mark}\x1b[0m"
    # What hosts and files say may not move the cursor.
    print(f"{mark} {check.name:10} {escape(check.found, _MAX_CHARS)}", flush=True)
    if check.fix:
        print(f"{'':8} {'':10} -> {escape(check.fix, _MAX_CHARS)}", flush=True)
