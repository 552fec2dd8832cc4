"""The questions of one task to its client, which tasks/get shows and tasks/update answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from mcp.types import ElicitRequest, ElicitResult
from pydantic import ValidationError

from ollama_mcp import clock
from ollama_mcp.errors import InvalidArgument


class TaskInputs:
    """The questions of a call that may become a task.

    Attributes:
        is_open: Whether the call has become a task, so that its questions are asked here.
        changed: Set, and replaced by a new event, when a question was asked or answered.
        changed_at: When that was last, in seconds of the wall clock; 0.0 for never.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.changed = asyncio.Event()
        self.changed_at = 0.0
        self._asked: dict[str, tuple[ElicitRequest, asyncio.Future[ElicitResult]]] = {}

    @property
    def requests(self) -> dict[str, Any]:
        """The questions without an answer by their keys, as they go over the wire."""
        return {
            key: request.model_dump(by_alias=True, mode="json", exclude_none=True)
            for key, (request, answer) in self._asked.items()
            if not answer.done()
        }

    async def ask(self, request: ElicitRequest) -> ElicitResult:
        """Ask, and wait for the answer."""
        # Random, since no key may come again in the life of a task, and a task may outlive a process.
        key = f"input-{secrets.token_hex(8)}"
        answer: asyncio.Future[ElicitResult] = asyncio.get_running_loop().create_future()
        self._asked[key] = (request, answer)
        self._tell()
        try:
            return await answer
        finally:
            del self._asked[key]
            self._tell()

    def answer(self, responses: Mapping[str, Any]) -> None:
        """Take answers; those to no open question are ignored.

        Raises:
            InvalidArgument: An answer is none to a form; no answer was taken then.
        """
        open_keys = [key for key, (_, answer) in self._asked.items() if key in responses and not answer.done()]
        try:
            taken = {key: ElicitResult.model_validate(responses[key]) for key in open_keys}
        except ValidationError:
            raise InvalidArgument(
                "inputResponses has an answer that is no elicitation result.",
                next_step="Send {'action': 'accept'}, 'decline' or 'cancel'.",
            ) from None
        for key, result in taken.items():
            self._asked[key][1].set_result(result)
        if taken:
            self._tell()

    def _tell(self) -> None:
        self.changed_at = clock.now()
        self.changed.set()
        self.changed = asyncio.Event()
