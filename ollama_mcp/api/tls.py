"""The TLS context for https hosts: the system's CAs, certifi's, and one's own."""

from __future__ import annotations

import asyncio
import ssl

from ollama_mcp.errors import InvalidArgument


async def context(*, verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """Build a context in a thread, since reading CA files takes tens of milliseconds.

    Raises:
        InvalidArgument: The CA file can't be read.
    """
    return await asyncio.to_thread(_build, verify, ca_file)


def _build(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    import certifi

    built = ssl.create_default_context()
    built.load_verify_locations(certifi.where())
    if ca_file is not None:
        try:
            built.load_verify_locations(ca_file)
        except OSError as error:
            why = "it is no PEM file" if isinstance(error, ssl.SSLError) else error.strerror
            raise InvalidArgument(
                f"CA file {ca_file!r} can't be read: {why}.",
                next_step="Give the path of a PEM file with the host's CA certificate.",
            ) from None
    if not verify:
        built.check_hostname = False
        built.verify_mode = ssl.CERT_NONE
    return built
