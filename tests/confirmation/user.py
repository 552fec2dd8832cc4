"""A user who is shown forms, and clients that can show them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.types import (
    CallToolResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    InputRequiredResult,
    InputResponses,
)

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings

YES = ElicitResult(action="accept", content={})
NO = ElicitResult(action="decline")
DISMISSED = ElicitResult(action="cancel")


class User:
    """Answers each form in turn, the last answer again and again; keeps what was asked."""

    def __init__(self, *answers: ElicitResult | Exception) -> None:
        self.answers = list(answers)
        self.forms: list[ElicitRequestFormParams] = []
        self.asked = asyncio.Event()

    @property
    def questions(self) -> list[str]:
        """What the forms said."""
        return [form.message for form in self.forms]

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.forms.append(params)
        self.asked.set()
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def with_user(
    url: str, user: User, *, mode: str = "legacy", allowed: Path | None = None, **settings: Any
) -> AsyncGenerator[Client]:
    """A client that shows forms to the user; further keywords are settings."""
    server = OllamaServer(Settings.model_validate({"host": url, **settings}), allowed=allowed)
    async with Client(server, mode=mode, elicitation_callback=user) as client:
        yield client


async def one_round(
    client: Client,
    tool: str,
    arguments: dict[str, Any],
    *,
    answer: ElicitResult | None = None,
    state: str | None = None,
) -> CallToolResult | InputRequiredResult:
    """One request of a call of protocol 2026-07-28, whose questions are not answered by themselves."""
    responses: InputResponses | None = {"confirm": answer} if answer is not None else None
    return await client.session.call_tool(
        tool, arguments, input_responses=responses, request_state=state, allow_input_required=True
    )


async def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.005)
