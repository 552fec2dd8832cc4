"""A host's address and headers, checked before anything is sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_mcp import __version__
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.text import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

# RFC 9110, 5.6.2: what a header's name is made of.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def checked_url(text: str) -> str:
    """The base URL without a trailing slash.

    Raises:
        InvalidArgument: Not an http or https URL, or one with a password, query or fragment.
    """
    parts = urlsplit(text.strip())
    try:
        port_reads = parts.port is None or parts.port > 0
    except ValueError:
        port_reads = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_reads:
        raise InvalidArgument(
            f"Host address {escape(text, 80)!r} is no http:// or https:// URL.",
            next_step="It looks like 'http://127.0.0.1:11434'.",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidArgument(
            f"The address of host {parts.hostname!r} holds a user, a query or a fragment.",
            next_step="Give credentials as a header of that host in the settings instead.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def checked_headers(headers: Mapping[str, str], api_key: str | None) -> dict[str, str]:
    """The headers of every request to a host.

    Raises:
        InvalidArgument: One of them must not be sent, or could not be.
    """
    sent = {
        "User-Agent": f"ollama-mcp-server/{__version__}",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    for name, value in headers.items():
        # Ollama refuses an Origin that it does not know, and a non-browser has none.
        if name.lower() == "origin" or not _TOKEN.fullmatch(name) or not _can_stand_in_header(value):
            # What stands behind a colon may be a key, put into the wrong place.
            shown = escape(name.partition(":")[0], 40)
            raise InvalidArgument(
                f"Header {shown!r} can't be sent to an Ollama host.",
                next_step="A name has letters, digits and hyphens, a value printable ASCII; Origin is for browsers.",
            )
        sent[name] = value
    if api_key:
        if not _can_stand_in_header(api_key):
            raise InvalidArgument("The host's API key holds characters that no key has.")
        sent["Authorization"] = f"Bearer {api_key}"
    return sent


def _can_stand_in_header(value: str) -> bool:
    """Whether a value is printable ASCII without blanks around it (RFC 9110, 5.5)."""
    return value.isascii() and value.isprintable() and value == value.strip()
