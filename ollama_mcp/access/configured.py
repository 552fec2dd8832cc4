"""Fetches what the settings themselves name, such as the keys of an issuer. No argument of a call leads here."""

from __future__ import annotations

import ssl
from functools import cache
from urllib.parse import urlsplit

import certifi
import httpx

from ollama_mcp.errors import InvalidArgument, Unreachable

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address that keys may come from.

    Raises:
        InvalidArgument: It is neither https, nor http on loopback.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    has_more = bool(parts.username or parts.password or parts.query or parts.fragment)
    if not host or has_more or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise InvalidArgument(f"{url[:120]!r} is no https address without user, query and fragment.")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


@cache
def _authorities() -> ssl.SSLContext:
    """Trusts those whom everybody trusts; read once, since that holds up the event loop for tens of milliseconds."""
    return ssl.create_default_context(cafile=certifi.where())


async def fetch_configured(url: str, *, ca_file: str, max_bytes: int, seconds: float) -> bytes:
    """The body at an address of the settings; no redirect is followed, and no proxy of the environment used.

    Raises:
        InvalidArgument: As `origin_of`.
        Unreachable: It did not come: no connection, no 200, too large or too slow.
    """
    origin_of(url)
    verify = _authorities()
    if ca_file:
        verify = ssl.create_default_context(cafile=certifi.where())
        verify.load_verify_locations(ca_file)
    body = bytearray()
    try:
        async with (
            httpx.AsyncClient(verify=verify, trust_env=False, timeout=seconds) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise Unreachable(f"{url[:200]} answered with status {response.status_code}.")
            # Decoded bytes are counted.
            async for part in response.aiter_bytes():
                body += part
                if len(body) > max_bytes:
                    raise Unreachable(f"{url[:200]} sent more than {max_bytes:,} bytes.")
    except (httpx.HTTPError, OSError) as error:
        raise Unreachable(f"{url[:200]} did not answer: {str(error)[:200] or type(error).__name__}.") from None
    return bytes(body)
