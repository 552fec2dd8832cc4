"""Maps what goes wrong with a request to the project's errors: error responses first, then failed connections.

The error's text decides before the status, since a stream's error line has none, servers before v0.12.6 answer 200 to
everything that streams, and llama-server's own errors come as JSON inside the error string.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import socket
import ssl
import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from ollama_mcp.api import proxy_errors
from ollama_mcp.api.error_rules import find_rule
from ollama_mcp.api.versions import ROUTES
from ollama_mcp.errors import (
    ApiError,
    BadAnswer,
    Busy,
    Forbidden,
    Interrupted,
    ModelNotFound,
    Timeout,
    Unauthorized,
    Unreachable,
    UnsupportedByVersion,
)
from ollama_mcp.formats.escaping import escape, quote, redact_paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ollama_mcp.api.http_session import RequestInfo

MAX_RETRY_AFTER = 86_400.0
# Go prints the keys of a map in their order: code, message, what the error adds, type.
_GO_MAP = re.compile(
    r"(map\[error:)?map\[(?:code:\S+ )?message:(?P<message>.*?)(?: [a-z_]+:[^\s:\]]*)*\](?(1)\])(?=\s|$)", re.S
)


def error_from_status(info: RequestInfo, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error of a response whose status is not 2xx.

    Args:
        info: The request.
        status: HTTP status.
        headers: Headers of the response, looked up in lower case.
        body: As much of the body as was read.
    """
    if 300 <= status < 400:
        return _redirect(info, status, headers.get("location", ""))
    data = _first_object(body)
    if data is not None and "error" in data and not proxy_errors.is_gateway_error(status, headers, data):
        return error_from_json(info, data, status, _retry_after(headers) if "retry-after" in headers else None)
    return _error_without_json(info, status, headers, body)


def error_from_json(
    info: RequestInfo, data: Mapping[str, Any], status: int | None, retry_after: float | None = None
) -> ApiError:
    """The error of an object `{"error": ...}`: a whole response, or a line of a stream (status None).

    Args:
        info: The request.
        data: The object; servers before v0.12.6 put the status into it.
        status: HTTP status; None for a line after status 200.
        retry_after: Seconds that the response asks to wait.
    """
    status = status or _error_status(data.get("status")) or _error_status(data.get("StatusCode"))
    signin = _signin_url(data["signin_url"]) if data.get("signin_url") else ""
    # Before anything is matched or quoted, so that no path of the host's disk gets out.
    text = redact_paths(_error_text(data))
    rule = find_rule(text, info.path, status)
    if rule.kind is ModelNotFound and rule.statuses and not info.model:
        # Ollama looks for nothing but a model; another server has no such page.
        return unexpected_response(info, f"status {status or 200} with {quote(text, 80)}", status)
    message = rule.message.format(
        quoted=quote(text, 160) if text else "nothing more",
        model=repr(escape(info.model or "", 80)),
        host=info.host_label,
        endpoint=info.endpoint,
        wait=f" It asks to wait {retry_after:g} s." if retry_after is not None else "",
    )
    next_step = rule.next_step.format(model=repr(escape(info.model or "", 60)))
    if signin and rule.kind is Unauthorized:
        next_step = f"Sign in at {signin} or run `ollama signin` on that machine."
    wait = retry_after if rule.kind is Busy else None
    return info.error(rule.kind, message, next_step, status=status, detail=text, retry_after=wait)


def unexpected_response(info: RequestInfo, what: str, status: int | None = None) -> ApiError:
    """The error of a response that Ollama's API never gives; `what` says what came instead."""
    return proxy_errors.not_ollama(info, what, status)


def describe_head_body(status: int, headers: Mapping[str, str]) -> str:
    """What the headers of a HEAD response describe, if Ollama's never would; else "".

    Ollama's describe nothing (2xx) or JSON (404).

    Args:
        status: HTTP status; those of a proxy that refuses are left to `error_from_status`.
        headers: Headers of the response, looked up in lower case.
    """
    kind, length = headers.get("content-type", ""), headers.get("content-length", "0")
    if status == 404:
        is_foreign = kind and "json" not in kind
    else:
        # Some proxies label a response without a type as bytes.
        is_foreign = status < 300 and (kind not in ("", "application/octet-stream") or length != "0")
    return f"{length} bytes of {escape(kind, 60) or 'no type'}" if is_foreign else ""


def quote_body(body: bytes) -> str:
    """The start of a body that can't be parsed, safe to show."""
    return proxy_errors.quote_body(body)


def _error_without_json(info: RequestInfo, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error of a response without Ollama's `{"error": ...}`: its router, its host check, or a proxy."""
    if status in (404, 405) and _is_routers(info, headers, body):
        return _unknown_route(info, status)
    if status == 403 and not body.strip():
        return info.error(
            Forbidden,
            f"{info.host_label} refused the request with an empty 403: Ollama does so for a Host or Origin header that"
            " it does not accept, and so do proxies.",
            "On the host, set OLLAMA_HOST=0.0.0.0 or OLLAMA_ORIGINS, or let the proxy send Host: localhost.",
            status=status,
        )
    if status == 400 and b"HTTP request to an HTTPS server" in body:
        return info.error(
            Unreachable, f"{info.host_label} speaks HTTPS only.", "Write its address with https://.", status=status
        )
    return proxy_errors.proxy_error(info, status, headers, body, _retry_after(headers))


def _is_routers(info: RequestInfo, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a 404 or 405 comes from Ollama's router, not from a proxy or from a handler that looked for something."""
    if info.method == "HEAD":
        return True
    # A proxy that passes Ollama's response on may put its own name into Server; Caddy's own pages are empty.
    if not body:
        return "server" not in headers
    # Go's standard router, which Traefik uses, ends the same words with a line end.
    return body.lower() in (b"404 page not found", b"405 method not allowed")


def _unknown_route(info: RequestInfo, status: int) -> ApiError:
    feature = ROUTES.get(info.path)
    # HEAD asks whether a file is there, and a 404 is its answer.
    if feature is None and info.method != "HEAD" and proxy_errors.address_advice(info):
        return unexpected_response(info, f"status {status}", status)
    reason = f"it needs Ollama {feature.since_text} or later" if feature else "this server does not have it"
    return info.error(
        UnsupportedByVersion,
        f"{info.host_label} does not know {info.endpoint}: {reason}.",
        "Update Ollama on that host, or check that the address names an Ollama server.",
        status=status,
    )


def _redirect(info: RequestInfo, status: int, target: str) -> ApiError:
    parts = urlsplit(target)
    # User info and query may contain a secret.
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
    shown = escape(where + parts.path, 120)
    return info.error(
        BadAnswer,
        f"{info.host_label} redirects {info.endpoint} to {shown!r} (status {status}); redirects are not followed.",
        "If that is the right server, put its address into the settings.",
        status=status,
    )


def _error_text(data: Mapping[str, Any]) -> str:
    """The error's text; JSON inside the string is unwrapped to its message."""
    error = data.get("error")
    if isinstance(error, dict):
        return str(cast("dict[str, Any]", error).get("message") or "")
    text = str(error or "").strip()
    if not text.startswith("{"):
        return _unpack_go_map(text)
    try:
        inner, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text
    found: Any = inner.get("error", inner)
    message = str(cast("dict[str, Any]", found).get("message") or "") if isinstance(found, dict) else str(found or "")
    # An out-of-memory line may follow the JSON.
    return f"{message} {text[end:]}".strip() or text


def _unpack_go_map(text: str) -> str:
    """The text with an error that Go printed as a map ("... error: map[code:500 message:...]") cut to its message."""
    match = _GO_MAP.search(text)
    return f"{text[: match.start()]}{match['message']}{text[match.end() :]}".strip() if match else text


def _signin_url(url: object) -> str:
    """The sign-in URL if it is one of ollama.com over https, else ""."""
    if not isinstance(url, str) or len(url) > 200:
        return ""
    parts = urlsplit(url)
    return url if parts.scheme == "https" and parts.netloc == "ollama.com" and escape(url) == url else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3: a number or a date); None where it is neither."""
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


def _first_object(body: bytes) -> Mapping[str, Any] | None:
    """The first JSON object of a body, or None; errors of remote models may come as a line of a stream."""
    try:
        data, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip())
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", data) if isinstance(data, dict) else None


def _error_status(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 400 else None


# OpenSSL's verify codes (X509_V_ERR_...), https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/.
_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, (62, 64)
_SELF_SIGNED = (18, 19)
_UNKNOWN_ISSUER = (2, 20, 21)
# Paths that a loading model does not delay; ollama_list_running and ollama_status request only these.
_IMMEDIATE_PATHS = ("/", "/api/version", "/api/ps", "/api/tags", "/api/status")


def connect_error(info: RequestInfo, error: BaseException, limit: float | None) -> ApiError:
    """The error of a connection that was not established; nothing was sent.

    Args:
        info: The request.
        error: httpx's error; its causes say more.
        limit: Seconds that connecting may take.
    """
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror | UnicodeError):
            return _unreachable(info, "its name does not resolve (DNS)", "Check the host's name in the settings.")
        if isinstance(cause, ssl.SSLError):
            return _tls(info, cause)
        if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
            return info.error(
                Busy, "This process has too many open files to connect.", "Wait for other calls to end, then try again."
            )
        if isinstance(cause, ConnectionRefusedError):
            return _unreachable(info, "the connection was refused, so nothing listens there", _start_advice(info))
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return _unreachable(info, escape(cause.strerror, 80), "Check the address and the network.")
    within = f" within {limit:g} s" if limit is not None else ""
    return _unreachable(
        info, f"no connection was established{within}", "Check the address, the network and the firewall."
    )


# What Ollama's installer writes on Linux.
_SYSTEMD_UNIT = "/etc/systemd/system/ollama.service"


def is_refused(error: BaseException) -> bool:
    """Whether nothing listens at the address."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def _start_advice(info: RequestInfo) -> str:
    """How Ollama is started where it should run: on this system, or on another machine of unknown kind."""
    if urlsplit(info.base_url).hostname in ("127.0.0.1", "localhost", "::1"):
        if sys.platform == "darwin":
            return "Start Ollama (`open -a Ollama`, or `ollama serve`)."
        if sys.platform == "win32":
            return "Start Ollama (from the Start menu, or `ollama serve`)."
        if os.path.exists(_SYSTEMD_UNIT):
            return "Start Ollama (`sudo systemctl start ollama`)."
    return "Start Ollama (`ollama serve`)."


def is_tls_error(error: BaseException) -> bool:
    """Whether TLS failed, which another attempt does not fix."""
    return any(isinstance(cause, ssl.SSLError) for cause in _causes(error))


def disconnected_before_response(info: RequestInfo, error: BaseException) -> ApiError:
    """The error of a request whose connection broke after sending and before any byte of a response."""
    # h11's word for a first line that is not HTTP.
    if "illegal" in str(error):
        return unexpected_response(info, "it does not speak HTTP")
    return info.error(
        Interrupted,
        f"{info.host_label} closed the connection before it answered {info.endpoint}, which may have been done.",
        "Try again; if it persists, see that Ollama server's log.",
    )


def disconnected_during_response(info: RequestInfo) -> ApiError:
    """The error of a response whose connection broke."""
    return info.error(
        Interrupted,
        f"The connection to {info.host_label} broke in the middle of the response to {info.endpoint}.",
        "What came before is kept; ask again for the rest.",
    )


def timeout_error(info: RequestInfo, limit: float | None, *, started: bool = False) -> ApiError:
    """The error of a server that sent nothing for too long: no head, or, where `started`, no further line."""
    what = "no further line" if started else "no response"
    within = f" within {limit:g} s" if limit is not None else " in time"
    busy = "It may be loading a model or be busy: see ollama_list_running, or allow more time in the settings."
    stuck = "A healthy Ollama answers that at once, even when busy: the user may read its log, or restart it."
    next_step = stuck if info.path in _IMMEDIATE_PATHS else busy
    return info.error(Timeout, f"{info.host_label} sent {what} to {info.endpoint}{within}.", next_step)


def _tls(info: RequestInfo, error: ssl.SSLError) -> ApiError:
    trust = "If you trust it, set its CA file in the host's settings."
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in (_EXPIRED, _NOT_YET):
            return _unreachable(info, "its TLS certificate has expired or is not yet valid", "Renew the certificate.")
        if code in _OTHER_NAME:
            return _unreachable(info, "its TLS certificate is for another name", "Use the name in the certificate.")
        if code in _SELF_SIGNED:
            return _unreachable(info, "its TLS certificate is self-signed", trust)
        if code in _UNKNOWN_ISSUER:
            return _unreachable(info, "its TLS certificate is from an unknown issuer", trust)
        # No matter of trust; from Python 3.13 on, a CA without its key usage for example.
        why = escape(error.verify_message, 80)
        again = "Make the certificate, or its CA's if that is named, again without this fault."
        return _unreachable(info, f"its TLS certificate is refused ({why})", again)
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return _unreachable(info, "it speaks plain HTTP, not TLS", "Write its address with http://.")
    return _unreachable(info, f"TLS failed ({escape(error.reason or 'no reason given', 60)})", trust)


def _unreachable(info: RequestInfo, reason: str, next_step: str) -> ApiError:
    return info.error(Unreachable, f"{info.host_label} can't be reached: {reason}.", next_step)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all its causes, those inside exception groups too; the deepest say most and come first."""
    found = [error]
    for each in found:
        # anyio groups the errors of a name's several addresses.
        if isinstance(each, BaseExceptionGroup):
            found.extend(cast("BaseExceptionGroup[BaseException]", each).exceptions)
        found.extend(cause for cause in (each.__cause__, each.__context__) if cause and cause not in found)
    yield from reversed(found)


def place_of(error: ValueError) -> str:
    """The first place that does not fit, as " (models.0.name)"; "" where it is not JSON at all."""
    if not hasattr(error, "errors"):
        return ""
    places = cast("list[dict[str, Any]]", cast("Any", error).errors(include_input=False, include_url=False))
    place = ".".join(str(part) for part in places[0].get("loc", ())) if places else ""
    return f" ({escape(place, 60)})" if place else ""
