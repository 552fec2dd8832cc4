"""Destroying steps need the user's yes: by a form, or by `confirm: true` after an answer that said what would happen.

The argument is set by an agent, which may have been talked into it; so it never stands in for a form that can be shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, get_args

from ollama_mcp.errors import Declined, NeedsConfirmation, NotAllowed
from ollama_mcp.server.forms import NeedsInput, Question
from ollama_mcp.settings.model import Policy

Action = Literal["delete", "overwrite", "push", "pull", "unload"]
ACTIONS: tuple[Action, ...] = get_args(Action)

VALID_SECONDS = 600.0
_MOST = 1_000

_WORDS: dict[Action, tuple[str, str]] = {
    "delete": ("Deleting models", "delete it"),
    "overwrite": ("Overwriting models", "overwrite it"),
    "push": ("Publishing models", "publish it"),
    "pull": ("Downloading that much", "download it"),
    "unload": ("Unloading models that are in use", "unload it"),
}


class Confirmations:
    """The questions answered to agents in this process; an answer is good once, for its subject, for ten minutes."""

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


@dataclass(slots=True)
class Consent:
    """What the user agreed to in one call, and how more of it can be had.

    Args:
        tool: Name of the tool that is called.
        policy: The settings for each action.
        confirmations: Questions answered to agents so far, of all calls.
        has_forms: Whether the client can show the user a form.
        granted: Keys of the questions that the user said yes to for this call.
        detached: Whether the call was answered while its work goes on, so that nobody can be asked any more.
    """

    tool: str
    policy: Policy
    confirmations: Confirmations
    has_forms: bool = False
    granted: set[str] = field(default_factory=set[str])
    detached: bool = False

    def check(self, action: Action) -> None:
        """Refuse what no answer could allow.

        Raises:
            NotAllowed: Names the setting.
        """
        way = getattr(self.policy, action)
        if way == "deny" or (action == "push" and way == "ask" and not self.has_forms):
            why = "is switched off" if way == "deny" else "needs a form to ask the user, which this client cannot show"
            other = "'ask'" if way == "deny" else "'confirm' or 'allow'"
            raise NotAllowed(
                f"{_WORDS[action][0]} {why} (setting policy.{action}).",
                next_step=f"The user can set policy.{action} to {other} in the settings.",
            )

    def require(self, consequence: str, *, subject: str, confirmed: bool, action: Action) -> None:
        """Pass where the user agreed to this very thing or the settings want no yes.

        Raises:
            NeedsInput: A form is to be shown; the call runs again with its answer.
            NeedsConfirmation: No form can be shown; an agent has to ask.
            NotAllowed: The settings refuse it.
        """
        self.check(action)
        way = getattr(self.policy, action)
        question = Question(
            key=f"{action} {subject}",
            message=consequence,
            label=f"Yes, {_WORDS[action][1]}",
            refusal=Declined(
                f"The user did not agree, and nothing was done. {consequence}",
                next_step="Do not try again unless the user asks for it.",
            ),
        )
        if way == "allow" or question.key in self.granted:
            return
        if way == "ask" and self.has_forms:
            if self.detached:
                raise NeedsConfirmation(
                    f"Nothing was done. {consequence}", next_step=f"Call {self.tool} again without background."
                )
            raise NeedsInput(question)
        self.confirmations.check(self.tool, subject, consequence, confirmed=confirmed)
