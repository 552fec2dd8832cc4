"""Ollama's refusals and failures into the errors of this project: by status, by text, by what a proxy says.

The text decides before the status, since a stream's error line has none, servers before v0.12.6 answer 200 to
everything that streams, and llama-server's own errors come as JSON inside the error string.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from ollama_mcp.api.versions import ROUTES
from ollama_mcp.api.words import RULES
from ollama_mcp.errors import (
    ApiError,
    BadAnswer,
    BadRequest,
    Busy,
    ContextOverflow,
    Forbidden,
    ModelNotFound,
    ServerError,
    Unauthorized,
    Unreachable,
    Unsupported,
    UnsupportedByVersion,
)
from ollama_mcp.formats.text import escape, quote, without_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RETRY_AFTER = 86_400.0
LONGEST = 400
_SHOWN_BODY = 80


@dataclass(frozen=True, slots=True)
class Where:
    """The call that failed, for the error's text and fields."""

    host: str
    name: str
    method: str
    path: str
    model: str | None = None

    @property
    def endpoint(self) -> str:
        """Method and path: "POST /api/chat"."""
        return f"{self.method} {self.path}"

    @property
    def place(self) -> str:
        """The host for a message: "local (http://127.0.0.1:11434)"."""
        return f"{self.name} ({self.host})"

    def error(
        self,
        kind: type[ApiError],
        message: str,
        next_step: str = "",
        *,
        status: int | None = None,
        detail: str = "",
        retry_after: float | None = None,
    ) -> ApiError:
        """An error of this call; its words are cut where message and next step exceed what an agent is shown."""
        room = LONGEST - len(next_step) - 1
        message = message if len(message) <= room else message[: room - 1] + "…"
        return kind(
            message,
            host=self.host,
            endpoint=self.endpoint,
            model=self.model,
            status=status,
            next_step=next_step,
            detail=detail,
            retry_after=retry_after,
        )


def from_status(where: Where, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error of an answer whose status is not 2xx.

    Args:
        where: The call.
        status: HTTP status.
        headers: Headers of the answer, any casing (an httpx.Headers).
        body: As much of the body as was read.
    """
    if 300 <= status < 400:
        return _redirect(where, status, headers.get("location", ""))
    data = _object(body)
    if data is not None and "error" in data:
        return from_error(where, data, status, _retry_after(headers))
    return _foreign(where, status, headers, body)


def from_error(where: Where, data: Mapping[str, Any], status: int | None, retry_after: float | None = None) -> ApiError:
    """The error of an object `{"error": ...}`: a whole answer, or a line of a stream (status None).

    Args:
        where: The call.
        data: The object; servers before v0.12.6 put the status into it.
        status: HTTP status; None for a line after status 200.
        retry_after: Seconds that the answer asked to wait.
    """
    words, status = _words(data), status or _number(data.get("status")) or _number(data.get("StatusCode"))
    signin = _signin_url(data.get("signin_url"))
    text = without_paths(words)
    for rule in RULES:
        if rule.applies(text, where.path, status):
            kind, message, step = rule.kind, rule.message, rule.next_step
            break
    else:
        kind, message, step = _by_status(status)
    if signin and kind is Unauthorized:
        step = f"Sign in at {signin} or run `ollama signin` on that machine."
    filled = message.format(
        says=quote(text, 160) if text else "nothing more",
        model=repr(escape(where.model or "", 80)),
        place=where.place,
        endpoint=where.endpoint,
        wait=f" It asks to wait {retry_after:g} s." if retry_after is not None else "",
    )
    step = step.format(model=repr(escape(where.model or "", 60)))
    return where.error(
        kind, filled, step, status=status, detail=text, retry_after=retry_after if kind is Busy else None
    )


def not_ollama(where: Where, what: str, status: int | None = None) -> ApiError:
    """The error of an answer that Ollama's API never gives; `what` says what came instead."""
    return where.error(
        BadAnswer,
        f"{where.endpoint} at {where.place} did not answer as Ollama does: {what}.",
        "Check that the host's address names an Ollama server, not a proxy or another web server.",
        status=status,
    )


def described_page(status: int, headers: Mapping[str, str]) -> str:
    """What the answer to a HEAD describes where Ollama describes nothing (2xx) or an error's JSON (404); else "".

    Args:
        status: HTTP status; those of a proxy that refuses are left to `from_status`.
        headers: Headers of the answer, any casing (an httpx.Headers).
    """
    kind, length = headers.get("content-type", ""), headers.get("content-length", "0")
    if status == 404:
        strange = kind and "json" not in kind
    else:
        # Some proxies give an answer without a type that of bytes.
        strange = status < 300 and (kind not in ("", "application/octet-stream") or length != "0")
    return f"{length} bytes of {escape(kind, 60) or 'no type'}" if strange else ""


def shown_body(body: bytes) -> str:
    """A few characters of a body that can't be read, safe to show."""
    return quote(without_paths(body[: 4 * _SHOWN_BODY].decode("utf-8", "replace")), _SHOWN_BODY)


def _by_status(status: int | None) -> tuple[type[ApiError], str, str]:
    """Kind, message and next step where the words say nothing that is known."""
    says = "{place} failed at {endpoint}: it says {says}."
    refused = "{place} refused {endpoint}: it says {says}."
    if status in (401, 402):
        return Unauthorized, refused, "Sign in on that machine with `ollama signin`, or set OLLAMA_API_KEY."
    if status == 403:
        return Forbidden, refused, "The host's own settings forbid it."
    if status == 404:
        return ModelNotFound, "{place} has no model {model}: it says {says}.", "Call ollama_list_models to see all."
    if status == 413:
        return ContextOverflow, refused, "Send less at once."
    if status in (429, 503):
        return Busy, "{place} is busy: it says {says}.{wait}", "Wait a moment, then try again."
    if status == 501:
        return Unsupported, refused, "Call ollama_show_model to see what the model can do."
    if status is not None and 400 <= status < 500:
        return BadRequest, refused, "Correct the argument that it names."
    return ServerError, says, "Try again; if it stays, the Ollama server's log says more."


def _foreign(where: Where, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error of an answer without Ollama's `{"error": ...}`: its router, its host check, or a proxy."""
    html = "html" in headers.get("content-type", "") or body.lstrip()[:1] == b"<"
    if status in (404, 405) and not html and _is_router_text(body):
        return _absent(where, status)
    if status == 403 and not body.strip():
        return where.error(
            Forbidden,
            f"{where.place} refused the request without a word (403): Ollama does so when it does not accept the"
            " Host or Origin header, and so do proxies.",
            "On the host, set OLLAMA_HOST=0.0.0.0 or OLLAMA_ORIGINS, or let the proxy send Host: localhost.",
            status=status,
        )
    if status == 400 and b"HTTP request to an HTTPS server" in body:
        return where.error(
            Unreachable, f"{where.place} speaks HTTPS only.", "Write its address with https://.", status=status
        )
    kind, _, step = _by_status(status)
    if kind is ModelNotFound or (kind is BadRequest and html):
        return not_ollama(where, f"status {status} with {shown_body(body)}", status)
    says = "an HTML page" if html else shown_body(body) if body.strip() else "no words"
    wait = _retry_after(headers)
    return where.error(
        kind,
        f"{where.place} answered {where.endpoint} with status {status} and {says}, so a proxy before it may have.",
        step,
        status=status,
        retry_after=wait if kind is Busy else None,
    )


def _is_router_text(body: bytes) -> bool:
    """Whether a 404 or 405 comes from the router, not from a handler that looked for something."""
    text = body.strip().lower()
    return not text or b"not found" in text or b"not allowed" in text


def _absent(where: Where, status: int) -> ApiError:
    feature = ROUTES.get(where.path)
    needs = f"it came with Ollama {feature.since_text}" if feature else "this server does not have it"
    return where.error(
        UnsupportedByVersion,
        f"{where.place} does not know {where.endpoint}: {needs}.",
        "Update Ollama on that host, or check that the address names an Ollama server.",
        status=status,
    )


def _redirect(where: Where, status: int, target: str) -> ApiError:
    parts = urlsplit(target)
    # User info and query may hold a secret.
    shown = escape(f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.netloc else parts.path, 120)
    return where.error(
        BadAnswer,
        f"{where.place} redirects {where.endpoint} to {shown!r} (status {status}); redirects are not followed.",
        "If that is the right server, put its address into the settings.",
        status=status,
    )


def _words(data: Mapping[str, Any]) -> str:
    """The error's words; JSON inside the string is unwrapped to its message."""
    error = data.get("error")
    if isinstance(error, dict):
        return str(cast("dict[str, Any]", error).get("message") or "")
    text = str(error or "").strip()
    if not text.startswith("{"):
        return text
    try:
        inner, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text
    found: Any = inner.get("error", inner)
    message = str(cast("dict[str, Any]", found).get("message") or "") if isinstance(found, dict) else str(found or "")
    # An out-of-memory line may follow the JSON.
    return f"{message} {text[end:]}".strip() or text


def _signin_url(url: object) -> str:
    """The sign-in address if it is one of ollama.com over https, else nothing."""
    if not isinstance(url, str) or len(url) > 200:
        return ""
    parts = urlsplit(url)
    return url if parts.scheme == "https" and parts.netloc == "ollama.com" and escape(url) == url else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3: a number or a date); None for nonsense."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
        seconds = max(seconds, 0.0)
    return min(seconds, MAX_RETRY_AFTER) if math.isfinite(seconds) and seconds >= 0 else None


def _object(body: bytes) -> Mapping[str, Any] | None:
    """The first JSON object of a body, or None; remote models' errors may come as a line."""
    try:
        data, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip())
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", data) if isinstance(data, dict) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 400 else None
