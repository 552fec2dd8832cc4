"""What is told of the server's work to whoever answers for it: of each call and of each exchange with a host.

A server whose settings ask for none of it loads none of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult
from msgspec import UNSET

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL
from ollama_mcp.server.elicitation import NeedsInput
from ollama_mcp.server.results import META
from ollama_mcp.store.ledger import MAX_NAME_CHARS, LedgerRow, Traffic

if TYPE_CHECKING:
    from ollama_mcp.api.metering import Exchange
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.server.bound_tool import BoundTool
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Store
    from ollama_mcp.store.ledger import Ledger


LOCAL_USER = "local"
_BATCH = "ollama_batch"
# How long the rows wait for the digests; the end of the process waits for them.
_DIGEST_SECONDS = 0.5
# Set where a call begins, inherited by its tasks.
_CURRENT_ROW: ContextVar[LedgerRow | None] = ContextVar("ledger_row", default=None)


class Recorder(Protocol):
    """Where observations go beside the ledger."""

    def begin(self, exchange: Exchange) -> None:
        """An exchange with a host begins."""
        ...

    def end(self, exchange: Exchange) -> None:
        """It is over."""
        ...

    def called(self, row: LedgerRow) -> None:
        """A call is over."""
        ...

    def start(self) -> None:
        """The server begins to serve."""
        ...

    def stop(self) -> None:
        """The server has ended; it does not wait for long."""
        ...


class Observer:
    """Follows each call from its beginning to its end, and what it exchanges with hosts.

    Args:
        ledger: Gets a row of each call; None keeps none.
        recorders: Are told of all of it.
        hosts: Know the digests of models.
    """

    def __init__(self, ledger: Ledger | None, recorders: Sequence[Recorder], hosts: HostPool) -> None:
        self._ledger, self.recorders, self._hosts = ledger, recorders, hosts
        # What no call asked for: lists of models, checks of hosts.
        self._outside = LedgerRow(LOCAL_USER, "")
        # By host and model, until rows are written the next time: finding one takes longer than all else of a row.
        self._digests: dict[tuple[str, str], str] = {}
        self._undigested: list[Traffic] = []
        if ledger is not None:
            ledger.prepare = self._prepare

    def start(self) -> None:
        """The server begins to serve."""
        for recorder in self.recorders:
            recorder.start()

    async def run(
        self, run: Callable[..., Awaitable[CallToolResult]], tool: BoundTool, *arguments: Any
    ) -> CallToolResult:
        """Run a tool's work and record what became of it; raises what it raises."""
        row = LedgerRow(caller_name(), tool.name)
        started = time.monotonic()
        token = _CURRENT_ROW.set(row)
        row.outcome = "cancelled"
        try:
            result = await run(tool, *arguments)
            row.outcome = outcome_of(result) if result.is_error else "ok"
            return result
        except NeedsInput:
            row.outcome = "needs_input"
            raise
        except Exception as error:
            row.outcome = _kind(error)
            raise
        finally:
            _CURRENT_ROW.reset(token)
            row.seconds = time.monotonic() - started
            self._add(row)

    @contextmanager
    def range_of(self, who: str) -> Generator[None]:
        """Record the work on rows of a batch that another process gave out, as a call of whoever began it."""
        row = LedgerRow(who, _BATCH, "cancelled")
        started = time.monotonic()
        token = _CURRENT_ROW.set(row)
        try:
            yield
            row.outcome = "ok"
        except Exception as error:
            row.outcome = _kind(error)
            raise
        finally:
            _CURRENT_ROW.reset(token)
            row.seconds = time.monotonic() - started
            self._add(row)

    def refused(self, tool: str, error: Exception) -> None:
        """Record a call that failed before its work began.

        Args:
            tool: Its name, "" where there is none of that name: whoever calls may have put anything there.
            error: What it failed with.
        """
        # What work fails with becomes a result, except for what the protocol itself says of a task.
        if not isinstance(error, MCPError):
            self._add(LedgerRow(caller_name(), tool, _kind(error)))

    @property
    def takes_sums(self) -> bool:
        """Whether the ledger alone is told of what is exchanged."""
        return not self.recorders

    def begin(self, exchange: Exchange) -> None:
        """An exchange with a host begins."""
        for recorder in self.recorders:
            recorder.begin(exchange)

    def end(self, exchange: Exchange) -> None:
        """It is over: its sums belong to the call that it was made for."""
        for recorder in self.recorders:
            recorder.end(exchange)
        of = exchange.host, exchange.address, exchange.model
        self.add(*of, 1, exchange.prompt_tokens, exchange.tokens, exchange.bytes_out, exchange.bytes_in)

    def add(
        self, host: str, address: str, model: str, requests: int, prompt_tokens: int, tokens: int, out: int, came: int
    ) -> None:
        """Add to the sums of the call that it is made for."""
        traffic, key = (_CURRENT_ROW.get() or self._outside_row()).traffic, (host, address, model)
        sums = traffic.get(key)
        if sums is None:
            name = model[:MAX_NAME_CHARS]
            traffic[key] = Traffic(host, address, name, UNSET, requests, prompt_tokens, tokens, out, came)
            return
        sums.requests += requests
        sums.prompt_tokens += prompt_tokens
        sums.tokens += tokens
        sums.bytes_out += out
        sums.bytes_in += came

    def fetched(self, address: str, size: int) -> None:
        """A server that is no host is asked ("https://example.com", 0), or answered with so many bytes."""
        self.add("", address, "", int(not size), 0, 0, 0, size)

    def _outside_row(self) -> LedgerRow:
        if self._ledger is None:
            # Nobody would ever take what is summed up there.
            return LedgerRow(LOCAL_USER, "")
        self._ledger.schedule()
        return self._outside

    def _add(self, row: LedgerRow) -> None:
        for recorder in self.recorders:
            recorder.called(row)
        if self._ledger is not None:
            for sums in row.traffic.values():
                if sums.model:
                    digest = self._digests.get((sums.host, sums.model))
                    if digest is None:
                        digest = self._digests[sums.host, sums.model] = self._hosts.known_digest(sums.model)
                    if digest:
                        sums.digest = digest
                    else:
                        self._undigested.append(sums)
            self._ledger.add(row)

    async def _prepare(self, rows: list[LedgerRow]) -> None:
        """Before rows are written: ask for digests that no call needed to know, and add what no call asked for."""
        self._digests, undigested, self._undigested = {}, self._undigested, []
        undigested += [sums for sums in self._outside.traffic.values() if sums.model]
        if not self._add_digests(undigested):
            with suppress(TimeoutError):
                async with asyncio.timeout(_DIGEST_SECONDS):
                    await self._hosts.installed()
            self._add_digests(undigested)
        if self._outside.traffic:
            rows.append(self._outside)
            self._outside = LedgerRow(LOCAL_USER, "")

    def _add_digests(self, undigested: list[Traffic]) -> bool:
        """Whether all are known now."""
        for sums in undigested:
            sums.digest = self._hosts.known_digest(sums.model) or UNSET
        return all(sums.digest for sums in undigested)

    async def aclose(self) -> None:
        """Write the last rows; call it before the hosts are closed."""
        if self._ledger is not None:
            await self._ledger.flush()
        for recorder in self.recorders:
            await asyncio.to_thread(recorder.stop)


def open_observer(settings: Settings, store: Store, hosts: HostPool) -> Observer | None:
    """The observer that the settings ask for; None where they ask for none. The hosts tell it of their exchanges."""
    recorders: list[Recorder] = []
    if settings.metrics.are_kept:
        from ollama_mcp.server.metrics import Metrics

        recorders.append(Metrics(hosts, settings.metrics.port))
    if settings.tracing:
        from ollama_mcp.server.tracing import Tracing

        recorders.append(Tracing())
    if store.ledger is None and not recorders:
        return None
    observer = Observer(store.ledger, recorders, hosts)
    hosts.measure(observer)
    return observer


def caller_name() -> str:
    """Who makes the call that this task works for: the name of the token, or "local" for the user of the process."""
    principal = CURRENT_PRINCIPAL.get()
    return LOCAL_USER if principal is None else principal.name


def outcome_of(result: CallToolResult) -> str:
    """The kind of the error that a result tells."""
    return str((result.meta or {}).get(f"{META}/error", {}).get("kind", "internal"))


def _kind(error: Exception) -> str:
    return error.kind if isinstance(error, OllamaMCPError) else "internal"
