"""One long call: what it is, how far it has come, and what it came to."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from mcp.types import CallToolResult, ErrorData

from ollama_mcp import clock
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.call_subject import subject_of
from ollama_mcp.server.confirmation import Consent
from ollama_mcp.server.result_budget import rough_bytes, text_piece
from ollama_mcp.work.progress import Progress, newest

JobState = Literal["running", "done", "failed", "cancelled", "cut"]


class Job:
    """The work of one long call.

    Args:
        tool: Name of the tool.
        model: The model that it works on, or "".
        owner: The client that may see it; None for every client that knows its id.
        progress: Where the work reports.
        consent: The consent of the call; nobody can be asked once the call has been answered.

    Attributes:
        id: "" until the work is a job.
        arguments: What the tool was called with; None once it has ended.
        resumes: Whether repeating the call continues work that was stopped.
        error: The JSON-RPC error that ended the work, which the result tells in words.
        goes_on: Whether another process can run it again once this one has ended.
        unkept: Why it would not outlive this process, or "".
        is_elsewhere: Whether another process works on it, or is to.
        is_orphan: Whether its process ended before it did.
        is_lost: Whether another process has taken it over.
        expiry: What forgets it once it has been kept for its time.
    """

    def __init__(self, tool: str, model: str, owner: str | None, progress: Progress, consent: Consent) -> None:
        self.id = ""
        self.arguments: dict[str, Any] | None = None
        self.tool, self.owner = tool, owner
        self._model = model
        self.progress = progress
        self.consent = consent
        self.resumes = self.goes_on = self.is_elsewhere = self.is_orphan = self.is_lost = False
        self.error: ErrorData | None = None
        self._about = self.unkept = ""
        self.state: JobState = "running"
        self.result: CallToolResult | None = None
        self.task: asyncio.Task[CallToolResult] | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.ended_at: float | None = None
        self._started_at = time.monotonic()
        self._final_text = self._final_status = ""

    @property
    def model(self) -> str:
        """The model that was named, or chosen since."""
        return self._model or self.progress.model

    @cached_property
    def created_at(self) -> float:
        """When the call began, in seconds of the wall clock."""
        return clock.now() - (time.monotonic() - self._started_at)

    @property
    def about(self) -> str:
        """What it is about, in at most 80 characters."""
        return self._about if self.arguments is None else subject_of(self.arguments)

    @property
    def began_at(self) -> datetime:
        """When it began, by the clock on the wall as it is now."""
        return datetime.fromtimestamp(self.created_at).astimezone()

    @property
    def is_waiting(self) -> bool:
        """Whether the process that worked on it ended, and another is to go on with it."""
        return self.is_orphan and self.goes_on and self.state == "cut"

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return (self.ended_at or time.monotonic()) - self._started_at

    @property
    def partial_text(self) -> str:
        """What the model has written so far; "" once there is a result."""
        return self.progress.text() if self._is_here else self._final_text

    @property
    def status_text(self) -> str:
        """Its newest progress, in under 200 characters."""
        return newest(self.progress.described()) if self._is_here else self._final_status

    @property
    def _is_here(self) -> bool:
        return self.ended_at is None and not self.is_elsewhere

    @property
    def kept_bytes(self) -> int:
        """Roughly how many bytes are kept for it."""
        return len(self._final_text) if self.result is None else rough_bytes(self.result)

    def finish(self, state: JobState, result: CallToolResult | None) -> None:
        """Keep the result or the text so far, and release the task and its progress."""
        self._final_text, self._final_status = ("" if result else self.partial_text), self.status_text
        self.state, self.result, self.ended_at = state, result, time.monotonic()
        self._model, self._about, self.progress = self.model, self.about, Progress(None)
        self.task = self.arguments = None

    def show(
        self,
        state: JobState,
        *,
        text: str,
        status: str,
        seconds: float,
        about: str,
        result: CallToolResult | None = None,
    ) -> None:
        """Take over what the store has of a job that ended, or that another process works on."""
        self._about = about
        self.state, self.result, self._final_text, self._final_status = state, result, text, status
        now = time.monotonic()
        self._started_at, self.is_elsewhere = now - seconds, state == "running"
        self.ended_at = None if self.is_elsewhere else now

    def continue_from(self, seconds: float) -> None:
        """Count the time that an earlier process worked on it."""
        self._started_at -= seconds

    def read_on(self, result: CallToolResult, offset: int, limit: int | None) -> CallToolResult:
        """A part of its result's text from a character on, within `limit` bytes of JSON.

        Raises:
            InvalidArgument: The text ends before that.
        """
        piece = text_piece(result, self.id, offset, limit)
        if piece is None:
            raise InvalidArgument(
                f"offset is {offset:,}, but the result of job {self.id} ends before that.",
                next_step=f"ollama_job(action='result', id='{self.id}') begins at its beginning.",
            )
        return piece
