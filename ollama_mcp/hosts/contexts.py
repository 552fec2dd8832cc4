"""The contexts that models run with now: what `ps` shows, and what this process asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.names import parse_name, same_model

if TYPE_CHECKING:
    from ollama_mcp.api import RunningModel

SECONDS = 2.0


class Contexts:
    """What is loaded on a host, at most two seconds old.

    Every chat asks for it, so that many at once ask the host once.

    Args:
        ask: Gives the loaded models.
    """

    def __init__(self, ask: Callable[[], Awaitable[list[RunningModel]]]) -> None:
        self._ask = ask
        self._at = float("-inf")
        self._running: list[RunningModel] = []
        self._asking: asyncio.Task[list[RunningModel]] | None = None
        self._sent: dict[str, int] = {}

    async def loaded(self, model: str) -> RunningModel | None:
        """The model as it is loaded; None where it is not, or the host does not say."""
        if time.monotonic() - self._at > SECONDS:
            await self._refresh()
        return next((running for running in self._running if same_model(running.name, model)), None)

    def sent(self, model: str) -> int | None:
        """The num_ctx that this process asked for last."""
        return self._sent.get(parse_name(model).key)

    def remember(self, model: str, num_ctx: int) -> None:
        """Keep the num_ctx that a request carries; what was known of loaded models is no longer true."""
        if self._sent.get(parse_name(model).key) != num_ctx:
            self._sent[parse_name(model).key] = num_ctx
            self.forget()

    def answered(self, model: str) -> None:
        """The model answered: where it was not loaded before, it is now."""
        if not any(same_model(running.name, model) for running in self._running):
            self.forget()

    def forget(self) -> None:
        """Ask the host again at the next call."""
        self._at = float("-inf")

    async def _refresh(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._asked())
        # Shielded: one caller that gives up does not take the answer from the others.
        self._running = await asyncio.shield(self._asking)

    async def _asked(self) -> list[RunningModel]:
        try:
            return await self._ask_host()
        finally:
            self._asking = None

    async def _ask_host(self) -> list[RunningModel]:
        try:
            running = await self._ask()
        except OllamaMCPError:
            # The call itself will say what is wrong with the host.
            return []
        self._at = time.monotonic()
        return running
