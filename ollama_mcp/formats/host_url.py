"""Host addresses as in OLLAMA_HOST, parsed by the rules that Ollama's own programs share."""

from __future__ import annotations

import re

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.escaping import escape

DEFAULT_PORT = 11434
_CLOUD_DOMAIN = "ollama.com"
_MAX_QUOTED = 80
# Default ports.
_SCHEMES = {"http": 80, "https": 443}
# Addresses that a server binds but no client can connect to.
_LOOPBACKS = {"": "localhost", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+(%25[A-Za-z0-9]+)?\]|")


def normalize_host_url(text: str) -> str:
    """The URL to connect to: scheme, host and port always, a path where one is given; no slash at the end.

    An empty text is http://127.0.0.1:11434; an address that only a server can bind (0.0.0.0, [::], none) becomes its
    loopback; a port out of range becomes the scheme's default.

    Raises:
        InvalidArgument: Not an address.
    """
    address = text.strip().strip("'\"").strip()
    if address == "ollama.com":
        return "https://ollama.com:443"
    scheme, separator, rest = address.rpartition("://")
    scheme = scheme.lower() or "http"
    if "@" in address:
        raise InvalidArgument(
            "host contains a user or a password before the address.",
            next_step="Set it to host:port, and put credentials into api_key or headers.",
        )
    if scheme not in _SCHEMES:
        raise InvalidArgument(
            f"host {escape(text, _MAX_QUOTED)!r} has the scheme {escape(scheme, _MAX_QUOTED)!r}.",
            next_step="Use http:// or https://.",
        )
    rest, slash, path = rest.partition("/")
    host, port = _split_port(rest, _SCHEMES[scheme] if separator else DEFAULT_PORT)
    if not _HOST.fullmatch(host) or (host.startswith("[") and not _is_ipv6(host[1:-1])):
        raise InvalidArgument(
            f"host {escape(text, _MAX_QUOTED)!r} is not an address.",
            next_step="Use host:port, such as 127.0.0.1:11434.",
        )
    host = "127.0.0.1" if not address else _LOOPBACKS.get(host, host)
    return f"{scheme}://{host}:{port}{(slash + path).rstrip('/')}"


def is_ollama_com(url: str) -> bool:
    """Whether an address is ollama.com, or a host below it, however it is written."""
    from urllib.parse import urlsplit

    host = (urlsplit(url).hostname or "").rstrip(".")
    return host == _CLOUD_DOMAIN or host.endswith(f".{_CLOUD_DOMAIN}")


def _is_ipv6(text: str) -> bool:
    from ipaddress import IPv6Address

    try:
        IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _split_port(rest: str, default: int) -> tuple[str, int]:
    # A bare IPv6 address, which Ollama takes without brackets if it has no port.
    if rest.count(":") > 1 and not rest.startswith("["):
        return f"[{rest}]", default
    end = rest.rfind("]")
    colon = rest.rfind(":")
    if colon <= end:
        return rest, default
    digits = rest[colon + 1 :]
    port = int(digits) if digits.isdigit() else -1
    return rest[:colon], port if 0 <= port <= 65535 else default
