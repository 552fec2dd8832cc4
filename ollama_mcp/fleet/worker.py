"""A worker: the loop of the queue that takes ranges, and the sweep that takes over those of dead workers."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from procrastinate import App, JobContext

from ollama_mcp.errors import DiskError
from ollama_mcp.fleet.queue import queue_connector
from ollama_mcp.fleet.sweep import sweep
from ollama_mcp.fleet.tables import QUEUE, TASK
from ollama_mcp.fleet.work import RANGES, RangeWorker, Recorded
from ollama_mcp.store.patient import RETRY_SECONDS
from ollama_mcp.work.parallel import DEFAULT_PARALLEL

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings
    from ollama_mcp.store.database import Database
    from ollama_mcp.work.call_context import CallContext

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 1.0
# How soon a job or a cancel is found where no notification comes.
_POLL_SECONDS = 1.0
# Signs of life in the time after which a worker is lost.
_BEATS = 5
# What has begun may end before this: the queue shows no sign of life any more once its own loop ends.
_DRAIN_SECONDS = 3.5
_ABORT_SECONDS = 0.7
# The library's own way to forget workers that died, which is left to the sweep.
_NEVER_SECONDS = 86_400.0


def lanes_of(settings: Settings) -> int:
    """How many requests a worker sends at a time where nothing else is said."""
    parallel = settings.work.parallel
    return DEFAULT_PARALLEL if parallel == "auto" else parallel


def quiet_libraries() -> None:
    """What the queue's library logs of each job is told by our own log where it matters."""
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


class Worker:
    """Takes ranges until it is told to stop.

    Args:
        call: The context in which ranges are worked on; its store is in PostgreSQL.
        lanes: How many requests are sent at a time.
        drain_seconds: How long what has begun may take to end.
        recorded: Records the work on a range; None records nothing.
    """

    def __init__(
        self,
        call: CallContext,
        lanes: int,
        drain_seconds: float = _DRAIN_SECONDS,
        recorded: Recorded | None = None,
    ) -> None:
        self._database: Database = call.store.database
        self._lost_seconds = call.settings.fleet.lost_seconds
        self._drain_seconds = drain_seconds
        self._ranges = RangeWorker(call, lanes, recorded)
        self._stopping = asyncio.Event()
        listen_url = call.settings.store.listen_url
        self._app = App(connector=queue_connector(call.store.url, listen_url, self._ranges.at_work, self._stopping))
        self._app.task(name=TASK, queue=QUEUE, pass_context=True)(self._work)

    async def _work(self, context: JobContext, run: int, no: int) -> None:
        assert context.job.id is not None
        await self._ranges.work(run, no, context.job.id)

    async def run(self, stop: asyncio.Event) -> None:
        """Take ranges until `stop` is set; then what has begun may end, and the rest is left to others."""
        tasks = [asyncio.create_task(self._take()), asyncio.create_task(self._sweep())]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            # With signs of life.
            await self._ranges.lanes.close(self._drain_seconds)
        finally:
            self._stopping.set()
            stopped.cancel()
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("The worker failed.", exc_info=result)
            await self._ranges.aclose()

    async def _take(self) -> None:
        """Run the queue's loop, and again whenever it ends."""
        while True:
            try:
                async with self._app.open_async():
                    await self._app.run_worker_async(
                        queues=[QUEUE],
                        name="ollama",
                        concurrency=RANGES,
                        fetch_job_polling_interval=_POLL_SECONDS,
                        abort_job_polling_interval=_POLL_SECONDS,
                        shutdown_graceful_timeout=_ABORT_SECONDS,
                        delete_jobs="always",
                        install_signal_handlers=False,
                        update_heartbeat_interval=self._lost_seconds / _BEATS,
                        stalled_worker_timeout=_NEVER_SECONDS,
                    )
            except Exception as error:
                log.warning("The queue's loop ended and starts again: %s", error.__cause__ or error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _sweep(self) -> None:
        """Take over what dead workers left."""
        was_away = False
        while True:
            # After a time without the database, others could not show a sign of life either.
            await asyncio.sleep(self._lost_seconds if was_away else _SWEEP_SECONDS)
            try:
                own = tuple(self._ranges.at_work)
                found = await self._database.run(partial(sweep, seconds=self._lost_seconds, own=own))
                was_away = False
            except DiskError as error:
                was_away = True
                log.debug("sweep: %s", error)
                continue
            for one in found:
                how = "its worker is lost" if one.status == "doing" else f"its job is {one.status or 'gone'}"
                marked = f"; {one.marked} rows are errors now" if one.marked else ""
                # A worker that was told to end leaves its ranges in order.
                level = logging.WARNING if one.status == "doing" else logging.INFO
                log.log(level, "Range %d of run %d goes to another job: %s%s.", one.no, one.run, how, marked)
