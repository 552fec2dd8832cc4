"""The user's consent to destructive steps: by a form, or by `confirm: true` after [needs_confirmation] was returned.

An agent sets that argument, and a text that it read may have talked it into it. So the argument never replaces a form
that can be shown, and alone, without the refusal before it, it does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from ollama_mcp._command import command
from ollama_mcp.errors import Declined, NeedsConfirmation, NotAllowed
from ollama_mcp.server.elicitation import NO_USER, NeedsInput, Outcome, UserQuestion
from ollama_mcp.settings.model import PolicySettings

if TYPE_CHECKING:
    from ollama_mcp.server.confirmation_codes import ConfirmationCodes
    from ollama_mcp.server.tasks.inputs import TaskInputs

Action = Literal["delete", "overwrite", "push", "pull", "unload"]
ACTIONS: tuple[Action, ...] = get_args(Action)

VALID_SECONDS = 600.0
_MAX_PENDING = 1_000

# For each action: the subject of a refusal, and the question of the form.
_PHRASES: dict[Action, tuple[str, str]] = {
    "delete": ("Deleting models", "Delete it?"),
    "overwrite": ("Overwriting models", "Overwrite it?"),
    "push": ("Publishing models", "Publish it?"),
    "pull": ("Downloading that much", "Download it?"),
    "unload": ("Unloading models that are in use", "Unload them?"),
}


# Hosts that run without a user answer forms by themselves: some decline them, some dismiss them.
_REFUSALS: dict[Outcome, tuple[str, str]] = {
    "declined": (
        "The form was declined, and nothing was done.",
        "If the user did that, do not try again unless they ask for it; if this host did it without asking,",
    ),
    "dismissed": (
        "The form was dismissed without an answer, and nothing was done.",
        "Ask the user, and call again if they agree. If this host shows no forms,",
    ),
    "unanswered": (
        "The form got no answer, and nothing was done.",
        "Ask the user whether to call again. If this host shows no forms,",
    ),
}


def _where() -> str:
    """Where the settings are, for a user who has never seen them."""
    return f" (`{command('config show')}` names the file)"


def _refusal(action: Action, consequence: str, outcome: Outcome) -> Declined:
    what, next_step = _REFUSALS[outcome]
    return Declined(
        f"{what} {consequence}",
        next_step=f"{next_step} the user can set policy.{action} to 'confirm' in the settings{_where()}.",
    )


def consent_question(action: Action, subject: str, consequence: str) -> UserQuestion:
    """The question for the user's consent; its parts are the arguments."""
    return UserQuestion(
        key=f"{action} {subject}",
        consequence=consequence,
        question=_PHRASES[action][1],
        refusal=partial(_refusal, action, consequence),
        parts=(action, subject, consequence),
    )


class Confirmation(NamedTuple):
    """What a caller was asked to confirm: an action of a tool on a subject."""

    caller: str
    tool: str
    subject: str


class PendingConfirmations:
    """The confirmations that agents were asked for; each is good once, and for ten minutes.

    Args:
        codes: Makes a code of each, which the agent repeats as `confirm`, so that other replicas know it too; None
            where there are no others.
    """

    def __init__(self, codes: ConfirmationCodes | None = None) -> None:
        self._codes = codes
        self._asked: dict[Confirmation, float] = {}

    def check(
        self,
        asked: Confirmation,
        consequence: str,
        *,
        confirmed: bool,
        passed: list[Confirmation],
        by_host: bool = False,
        code: str = "",
    ) -> None:
        """Return if this was asked for before and `confirmed` is set.

        Args:
            asked: What is asked, and who is.
            consequence: What would happen.
            confirmed: The tool's `confirm` argument.
            passed: What was confirmed before in the same call; it gets `asked` on return. What the call was not used
                for counts in the next one, where it has to ask more.
            by_host: Whether a form was shown for this, which the host has refused by itself.
            code: The code that came as `confirm`, or "".

        Raises:
            NeedsConfirmation: Otherwise; the message is the consequence.
        """
        if self._codes is not None and self._codes.take(code, asked):
            passed.append(asked)
            return
        now = time.monotonic()
        # The oldest go first, so that a client which never confirms cannot fill the memory.
        self._asked = {key: at for key, at in list(self._asked.items())[-_MAX_PENDING:] if now - at < VALID_SECONDS}
        if self._codes is None and confirmed and self._asked.pop(asked, None) is not None:
            passed.append(asked)
            return
        self._asked |= dict.fromkeys([*passed, asked], now)
        same = "the same arguments" if confirmed else "the same arguments and confirm=true"
        if self._codes is not None:
            same = f"the same arguments and confirm='{self._codes.make([*passed, asked])}'"
        what = "The host answered the form itself: no user saw it, and nothing" if by_host else "Nothing"
        raise NeedsConfirmation(
            f"{what} has been done yet. {consequence}",
            next_step=f"If the user agrees, call {asked.tool} again with {same}.",
        )


@dataclass(slots=True)
class Consent:
    """What the user agreed to in one call, and how to ask for more.

    Args:
        tool: Name of the tool that is called.
        caller: Who calls: what one client was asked, no other can confirm.
        policy: The settings for each action.
        confirmations: What agents were asked to confirm, of all calls.
        can_ask: Tells whether the client can show the user a form now.
        granted_keys: Keys of the questions that the user answered with yes for this call; `NO_USER` if the host
            answered one by itself.
        detached: Whether the call has been answered while its work goes on, so that nobody can be asked.
        inputs: Asks the client of a task; None where the call cannot become one.
        code: The code that came as `confirm`, or "".
        confirmed_keys: Keys of the questions that `confirm: true` answered for this call.
    """

    tool: str
    caller: str
    policy: PolicySettings
    confirmations: PendingConfirmations
    can_ask: Callable[[], bool]
    granted_keys: set[str] = field(default_factory=set[str])
    detached: bool = False
    inputs: TaskInputs | None = None
    code: str = ""
    confirmed_keys: set[str] = field(default_factory=set[str])
    _passed: list[Confirmation] = field(default_factory=list[Confirmation])

    @property
    def has_forms(self) -> bool:
        """Whether the client can show the user a form."""
        return NO_USER not in self.granted_keys and self.can_ask()

    def detach(self) -> None:
        """Mark the call as answered; what is asked from now on is asked of the task, where it became one.

        Whether the client has forms is looked up a last time: its connection to the call ends now.
        """
        has_forms = self.has_forms
        self.can_ask = lambda: has_forms
        if self.inputs is None:
            self.detached = True
        else:
            self.inputs.is_open = True

    def check(self, action: Action) -> None:
        """Refuse an action that no answer of the user could allow.

        Raises:
            NotAllowed: Names the setting.
        """
        mode = getattr(self.policy, action)
        # For publishing, an agent's `confirm` counts only where the user has set that.
        if mode == "deny" or (action == "push" and mode == "ask" and not self.has_forms):
            reason = "is disabled" if mode == "deny" else "needs a form to ask the user, which this client cannot show"
            can_be_asked = action != "push" or self.has_forms
            alternative = "'ask'" if can_be_asked else "'confirm' or 'allow'"
            raise NotAllowed(
                f"{_PHRASES[action][0]} {reason} (setting policy.{action}).",
                next_step=f"The user can set policy.{action} to {alternative} in the settings{_where()}.",
            )

    def require(self, consequence: str, *, subject: str, confirmed: bool, action: Action) -> None:
        """Return if the user agreed to exactly this, or if the settings require no consent.

        Args:
            consequence: What would happen, as a full sentence.
            subject: What is affected, exactly (name, digest, content): another subject is another question.
            confirmed: The tool's `confirm` argument.
            action: The action, whose setting says how consent is obtained.

        Raises:
            NeedsInput: A form has to be shown; the call then runs again with its answer.
            NeedsConfirmation: No form can be shown; the agent has to ask the user.
            NotAllowed: The settings refuse it.
        """
        self.check(action)
        mode = getattr(self.policy, action)
        question = consent_question(action, subject, consequence)
        if mode == "allow" or question.key in self.granted_keys:
            return
        if mode == "ask" and self.has_forms:
            if self.detached:
                raise NeedsConfirmation(
                    f"Nothing was done. {consequence}", next_step=f"Call {self.tool} again without background."
                )
            raise NeedsInput(question)
        asked = Confirmation(self.caller, self.tool, subject)
        by_host = NO_USER in self.granted_keys
        self.confirmations.check(
            asked, consequence, confirmed=confirmed, passed=self._passed, by_host=by_host, code=self.code
        )
        self.confirmed_keys.add(question.key)
