"""Message streams in the shape of the SDK's, without its task switch per message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio
from mcp.shared._stream_protocols import ReadStream
from mcp.shared.message import SessionMessage


class _Stream:
    async def aclose(self) -> None:
        """Nothing to close here: who opened the connection closes it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        await self.aclose()


class MessageSource(_Stream, ABC):
    """A connection's messages to the server."""

    @abstractmethod
    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: The client has closed its side.
        """

    def __aiter__(self) -> ReadStream[SessionMessage | Exception]:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class MessageSink(_Stream, ABC):
    """A connection's messages to the client."""

    @abstractmethod
    async def send(self, item: SessionMessage, /) -> None:
        """Sends one message.

        Raises:
            anyio.BrokenResourceError: The client no longer reads.
        """
