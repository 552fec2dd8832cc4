"""Asking the user by a form (MCP elicitation), in both forms that the protocol has had.

Clients of versions with a handshake receive an elicitation request while the call waits. Since version 2026-07-28 the
call ends with the question, and the client repeats it with the answer. Its request state is then only a random name
for the open question, valid once, which the SDK seals to the tool, its arguments and the caller. In both cases the tool
runs again from its beginning, so that it judges by the state of that moment.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from ollama_mcp import clock
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.escaping import escape
from ollama_mcp.server.caller import session_of

if TYPE_CHECKING:
    from mcp_types import InputResponseRequestParams

    from ollama_mcp.server.caller import RequestContext
    from ollama_mcp.server.tasks.inputs import TaskInputs
    from ollama_mcp.work.progress import Progress

VALID_SECONDS = 600.0
# No user reads a question and says no sooner: the host did. A yes that soon is one that the user has set up there.
HOST_SECONDS = 0.3
# Among the granted keys: the host answered a form of the call by itself, so that nobody can be asked.
NO_USER = "no user"
_MAX_SESSIONS = 1_000
_MAX_PENDING = 1_000
_MESSAGE_CHARS = 600
# Names the question in the requests and responses of protocol 2026-07-28.
_KEY = "confirm"

Outcome = Literal["declined", "dismissed", "unanswered"]


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class UserQuestion:
    """One question to the user, answered by yes or no.

    Args:
        key: What a yes covers: action and subject.
        consequence: What a yes would do, as a full sentence.
        question: What is asked then, such as "Delete it?".
        refusal: Returns the error to raise when the answer is anything but yes.
        accept: Called on yes.
        decline: Called on no, but not when the form was dismissed or nobody answered.
        parts: What another process makes the same question of; None where only this one can.
    """

    key: str
    consequence: str
    question: str
    refusal: Callable[[Outcome], OllamaMCPError]
    accept: Callable[[], None] = _do_nothing
    decline: Callable[[], None] = _do_nothing
    parts: tuple[str, ...] | None = None

    def request(self) -> ElicitRequest:
        """The elicitation request: a form without fields, since a checkbox would ask twice. Accepting it is the yes."""
        schema: dict[str, Any] = {"type": "object", "properties": {}}
        # Names of models and files are chosen by others: no control character may change what the user reads.
        message = f"{escape(self.consequence, _MESSAGE_CHARS)} {self.question}"
        return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


class NeedsInput(Exception):
    """Ends the run of a tool until the user has answered a question."""

    def __init__(self, question: UserQuestion) -> None:
        super().__init__(question.key)
        self.question = question


@dataclass(frozen=True, slots=True)
class _PendingForm:
    question: UserQuestion
    granted_keys: frozenset[str]
    asked_at: float


def can_show_forms(context: RequestContext | None) -> bool:
    """Whether the client of this call can show the user a form now."""
    capabilities = context.session.client_capabilities if context is not None else None
    elicitation = capabilities.elicitation if capabilities else None
    # Clients older than the `url` mode declare an empty capability, which means forms.
    if context is None or elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    return is_modern(context) or context.session.can_send_request


def is_modern(context: RequestContext) -> bool:
    """Whether questions are results of calls (since 2026-07-28) instead of requests to the client."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


class Forms:
    """The open forms of one server process.

    Args:
        answer_seconds: How long a call waits for the user.
        restore: Makes a question of its parts, where several replicas share the secret that seals request states. The
            state of a question then has all of it, and counts once in each process.
        is_first: Tells whether a state was not used at another replica.
    """

    def __init__(
        self,
        answer_seconds: float,
        restore: Callable[..., UserQuestion] | None = None,
        is_first: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._seconds = answer_seconds
        self._restore, self._is_first = restore, is_first
        self._used_states: dict[str, None] = {}
        self._pending: dict[str, _PendingForm] = {}
        # Sessions whose host answered a form by itself, in their order.
        self._without_user: dict[str, None] = {}

    def can_show(self, context: RequestContext | None) -> bool:
        """Whether the client of this call can show the user a form now, as far as its session has shown."""
        return can_show_forms(context) and (not self._without_user or session_of(context) not in self._without_user)

    async def take_answer(self, context: RequestContext, params: InputResponseRequestParams) -> set[str]:
        """The keys that the user agreed to, where a call carries the answer to an open question. It counts once.

        `NO_USER` is among them where the host refused by itself.

        Raises:
            OllamaMCPError: The refusal of the question, where the answer is not yes; or a database that all replicas
                share cannot be asked.
        """
        state = params.request_state
        asked = self._pending.pop(state, None) or await self._carried(state) if state else None
        if asked is None or time.monotonic() - asked.asked_at > VALID_SECONDS:
            return set()
        answer = (params.input_responses or {}).get(_KEY)
        if answer is None:
            return set(asked.granted_keys)
        return {*asked.granted_keys, self._judge(context, answer, asked.question, asked.asked_at)}

    def input_required(self, question: UserQuestion, granted_keys: set[str]) -> InputRequiredResult:
        """The result that asks the question; the client repeats the call with the answer."""
        if self._restore is not None and question.parts is not None:
            carried = [secrets.token_urlsafe(12), clock.now(), sorted(granted_keys), question.parts]
            return InputRequiredResult(input_requests={_KEY: question.request()}, request_state=json.dumps(carried))
        now = time.monotonic()
        # Expired questions go, and the oldest of too many: a client need not ever answer.
        kept = list(self._pending.items())[1 - _MAX_PENDING :]
        self._pending = {name: asked for name, asked in kept if now - asked.asked_at < VALID_SECONDS}
        name = secrets.token_urlsafe(16)
        self._pending[name] = _PendingForm(question, frozenset(granted_keys), now)
        return InputRequiredResult(input_requests={_KEY: question.request()}, request_state=name)

    async def _carried(self, state: str) -> _PendingForm | None:
        """The form that a state has in itself; None where it has none, or was used here. The SDK has unsealed it."""
        if self._restore is None or not state.startswith("[") or state in self._used_states:
            return None
        while len(self._used_states) >= _MAX_PENDING:
            del self._used_states[next(iter(self._used_states))]
        self._used_states[state] = None
        if self._is_first is not None and not await self._is_first(state):
            return None
        _, asked_at, granted_keys, parts = json.loads(state)
        asked_at = time.monotonic() - (clock.now() - asked_at)
        return _PendingForm(self._restore(*parts), frozenset(granted_keys), asked_at)

    async def ask(self, context: RequestContext, question: UserQuestion, progress: Progress) -> str:
        """Ask while the call waits; returns the key that the user agreed to, or `NO_USER` where the host refused.

        Raises:
            OllamaMCPError: The refusal of the question: no, no answer in time, or an invalid answer.
        """
        params = question.request().params
        assert isinstance(params, ElicitRequestFormParams)
        asked_at = time.monotonic()
        answer: object = None
        try:
            async with progress.phase("waiting for the user's answer"), asyncio.timeout(self._seconds):
                answer = await context.session.elicit_form(
                    params.message, params.requested_schema, related_request_id=str(context.request_id)
                )
        except TimeoutError:
            raise question.refusal("unanswered") from None
        except (MCPError, ValidationError):
            pass  # an answer too, which may have come too soon for a user
        return self._judge(context, answer, question, asked_at)

    async def ask_in_task(self, question: UserQuestion, inputs: TaskInputs, progress: Progress) -> str:
        """Ask the client of a task while it goes on; returns the key that the user agreed to.

        Raises:
            OllamaMCPError: The refusal of the question: no, or no answer in time.
        """
        try:
            async with progress.phase("waiting for the user's answer"), asyncio.timeout(self._seconds):
                answer = await inputs.ask(question.request())
        except TimeoutError:
            raise question.refusal("unanswered") from None
        return _apply_answer(answer, question)

    def _judge(self, context: RequestContext, answer: object, question: UserQuestion, asked_at: float) -> str:
        """The question's key for an accepted form, whatever else a client sends with it; `NO_USER` for a host's no.

        Raises:
            OllamaMCPError: The refusal of the question, where the answer is the user's and not yes.
        """
        is_yes = isinstance(answer, ElicitResult) and answer.action == "accept"
        # The clock of another replica that asked may be ahead.
        if not is_yes and 0 <= time.monotonic() - asked_at < HOST_SECONDS:
            if (session := session_of(context)) is not None:
                while len(self._without_user) >= _MAX_SESSIONS:
                    del self._without_user[next(iter(self._without_user))]
                self._without_user[session] = None
            return NO_USER
        return _apply_answer(answer, question)


def _apply_answer(answer: object, question: UserQuestion) -> str:
    """The question's key for an accepted form, whatever else a client sends with it.

    Raises:
        OllamaMCPError: The refusal of the question, where the answer is not yes.
    """
    action = answer.action if isinstance(answer, ElicitResult) else None
    if action == "accept":
        question.accept()
        return question.key
    if action is None:
        raise question.refusal("unanswered")
    if action == "cancel":
        raise question.refusal("dismissed")
    question.decline()
    raise question.refusal("declined")
