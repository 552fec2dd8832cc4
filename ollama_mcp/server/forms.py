"""Forms that ask the user, in both eras of the protocol.

Clients of the handshake versions are sent an elicitation request while the call waits. Since version 2026-07-28 the
call ends with the question and is made again with the answer; what it carries back is only a name for the open
question, good once, and the SDK seals it to the tool, its arguments and the caller. In both eras the tool runs again
from its beginning.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.text import escape

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from ollama_mcp.server.progress import Progress

VALID_SECONDS = 600.0
_MOST_OPEN = 1_000
_MESSAGE_CHARS = 600
_FIELD = "confirm"


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the user, answered by yes or no.

    Args:
        key: What a yes is good for: action and subject.
        message: The consequence, a full sentence.
        label: What stands beside the box to tick.
        refusal: Raised when the answer is anything but yes.
        accept: Called on yes.
        decline: Called on no, but not where no answer came.
    """

    key: str
    message: str
    label: str
    refusal: OllamaMCPError
    accept: Callable[[], None] = _nothing
    decline: Callable[[], None] = _nothing

    def request(self) -> ElicitRequest:
        """The form: a flat one with one boolean."""
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {_FIELD: {"type": "boolean", "title": escape(self.label), "default": False}},
            "required": [_FIELD],
        }
        message = escape(self.message, _MESSAGE_CHARS)
        return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


class NeedsInput(Exception):
    """Leaves a tool until the user has answered."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.key)
        self.question = question


@dataclass(frozen=True, slots=True)
class _Open:
    question: Question
    granted: frozenset[str]
    at: float


def can_ask(context: Context[None, Any] | None) -> bool:
    """Whether the client of this call can show a form now."""
    capabilities = context.client_capabilities if context is not None else None
    able = capabilities.elicitation if capabilities else None
    if context is None or able is None or (able.form is None and able.url is not None):
        return False
    return is_modern(context) or context.session.can_send_request


def is_modern(context: Context[None, Any]) -> bool:
    """Whether questions travel in the results of calls (2026-07-28) instead of as requests of their own."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


class Forms:
    """The forms of one server process.

    Args:
        answer_seconds: How long a form waits for the user.
    """

    def __init__(self, answer_seconds: float) -> None:
        self._seconds = answer_seconds
        self._open: dict[str, _Open] = {}

    def take(self, context: Context[None, Any] | None) -> set[str]:
        """What the user agreed to, where a call brings the answer to an open question; each answer counts once.

        Raises:
            OllamaMCPError: The question's refusal: the answer is not yes.
        """
        state = context.request_state if context is not None else None
        asked = self._open.pop(state, None) if state else None
        if context is None or asked is None or time.monotonic() - asked.at > VALID_SECONDS:
            return set()
        answer = (context.input_responses or {}).get(_FIELD)
        if answer is None:
            return set(asked.granted)
        _judge(answer, asked.question)
        return {*asked.granted, asked.question.key}

    def result(self, question: Question, granted: set[str]) -> InputRequiredResult:
        """The result that asks; the call comes again with the answer."""
        now = time.monotonic()
        kept = list(self._open.items())[1 - _MOST_OPEN :]
        self._open = {name: asked for name, asked in kept if now - asked.at < VALID_SECONDS}
        name = secrets.token_urlsafe(16)
        self._open[name] = _Open(question, frozenset(granted), now)
        return InputRequiredResult(input_requests={_FIELD: question.request()}, request_state=name)

    async def ask(self, context: Context[None, Any], question: Question, progress: Progress) -> str:
        """Ask while the call waits; returns the key of what was agreed to.

        Raises:
            OllamaMCPError: The question's refusal: no, no answer in time, or an answer that is none.
        """
        params = question.request().params
        assert isinstance(params, ElicitRequestFormParams)
        try:
            async with progress.phase("waiting for the user's answer"), asyncio.timeout(self._seconds):
                answer = await context.session.elicit_form(
                    params.message, params.requested_schema, related_request_id=context.request_id
                )
        except (MCPError, ValidationError, TimeoutError):
            raise question.refusal from None
        _judge(answer, question)
        return question.key


def _judge(answer: object, question: Question) -> None:
    """Pass on a plain yes only: a form that was sent off without its box ticked is a no."""
    if not isinstance(answer, ElicitResult):
        raise question.refusal
    if answer.action == "accept" and (answer.content or {}).get(_FIELD) is True:
        question.accept()
        return
    if answer.action != "cancel":
        question.decline()
    raise question.refusal
