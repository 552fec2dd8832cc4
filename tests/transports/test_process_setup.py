"""Signals and the limit of open files."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from ollama_mcp.server.transports.process_setup import ForcedEnd, raise_open_files, stopping_on_signals


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    entered: list[bool] = []

    async def serve() -> None:
        with stopping_on_signals(lambda: None, ForcedEnd(None)):
            entered.append(True)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    thread.join(10)
    assert entered == [True]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        raise_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
