"""A host's base URL, headers, time limits and TLS context, validated before anything is sent."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_mcp import __version__
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.escaping import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

# A shorter value of a header is no secret, and would be found in any text.
_MIN_SECRET = 6
# RFC 9110, 5.6.2: what a header's name is made of.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Limits in seconds; None means no limit.

    Attributes:
        connect: TCP and TLS.
        first_byte: From the request to the head of the response. Ollama sends nothing while it loads a model.
        idle: Between two lines of a stream, or two pieces of another response.
        total: Calls that run no model, from start to end.
    """

    connect: float | None = 5.0
    first_byte: float | None = None
    idle: float | None = 300.0
    total: float | None = 30.0


def normalize_base_url(text: str) -> str:
    """The base URL without a trailing slash.

    Raises:
        InvalidArgument: Not an http or https URL, or one with a password, query or fragment.
    """
    parts = urlsplit(text.strip())
    try:
        has_valid_port = parts.port is None or parts.port > 0
    except ValueError:
        has_valid_port = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_valid_port:
        raise InvalidArgument(
            f"Host address {escape(text, 80)!r} is not an http:// or https:// URL.",
            next_step="Use a form such as 'http://127.0.0.1:11434'.",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidArgument(
            f"The address of host {parts.hostname!r} contains a user, a query or a fragment.",
            next_step="Put credentials into a header of that host in the settings instead.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def secret_forms(*values: str) -> list[bytes]:
    """What must not be quoted of an answer: values that are sent, without their scheme too, also as JSON has them."""
    found: set[str] = set()
    for value in values:
        for one in (value, value.partition(" ")[2]):
            if len(one) >= _MIN_SECRET:
                escaped = json.dumps(one)[1:-1]
                found |= {one, escaped, escaped.replace("/", "\\/")}
    # The longest first: one may be a part of another.
    return [one.encode() for one in sorted(found, key=len, reverse=True)]


def build_headers(headers: Mapping[str, str], api_key: str | None) -> dict[str, str]:
    """The headers of every request to a host.

    Raises:
        InvalidArgument: One of them must not or cannot be sent.
    """
    sent = {
        "User-Agent": f"ollama-mcp-server/{__version__}",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    for name, value in headers.items():
        # Ollama refuses an Origin that it does not know, and only browsers have one.
        if name.lower() == "origin" or not _TOKEN.fullmatch(name) or not _is_valid_header_value(value):
            # The text after a colon may be a key in the wrong place.
            shown = escape(name.partition(":")[0], 40)
            raise InvalidArgument(
                f"Header {shown!r} can't be sent to an Ollama host.",
                next_step="Names take letters, digits and hyphens, values printable ASCII; Origin is for browsers.",
            )
        sent[name] = value
    if api_key:
        # The message does not quote the key.
        if not _is_valid_header_value(api_key):
            raise InvalidArgument("The host's API key contains characters that are not allowed in a header.")
        sent["Authorization"] = f"Bearer {api_key}"
    return sent


def _is_valid_header_value(value: str) -> bool:
    """Whether a value is printable ASCII without surrounding white space (RFC 9110, 5.5)."""
    return value.isascii() and value.isprintable() and value == value.strip()


async def create_tls_context(*, verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """A context that trusts the system's CAs, certifi's and those of `ca_file`.

    It is built in a thread, since reading CA files takes tens of milliseconds.

    Raises:
        InvalidArgument: The CA file can't be read.
    """
    return await asyncio.to_thread(_load_tls_context, verify, ca_file)


def _load_tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            reason = "it is not a PEM file" if isinstance(error, ssl.SSLError) else error.strerror
            raise InvalidArgument(
                f"CA file {ca_file!r} can't be read: {reason}.",
                next_step="Set it to the path of a PEM file with the host's CA certificate.",
            ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
