"""The file of a report: checked before the work, written after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed
from ollama_mcp.work.threads import open_in_thread

if TYPE_CHECKING:
    from ollama_mcp.access import Output
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.report.page import Page

SUFFIXES = (".html",)


@asynccontextmanager
async def open_report(call: CallContext, path: str, *, overwrite: bool) -> AsyncGenerator[Output | None]:
    """The file of a report, refused before any work where it may not be written; None where `path` is "".

    Args:
        call: The context of the call.
        path: A path that ends in .html, under the rules for outputs.
        overwrite: Whether an existing file may be replaced.

    Raises:
        OllamaMCPError: The name or the folder is not allowed, or the file exists.
    """
    if not path:
        yield None
        return
    prepare = partial(call.access.prepare_output, path, SUFFIXES, overwrite=overwrite, again=call.resumed)
    with await open_in_thread(prepare) as output:
        yield output


async def write_report(output: Output, page: Page) -> str:
    """Write a page; returns why it could not be, since the work that it is about took long, or ""."""
    try:
        await asyncio.to_thread(lambda: output.write([page.render()]))
    except (DiskError, InvalidArgument, NotAllowed) as error:
        return f"[{error.kind}] {error}"
    return ""
