"""Which Host and Origin a request over loopback HTTP may name.

A web page can make its visitor's browser send requests to loopback (DNS rebinding, cross-origin POST). It cannot
choose these two headers, so they tell its requests from those of a program.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:\[\]/\\@?#%,]+)(?::(?P<port>\d{1,5}))?")


def is_loopback(name: str) -> bool:
    """Whether a name or address, as it stands in a URL or as one binds to, is this machine's own.

    That is `localhost`, all of 127.0.0.0/8 and ::1. Other spellings that a resolver might take, such as 127.1, or
    addresses that only map there, are not.
    """
    name = name.lower().removesuffix(".")
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return address in ipaddress.ip_network("127.0.0.0/8") or address == ipaddress.IPv6Address("::1")


def host_is_allowed(value: str, extra: Iterable[str] = ()) -> bool:
    """Whether a Host header names this machine, or one of `extra`.

    Args:
        value: The header, a name or an address with or without a port.
        extra: Further names; one with a port allows only that port.
    """
    parts = _HOST.fullmatch(value.lower())
    if parts is None or int(parts["port"] or 0) > 65_535:
        return False
    name = parts["name"].removesuffix(".")
    allowed = {each.lower() for each in extra}
    return is_loopback(parts["name"]) or name in allowed or f"{name}:{parts['port']}" in allowed


def origin_is_allowed(value: str, allowed: Iterable[str] = ()) -> bool:
    """Whether an Origin header stands in the list; `null` never does."""
    return value.lower() != "null" and value.lower() in {each.lower().removesuffix("/") for each in allowed}
