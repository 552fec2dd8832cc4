"""Whether a host works: from what its calls meet, and from a light check where it is set aside."""

from __future__ import annotations

import random
import time
from typing import Literal

from ollama_mcp.errors import ApiError, Interrupted, Timeout, Unreachable

_CONNECT_LIMIT, _GATEWAY_LIMIT = 3, 5
_FIRST_SECONDS, _LONGEST_SECONDS = 2.0, 300.0
_GATEWAY_STATUS = (502, 503, 504)

Cause = Literal["connect", "gateway", ""]


class Health:
    """The state of a host: in use, set aside until a time, or on trial by one call or check at a time.

    Three connections in a row that fail, or five responses of a gateway or broken connections, set it aside: 2 s the
    first time, then twice as long each time, up to 300 s, with jitter of half to one and a half. A model's own failure
    (500) says nothing of the host.

    Attributes:
        last_error: What last failed, in words.
        is_troubled: Whether anything failed since the last success, so that a success says something.
    """

    def __init__(self) -> None:
        self.last_error = ""
        self.is_troubled = False
        self._failures: dict[Cause, int] = {}
        self._times_aside = 0
        self._until: float | None = None
        self._cause: Cause = ""
        self._on_trial = False

    @property
    def set_aside(self) -> bool:
        """Whether it is not in use."""
        return self._until is not None

    @property
    def is_gone(self) -> bool:
        """Whether it is set aside since nothing answers there."""
        return self._until is not None and self._cause == "connect"

    @property
    def seconds_left(self) -> float:
        """Seconds until it is tried again; 0 where it is in use or due."""
        return 0.0 if self._until is None else max(0.0, self._until - time.monotonic())

    @property
    def may_be_tried(self) -> bool:
        """Whether a call or check may go there now."""
        return self._until is None or (not self._on_trial and time.monotonic() >= self._until)

    def begin_trial(self) -> None:
        """Send one call or check to a host that is set aside; no other goes there until it has ended."""
        self._on_trial = self._until is not None

    def end_trial(self) -> None:
        """The call or check on trial ended without telling anything."""
        self._on_trial = False

    def expire(self) -> None:
        """Try it again at once: this machine slept, and whatever was known is old."""
        if self._until is not None:
            self._until = time.monotonic()

    def succeeded(self, *, check: bool = False) -> None:
        """A call, or only a check, went well; a check does not bring back a host whose calls fail."""
        self._on_trial = False
        if check and self._cause == "gateway":
            return
        if check and self._until is None:
            # It says nothing of the calls that fail meanwhile.
            self._failures.pop("connect", None)
            return
        self._failures.clear()
        self._times_aside, self._until, self._cause = 0, None, ""
        self.is_troubled = False

    def failed(self, error: BaseException, *, check: bool = False) -> None:
        """A call or check failed; errors that say nothing of the host are passed over.

        Args:
            error: What it failed with.
            check: Whether it was a check. A host that says nothing to one is set aside at once, since every list
                would wait for it; the next check that goes well brings it back.
        """
        was_on_trial, self._on_trial = self._on_trial, False
        self.last_error = str(error)
        if not (cause := cause_of(error)):
            return
        if check and isinstance(error, Timeout):
            cause, limit = "connect", 1
        else:
            limit = _CONNECT_LIMIT if cause == "connect" else _GATEWAY_LIMIT
        self.is_troubled = True
        self._failures[cause] = self._failures.get(cause, 0) + 1
        # Calls that began before it was set aside tell nothing new.
        if was_on_trial or (self._until is None and self._failures[cause] >= limit):
            wait = min(_FIRST_SECONDS * 2**self._times_aside, _LONGEST_SECONDS) * random.uniform(0.5, 1.5)
            self._until, self._cause = time.monotonic() + wait, cause
            self._times_aside += 1
            self._failures.clear()


def cause_of(error: BaseException) -> Cause:
    """What an error says of the host: no connection, a failing gateway or connection, or nothing."""
    if not isinstance(error, ApiError):
        # httpx's errors of a response that broke off.
        return "gateway" if isinstance(error, Exception) and type(error).__module__.startswith("httpx") else ""
    if isinstance(error, Unreachable) and error.status is None:
        return "connect"
    is_gateways = error.status in _GATEWAY_STATUS and not error.detail
    is_broken = isinstance(error, Interrupted) and error.status is None
    is_silent = isinstance(error, Timeout) and error.status is None
    return "gateway" if is_gateways or is_broken or is_silent else ""
