"""Destroying steps need `confirm: true` after a first answer that said what would happen."""

from __future__ import annotations

import time

from ollama_mcp.errors import NeedsConfirmation

VALID_SECONDS = 600.0
_MOST = 1_000


class Confirmations:
    """The questions asked in this process; an answer is good once, for the same subject, for ten minutes."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], float] = {}

    def check(self, tool: str, subject: str, consequence: str, *, confirmed: bool) -> None:
        """Pass when this very question was asked before and `confirmed` is set, else ask it.

        Raises:
            NeedsConfirmation: With the consequence.
        """
        now = time.monotonic()
        self._asked = {key: at for key, at in list(self._asked.items())[-_MOST:] if now - at < VALID_SECONDS}
        if confirmed and self._asked.pop((tool, subject), None) is not None:
            return
        self._asked[tool, subject] = now
        raise NeedsConfirmation(
            f"Nothing was done yet. {consequence}",
            next_step=f"If the user agrees, call {tool} again with the same arguments and confirm=true.",
        )
