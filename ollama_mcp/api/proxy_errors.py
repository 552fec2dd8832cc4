"""The errors of responses that a proxy or another web server wrote in place of Ollama.

Ollama's own errors are JSON objects with "error", its router's two fixed texts, or an empty 403. A proxy answers with
a page, a text, or nothing, and what it means by a status is about its own limits, logins and routes, not about a model,
an argument or a sign-in at ollama.com.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.errors import (
    ApiError,
    BadAnswer,
    BadRequest,
    Busy,
    Forbidden,
    Interrupted,
    ServerError,
    Timeout,
    Unauthorized,
    Unreachable,
)
from ollama_mcp.formats.escaping import escape, quote, redact_paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ollama_mcp.api.http_session import RequestInfo

_MAX_QUOTED_BODY = 80
# Servers whose name is worth saying, as they write it in Server.
_PRODUCTS = {
    "nginx": "nginx",
    "openresty": "nginx",
    "caddy": "Caddy",
    "traefik": "Traefik",
    "cloudflare": "Cloudflare",
    "apache": "Apache",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "istio-envoy": "Envoy",
}
_NAMED_IN_PAGE = re.compile(rb"<center>(nginx|openresty|cloudflare)\b|\b(traefik|cloudflare)\b", re.IGNORECASE)
# The settings that lift a limit, by product.
_BODY_LIMITS = {
    "nginx": "client_max_body_size",
    "Caddy": "request_body max_size",
    "Traefik": "buffering maxRequestBodyBytes",
    "Apache": "LimitRequestBody",
}
_READ_LIMITS = {
    "nginx": "proxy_read_timeout",
    "Caddy": "response_header_timeout",
    "Traefik": "responseHeaderTimeout",
    "Apache": "ProxyTimeout",
    "HAProxy": "timeout server",
}
# The endings of an address that names Ollama's API, or one of its endpoints, instead of the server.
_API_PATH = re.compile(r"/(?:api|v1)(?:/[\w/-]*)?$")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a proxy says by a status: the error, what happened, and what to do, with {setting} for a limit's name."""

    kind: type[ApiError]
    reason: str
    next_step: str


_NO_UPSTREAM = _Meaning(
    Unreachable, "it gets no valid answer from Ollama behind it", "See that Ollama runs where the proxy looks for it."
)
_TOO_SLOW = _Meaning(
    Timeout,
    "Ollama behind it took longer than it waits",
    "Try again when the model is loaded, or raise that proxy's limit{setting}; a direct address of Ollama has none.",
)
_LOGIN = _Meaning(
    Unauthorized,
    "it wants a login of its own",
    "Ask the user to set what the proxy expects: setting api_key (sent as a bearer token), or headers for any other.",
)
_MEANINGS = {
    401: _LOGIN,
    403: _Meaning(
        Forbidden,
        "its rules do not let this request through",
        "Ask the user to allow it there, or to set what it expects in the settings api_key or headers.",
    ),
    407: _LOGIN,
    408: _Meaning(Timeout, "the request arrived there too slowly", "Try again, or send less at once."),
    413: _Meaning(
        BadRequest,
        "the request has more bytes than it lets through, whatever the model takes",
        "Send fewer or smaller files or images at once, or ask the user to raise the proxy's limit{setting}.",
    ),
    429: _Meaning(Busy, "it limits how many requests it takes", "Wait a moment, then try again."),
    499: _Meaning(Interrupted, "it gave up on the request", "Try again; if it persists, see the proxy's log."),
    502: _NO_UPSTREAM,
    503: _Meaning(
        Busy, "it has no free Ollama behind it", "Wait a moment, then try again; see that Ollama runs behind it."
    ),
    504: _TOO_SLOW,
    524: _TOO_SLOW,
    # Cloudflare's own: the server behind it is down, refuses, or its TLS fails.
    **dict.fromkeys((520, 521, 522, 523, 525, 526, 530), _NO_UPSTREAM),
}


def proxy_error(
    info: RequestInfo, status: int, headers: Mapping[str, str], body: bytes, retry_after: float | None = None
) -> ApiError:
    """The error of a response that is not Ollama's.

    Args:
        info: The request.
        status: HTTP status, not of 2xx or 3xx.
        headers: Headers of the response, looked up in lower case.
        body: As much of the body as was read.
        retry_after: Seconds that the response asks to wait.
    """
    product = _product(headers, body)
    page = _describe_body(headers, body)
    meaning = _MEANINGS.get(status)
    if meaning is None and status >= 500:
        # A crash in Ollama's own handlers ends in an empty 500.
        return info.error(
            ServerError,
            f"{info.host_label} answered {info.endpoint} with status {status} and {page}; it may come from a proxy.",
            "Try again; if it persists, see the logs of Ollama and of a proxy in front of it.",
            status=status,
        )
    if meaning is None:
        return not_ollama(info, f"status {status} with {page}{f' from {product}' if product else ''}", status)
    limits, default = (_BODY_LIMITS, "such as client_max_body_size in nginx") if status == 413 else (_READ_LIMITS, "")
    setting = f"{limits[product]} in {product}" if product in limits else "" if product else default
    wait = f" It asks to wait {retry_after:g} s." if retry_after is not None and meaning.kind is Busy else ""
    who = f"The proxy {product}" if product else "A proxy"
    return info.error(
        meaning.kind,
        f"{who} at {info.host_label} answered {info.endpoint} with status {status} and {page}: {meaning.reason}.{wait}",
        meaning.next_step.format(setting=f" ({setting})" if setting else ""),
        status=status,
        retry_after=retry_after if meaning.kind is Busy else None,
    )


def not_ollama(info: RequestInfo, what: str, status: int | None = None) -> ApiError:
    """The error of a response that Ollama's API never gives; `what` says what came instead."""
    return info.error(
        BadAnswer,
        f"{info.endpoint} at {info.host_label} did not respond as Ollama does: {what}.",
        (address_advice(info) if status in (404, 405) else "")
        or "Check that the host's address names an Ollama server, not a proxy or another web server.",
        status=status,
    )


def address_advice(info: RequestInfo) -> str:
    """What to do where the host's address goes on into Ollama's API; else ""."""
    match = _API_PATH.search(info.base_url)
    if match is None:
        return ""
    return f"Leave {escape(match[0], 40)} off the host's address: {escape(info.base_url[: match.start()], 80)}."


def is_gateway_error(status: int | None, headers: Mapping[str, str], data: Mapping[str, Any]) -> bool:
    """Whether an object with "error" comes from a gateway, which asks for a login or limits the body in JSON.

    Ollama sends no WWW-Authenticate, and its "error" is a text.
    """
    if status == 407 or (status == 401 and "www-authenticate" in headers):
        return True
    return status in (401, 403, 413) and isinstance(data.get("error"), dict)


def _product(headers: Mapping[str, str], body: bytes) -> str:
    """The name of the server that wrote a response, where it says so and is known."""
    if "cf-ray" in headers:
        return "Cloudflare"
    words = re.split(r"[/\s(]", headers.get("server", "").strip().lower(), maxsplit=1)
    if words[0] in _PRODUCTS:
        return _PRODUCTS[words[0]]
    named = _NAMED_IN_PAGE.search(headers.get("www-authenticate", "").encode() + b" " + body)
    return _PRODUCTS[(named[1] or named[2]).decode().lower()] if named else ""


def _describe_body(headers: Mapping[str, str], body: bytes) -> str:
    if "html" in headers.get("content-type", "") or body.lstrip()[:1] == b"<":
        return "an HTML page"
    return quote_body(body) if body.strip() else "no text"


def quote_body(body: bytes) -> str:
    """The start of a body that can't be parsed, safe to show."""
    return quote(redact_paths(body[: 4 * _MAX_QUOTED_BODY].decode("utf-8", "replace")), _MAX_QUOTED_BODY)
