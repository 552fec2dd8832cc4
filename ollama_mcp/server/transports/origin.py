"""Which Host and Origin headers a request over loopback HTTP may have.

A web page can make its visitor's browser send requests to loopback (DNS rebinding, cross-origin POST). It cannot
choose these two headers, so they tell its requests from those of a program.

The SDK (mcp 2.3.0, `mcp.server.transport_security`) compares strings: it knows neither 127.0.0.0/8, nor case, nor a
trailing dot, and takes any text after `localhost:` for a port. Obsolete when `test_origin.py` passes with its
`TransportSecurityMiddleware`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

# A name or an address, and a port. No user, path, escape or list: resolvers and browsers read those in different ways.
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:\[\]/\\@?#%,]+)(?::(?P<port>\d{1,5}))?")


def is_loopback(name: str) -> bool:
    """Whether a name or address, as in a URL or as a socket binds to, is loopback.

    That is `localhost`, all of 127.0.0.0/8 and ::1. Other notations that a resolver may accept, such as 127.1, and
    addresses that only map there, are not.
    """
    name = name.lower().removesuffix(".")
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    # Not `is_loopback` of ipaddress, which newer Pythons also give addresses such as ::ffff:127.0.0.1.
    return address in ipaddress.ip_network("127.0.0.0/8") or address == ipaddress.IPv6Address("::1")


def host_is_allowed(value: str, extra: Iterable[str] = ()) -> bool:
    """Whether a Host header names a loopback address, or one of `extra`.

    Args:
        value: The header, a name or an address with or without a port.
        extra: Further names; one with a port allows only that port.
    """
    parts = _HOST.fullmatch(value.lower())
    if parts is None or int(parts["port"] or 0) > 65_535:
        return False
    name = parts["name"].removesuffix(".")  # a trailing dot only marks a name as absolute
    allowed = {each.lower() for each in extra}
    return is_loopback(parts["name"]) or name in allowed or f"{name}:{parts['port']}" in allowed


def origin_is_allowed(value: str, allowed: Iterable[str] = ()) -> bool:
    """Whether an Origin header is in `allowed`. `null`, which any sandboxed page sends, never is."""
    return value.lower() != "null" and value.lower() in {each.lower().removesuffix("/") for each in allowed}
