"""The project's exceptions as one tree; each class stands for one kind that agents see.

OllamaMCPError
├── InvalidArgument          invalid_argument        an argument fails our checks, before anything is sent
├── NotAllowed               not_allowed             a setting forbids it; names the setting
├── NeedsConfirmation        needs_confirmation      says what would happen
├── Declined                 declined                the user declined or did not answer
├── TooLong                  too_long                prompt and context do not fit; gives figures and options
├── NoAnswer                 no_answer               the model used its budget without answering
├── DiskError                disk                    a file could not be read or written
├── InternalError            internal                a bug in this server
└── ApiError                 (a failure of an Ollama host; carries status, endpoint, model, host)
    ├── Unreachable          unreachable             DNS, refused, TLS, not an Ollama server
    ├── Timeout              timeout                 no byte, or no further byte, within the limit
    ├── Interrupted          interrupted             the response broke off; `partial` holds what came
    ├── BadAnswer            bad_answer              not a response of Ollama's API (HTML, broken JSON, a redirect)
    ├── ModelNotFound        model_not_found
    ├── Unsupported          unsupported             the model lacks a capability
    ├── UnsupportedByVersion unsupported_by_version  the server is too old; names the version that has it
    ├── BadRequest           invalid_argument        Ollama refused an argument
    ├── ContextOverflow      too_long                Ollama refused the length of the input
    ├── Unauthorized         unauthorized            401, 402
    ├── Forbidden            forbidden               403
    ├── Busy                 busy                    429, 503
    └── ServerError          server_error            any other 5xx, or an error line in a stream
        └── RunnerFailed     server_error            the process that runs the model died or does not start
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
        message: What failed and why, in one or two sentences, quoting the value with `!r`.
        next_step: What the agent or the user can do now, naming a tool or a setting that exists.
        partial: Text that the model had already written, unchanged.
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
    """An argument is invalid; nothing was sent."""

    kind = "invalid_argument"


class NotAllowed(OllamaMCPError):
    """The settings forbid it."""

    kind = "not_allowed"


class NeedsConfirmation(OllamaMCPError):
    """The operation destroys something; the message says what would happen."""

    kind = "needs_confirmation"


class Declined(OllamaMCPError):
    """The user declined or did not answer."""

    kind = "declined"


class TooLong(OllamaMCPError):
    """The input does not fit the context; nothing was sent."""

    kind = "too_long"


class NoAnswer(OllamaMCPError):
    """The model ended without an answer."""

    kind = "no_answer"


class DiskError(OllamaMCPError):
    """A file of this machine could not be read or written."""

    kind = "disk"


class InternalError(OllamaMCPError):
    """A bug in this server."""

    kind = "internal"


class ApiError(OllamaMCPError):
    """A failure of an Ollama host, or of the connection to it.

    Args:
        message: As in OllamaMCPError.
        host: Base URL of the Ollama host.
        endpoint: Method and path, such as "POST /api/chat".
        model: The model of the request, if it had one.
        status: HTTP status; None where no response came.
        next_step: As in OllamaMCPError.
        partial: As in OllamaMCPError.
        detail: Ollama's own error text, unwrapped, for tests and logs.
        retry_after: Seconds that the server asked to wait (busy only).
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
    """No Ollama server answered: DNS, refused, TLS, or something else listens there."""

    kind = "unreachable"


class Timeout(ApiError):
    """No byte, or no further byte, came within the limit."""

    kind = "timeout"


class Interrupted(ApiError):
    """The response broke off; `partial` holds what had come."""

    kind = "interrupted"


class BadAnswer(ApiError):
    """The response is not one of Ollama's API."""

    kind = "bad_answer"


class UnusableVector(BadAnswer):
    """The model's vector for a text is empty, or has numbers that are none."""


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
    """The host or the cloud behind it requires a sign-in or a key."""

    kind = "unauthorized"


class Forbidden(ApiError):
    """Ollama or a proxy refused the Host or Origin header, or the cloud is disabled."""

    kind = "forbidden"


class Busy(ApiError):
    """The queue is full, or the request is rate limited."""

    kind = "busy"


class ServerError(ApiError):
    """Ollama failed on its side."""

    kind = "server_error"


class RunnerFailed(ServerError):
    """The process that runs the model died, or refuses to load it."""


class NotInTime(Exception):
    """A response did not begin within the time that its own request set. Says nothing of the host; no agent sees it."""
