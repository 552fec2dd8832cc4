"""Everything that can go wrong, as one small tree. Each class is one kind of the agent-facing list.

OllamaMCPError
├── InvalidArgument          invalid_argument        our check of an argument, before anything is sent
├── NotAllowed               not_allowed             our rules forbid it; names the setting
├── NeedsConfirmation        needs_confirmation      says what would happen
├── Declined                 declined                the user said no, or gave no answer
├── TooLong                  too_long                prompt and context do not fit; figures and ways out
├── NoAnswer                 no_answer               the model used its budget and said nothing
├── DiskError                disk                    a file could not be read or written
├── InternalError            internal                our own fault
└── ApiError                 (what an Ollama host did; carries status, endpoint, model, host)
    ├── Unreachable          unreachable             DNS, refused, TLS, not an Ollama
    ├── Timeout              timeout                 no byte, or no further byte, within the limit
    ├── Interrupted          interrupted             the answer broke off; `partial` holds what came
    ├── BadAnswer            bad_answer              not what the contract says (HTML, broken JSON, a redirect)
    ├── ModelNotFound        model_not_found
    ├── Unsupported          unsupported             the model lacks a capability
    ├── UnsupportedByVersion unsupported_by_version  the server is too old; names the version that has it
    ├── BadRequest           invalid_argument        Ollama refused an argument
    ├── ContextOverflow      too_long                Ollama refused the length
    ├── Unauthorized         unauthorized            401, 402
    ├── Forbidden            forbidden               403
    ├── Busy                 busy                    429, 503
    └── ServerError          server_error            any other 5xx, or an error line in a stream
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

Kind = Literal[
    "unreachable",
    "timeout",
    "interrupted",
    "bad_answer",
    "model_not_found",
    "unsupported",
    "unsupported_by_version",
    "invalid_argument",
    "not_allowed",
    "needs_confirmation",
    "declined",
    "too_long",
    "unauthorized",
    "forbidden",
    "busy",
    "server_error",
    "no_answer",
    "disk",
    "internal",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class OllamaMCPError(Exception):
    """Base of all errors of this project.

    Args:
        message: What failed and why, one sentence or two, quoting the value with `!r`.
        next_step: What the agent or the user can do now; names a tool or a setting that exists.
        partial: Text that the model had already written when it failed, untouched.
    """

    kind: ClassVar[Kind] = "internal"

    def __init__(self, message: str, *, next_step: str = "", partial: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.partial = partial

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


class InvalidArgument(OllamaMCPError):
    """An argument is wrong; found on our side, nothing was sent."""

    kind = "invalid_argument"


class NotAllowed(OllamaMCPError):
    """The settings forbid it."""

    kind = "not_allowed"


class NeedsConfirmation(OllamaMCPError):
    """The operation destroys something; the message says what would happen."""

    kind = "needs_confirmation"


class Declined(OllamaMCPError):
    """The user said no, or gave no answer."""

    kind = "declined"


class TooLong(OllamaMCPError):
    """The input does not fit; found on our side."""

    kind = "too_long"


class NoAnswer(OllamaMCPError):
    """The model ended without a word of answer."""

    kind = "no_answer"


class DiskError(OllamaMCPError):
    """A file of this machine could not be read or written."""

    kind = "disk"


class InternalError(OllamaMCPError):
    """Our own fault."""

    kind = "internal"


class ApiError(OllamaMCPError):
    """What an Ollama host did, or failed to do.

    Args:
        message: As in OllamaMCPError.
        host: Base URL of the Ollama host.
        endpoint: Method and path, such as "POST /api/chat".
        model: The model of the request, if it had one.
        status: HTTP status; None where no answer came.
        next_step: As in OllamaMCPError.
        partial: As in OllamaMCPError.
        detail: Ollama's own words, unwrapped, for tests and logs.
        retry_after: Seconds the server asked to wait (busy only).
    """

    def __init__(
        self,
        message: str,
        *,
        host: str = "",
        endpoint: str = "",
        model: str | None = None,
        status: int | None = None,
        next_step: str = "",
        partial: str = "",
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step, partial=partial)
        self.host = host
        self.endpoint = endpoint
        self.model = model
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class Unreachable(ApiError):
    """No Ollama answered: DNS, refused, TLS, or something else listens there."""

    kind = "unreachable"


class Timeout(ApiError):
    """No byte, or no further byte, came within the limit."""

    kind = "timeout"


class Interrupted(ApiError):
    """The answer broke off; `partial` holds what had come."""

    kind = "interrupted"


class BadAnswer(ApiError):
    """The answer is not what Ollama's API says."""

    kind = "bad_answer"


class ModelNotFound(ApiError):
    """The model is not installed on the host (or, for pull, not in the registry)."""

    kind = "model_not_found"


class Unsupported(ApiError):
    """The model lacks a capability that the call needs."""

    kind = "unsupported"


class UnsupportedByVersion(ApiError):
    """The server is older than the feature."""

    kind = "unsupported_by_version"


class BadRequest(ApiError):
    """Ollama refused an argument."""

    kind = "invalid_argument"


class ContextOverflow(ApiError):
    """Ollama refused the length of the input."""

    kind = "too_long"


class Unauthorized(ApiError):
    """The host or the cloud behind it wants a sign-in or a key."""

    kind = "unauthorized"


class Forbidden(ApiError):
    """Ollama (or a proxy) refused the Host or Origin header, or the cloud is switched off."""

    kind = "forbidden"


class Busy(ApiError):
    """Queue full or rate limited."""

    kind = "busy"


class ServerError(ApiError):
    """Ollama failed on its side."""

    kind = "server_error"
