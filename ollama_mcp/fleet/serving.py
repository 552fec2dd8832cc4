"""Working on ranges inside a server's process, with its hosts and queues; it goes on whatever happens here."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.fleet.checks import check_tables
from ollama_mcp.fleet.worker import Worker, lanes_of, quiet_libraries

if TYPE_CHECKING:
    from ollama_mcp.fleet.work import Recorded
    from ollama_mcp.work.call_context import CallContext

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 5.0
# A server that is told to stop has its clients to answer too.
_DRAIN_SECONDS = 1.5


async def serve_ranges(call: CallContext, stop: asyncio.Event, recorded: Recorded | None = None) -> None:
    """Take ranges until `stop` is set, as a worker does; begins again after whatever ends it.

    Args:
        call: The context in which ranges are worked on, of the server.
        stop: Set when the server stops.
        recorded: Records the work on a range; None records nothing.
    """
    quiet_libraries()
    usage, said = call.store.usage, ""
    listener = usage.listener
    while not stop.is_set():
        try:
            await call.store.database.run(check_tables)
            await Worker(call, lanes_of(call.settings), _DRAIN_SECONDS, recorded).run(stop)
        except OllamaMCPError as error:
            if error.message != said:
                said = error.message
                log.warning("No rows are worked on here for now: %s %s", error.message, error.next_step or "")
        except Exception:
            log.exception("The work on rows ended, and begins again.")
        finally:
            usage.listener = listener
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _AGAIN_SECONDS)
