"""The listening socket of the HTTP transports: an address, or a Unix socket of its owner."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ollama_mcp._command import command
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed
from ollama_mcp.server.transports.origin import is_loopback
from ollama_mcp.settings.model import HttpSettings

_log = logging.getLogger("ollama_mcp.http")

_BACKLOG = 2048


def listen_tcp(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Args:
        host: An IP address, or `localhost` (that is 127.0.0.1).
        port: 0 takes a free one.

    Raises:
        InvalidArgument: `host` is no address, or the port is in use or cannot be used.
    """
    address = host.removeprefix("[").removesuffix("]")  # as in a URL
    # Not resolved, since a hosts file could name another machine.
    if address.lower().removesuffix(".") == "localhost":
        address = "127.0.0.1"
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise InvalidArgument(
            f"{host!r} is no address to listen on: names are not resolved.",
            next_step="Use an IP address of this machine, such as --bind 127.0.0.1, or 0.0.0.0 for all of them.",
        ) from None
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is given; without it every answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # On Windows this option would let two servers share the port.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is in use" if is_taken else f"cannot be used: {error}"
        raise InvalidArgument(
            f"Port {port} on {host} {why}.", next_step="Choose another with --port, or --port 0 for a free one."
        ) from None
    return listener


def check_open(host: str, settings: HttpSettings) -> None:
    """Let an address that is not loopback be served without tokens only where the user insists.

    Raises:
        NotAllowed: The user does not.
    """
    if not settings.insecure_no_auth:
        raise NotAllowed(
            f"{host!r} is not a loopback address, and no client would need a token.",
            next_step=f"Make a token first: `{command('token add NAME')}`. Or use --bind 127.0.0.1, from elsewhere "
            "through an SSH tunnel, or --socket.",
        )
    _log.warning("http.insecure_no_auth: whoever reaches %s may use, create and delete models without a token", host)


def warn_of_plain(host: str, settings: HttpSettings) -> None:
    """Warn where tokens would go over a network in the clear."""
    if not is_loopback(host) and not settings.tls_certificate and not settings.behind_proxy:
        _log.warning(
            "tokens go over plain HTTP at %s, for all to read who see the network: set http.tls_certificate, or "
            "http.behind_proxy where a proxy has TLS",
            host,
        )


@contextmanager
def listen_unix(path: str) -> Generator[socket.socket]:
    """A Unix socket that only its owner can reach (mode 0600), removed at the end.

    A socket that a killed server left behind, with no listener, is replaced. Anything else stays.

    Raises:
        DiskError: `path` already exists, or the socket cannot be created.
    """
    file = Path(path).expanduser()
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(file)
        # A mode set afterwards would leave a moment in which anyone could connect.
        original = os.umask(0o177)
        try:
            listener.bind(str(file))
        finally:
            os.umask(original)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = "already exists" if error.errno == errno.EADDRINUSE else f"cannot be created: {error.strerror or error}"
        raise DiskError(
            f"Socket {path!r} {why}.", next_step="Choose another path with --socket, or remove what is there."
        ) from None
    try:
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            file.unlink()


def _remove_stale(file: Path) -> None:
    try:
        found = file.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.getuid():
        with socket.socket(socket.AF_UNIX) as probe:
            # The file outlives a killed server; only the kernel knows whether somebody listens.
            if probe.connect_ex(str(file)) == errno.ECONNREFUSED:
                file.unlink()
