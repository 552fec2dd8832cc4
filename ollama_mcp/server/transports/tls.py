"""TLS of the HTTP transports: the certificate of the settings, loaded anew when its files have changed."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings.model import HttpSettings

_log = logging.getLogger("ollama_mcp.http")
_CHECK_SECONDS = 5.0


class Certificate:
    """The certificate and the key of the settings.

    Args:
        settings: Names the files.

    Raises:
        InvalidArgument: A file is missing or is not one, or the key is of another certificate.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._certificate = Path(settings.tls_certificate).expanduser()
        self._key = Path(settings.tls_key).expanduser() if settings.tls_key else None
        self._version = self._files_version()
        self._current = self._load()
        self.context = self._load()
        # The only place where a server that runs takes another context, for each connection on its own. To load new
        # files into a context in use would leave it without its key for a moment, and fail who connects just then.
        self.context.sni_callback = self._present
        self._warn_of_mode()

    def for_uvicorn(self, *_: object) -> ssl.SSLContext:
        """The context in the form that uvicorn asks for it."""
        return self.context

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Load the files again while the block runs, whenever they have changed; connections that are open go on."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await asyncio.to_thread(self._reload)

    def _reload(self) -> None:
        version = self._files_version()
        if version == self._version:
            return
        self._version = version
        try:
            self._current = self._load()
        except (InvalidArgument, OSError) as error:
            _log.error("the certificate in use stays: %s", error)
            return
        _log.warning("the certificate %s was loaded again", self._certificate)
        self._warn_of_mode()

    def _present(self, connection: ssl.SSLSocket | ssl.SSLObject, *_: object) -> None:
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, _no_password)
        except (OSError, ValueError) as error:
            # An SSLError is an OSError, and says what is wrong in capitals, such as KEY_VALUES_MISMATCH.
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "no certificate"
            names = f"{self._certificate}, {self._key}" if self._key else str(self._certificate)
            raise InvalidArgument(
                f"The TLS certificate cannot be used ({names}): {why}.",
                next_step="http.tls_certificate names a PEM file with the chain, http.tls_key one with its key.",
            ) from None
        return context

    def _files_version(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(_version(file) for file in (self._certificate, self._key or self._certificate))

    def _warn_of_mode(self) -> None:
        file = self._key or self._certificate
        mode = stat.S_IMODE(file.stat().st_mode)
        if os.name == "posix" and mode & 0o007:
            _log.warning("everybody on this machine may read the key in %s (mode %04o)", file, mode)


def _version(file: Path) -> tuple[int, ...] | None:
    try:
        # Where a link leads: certificates are renewed by turning one.
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _no_password() -> str:
    # Without this OpenSSL would ask for it on the terminal.
    raise ValueError("the key has a password")
