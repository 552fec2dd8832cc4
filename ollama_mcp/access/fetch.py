"""Fetches the http(s) addresses that a call names."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import cast

import httpcore
import httpx

from ollama_mcp.access.network import (
    GuardedNetwork,
    HostNotPublic,
    OwnedConnections,
    Resolver,
    is_public,
    resolve,
)
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument, NotAllowed, OllamaMCPError
from ollama_mcp.settings.access import UrlSettings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_URL_CHARS = 4096
# Special-use names and names of internal networks (RFC 6761, RFC 6762), refused whatever a resolver answers.
_INTERNAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "onion")
_HEADERS = [
    (b"User-Agent", b"ollama-mcp-server"),
    (b"Accept", b"image/*, text/*, audio/*;q=0.8, */*;q=0.5"),
    # The size limit must hold for decoded bytes, so a compressed body is refused; this asks for an uncompressed one.
    (b"Accept-Encoding", b"identity"),
]


async def fetch(
    text: str,
    settings: UrlSettings,
    *,
    resolver: Resolver | None = None,
    network: httpcore.AsyncNetworkBackend | None = None,
    tls: ssl.SSLContext | None = None,
    fetched: Callable[[str, int], None] | None = None,
    off: str = "",
) -> bytes:
    """Return the body at an http(s) address of the public internet.

    All addresses of a host are checked and one of those is connected, anew for each redirect. Cookies, user info, netrc
    and environment proxies are not used: requests are made on httpcore itself, which supports none of them.

    Args:
        text: The address.
        settings: Whether, where and how much may be fetched.
        resolver: Returns the addresses of a host; the system's resolver by default.
        network: Connects to a literal address that was checked; the system's network by default.
        tls: Which certificates are trusted; certifi's list by default.
        fetched: Is told of each request before it is sent, with 0 bytes, and of the bytes that came.
        off: Which other setting has turned fetching off, as "network is 'off'".

    Raises:
        NotAllowed: Fetching is off, or this address may not be fetched.
        InvalidArgument: It is not a valid address, could not be reached, or its body is too large or compressed.
    """
    if not settings.enabled:
        raise NotAllowed(
            f"{_redacted(text)} is not fetched: setting {off or 'urls.enabled is off'}.",
            next_step="Save it to a file and give its path, or ask the user to turn the setting on.",
        )
    url = _checked_url(text, settings)
    # Loading the certificates reads a file.
    tls = tls or await asyncio.to_thread(_public_certificates)
    try:
        async with asyncio.timeout(settings.timeout), _pool(settings, resolver, network, tls) as pool:
            return await _get(pool, url, settings, fetched or (lambda server, size: None))
    except TimeoutError:
        raise _failed(text, f"it took longer than {settings.timeout:g} s (setting urls.timeout)") from None
    except HostNotPublic:
        raise _not_public(text) from None
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError) as error:
        raise _failed(text, _reason(error)) from error


def _checked_url(text: str, settings: UrlSettings) -> httpx.URL:
    """Return the parsed address if its text allows fetching it.

    Raises:
        InvalidArgument: It cannot be parsed, or is neither http nor https.
        NotAllowed: It has user info, a port that is not listed, or a host that is internal by its name or address.
    """
    # URL parsers treat these characters differently, and the host that is checked must be the one that is connected.
    if len(text) > _MAX_URL_CHARS or "\\" in text or not text.isprintable() or " " in text:
        raise _invalid(text, "it is too long, or has a backslash, a space or a control character")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise _invalid(text, "it cannot be parsed") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise _invalid(text, "only http:// and https:// with a host are fetched")
    if url.userinfo:
        raise NotAllowed(
            f"{_redacted(text)} is not fetched: it contains a user name or password.",
            next_step="Give the address without them.",
        )
    port = url.port or (443 if url.scheme == "https" else 80)
    if port not in settings.ports:
        raise NotAllowed(
            f"{_redacted(text)} is not fetched: port {port} is not in setting urls.ports.",
            next_step="Save it to a file and give its path.",
        )
    if _is_internal(url.raw_host.decode("ascii")):
        raise _not_public(text)
    return url


def _is_internal(host: str) -> bool:
    name = host.rstrip(".").lower()
    if any(name == internal or name.endswith(f".{internal}") for internal in _INTERNAL_NAMES):
        return True
    # Only literal addresses have colons or an all-digit last label (URL standard, "ends in a number").
    is_literal = ":" in name or name.rpartition(".")[2].isdigit()
    return is_literal and not is_public(name)


@cache
def _public_certificates() -> ssl.SSLContext:
    # Without the environment: an SSL_CERT_FILE meant for another program must not decide what this one trusts.
    return httpx.create_ssl_context(trust_env=False)


@asynccontextmanager
async def _pool(
    settings: UrlSettings,
    resolver: Resolver | None,
    network: httpcore.AsyncNetworkBackend | None,
    tls: ssl.SSLContext,
) -> AsyncGenerator[httpcore.AsyncConnectionPool]:
    opened = AsyncExitStack()
    # httpcore types this class as if anyio might be absent.
    backend = OwnedConnections(network or cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend()), opened)
    if settings.trusted_proxy:
        # The proxy resolves names itself, so no address can be checked here.
        proxy = httpx.URL(settings.trusted_proxy)
        pool: httpcore.AsyncConnectionPool = httpcore.AsyncHTTPProxy(
            httpcore.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/"),
            proxy_auth=(proxy.username, proxy.password) if proxy.userinfo else None,
            ssl_context=tls,
            network_backend=backend,
            keepalive_expiry=0,
        )
    else:
        # Each request connects anew, so that none goes over a connection whose check was for another.
        pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, network_backend=GuardedNetwork(resolver or resolve, backend), keepalive_expiry=0
        )
    async with opened, pool:
        yield pool


async def _get(
    pool: httpcore.AsyncConnectionPool, url: httpx.URL, settings: UrlSettings, fetched: Callable[[str, int], None]
) -> bytes:
    """Send GET requests, following redirects, and return the body of the last response."""
    for _ in range(settings.max_redirects + 1):
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        headers = [(b"Host", url.netloc), *_HEADERS]
        server = f"{url.scheme}://{url.netloc.decode('ascii')}"
        fetched(server, 0)
        async with pool.stream(b"GET", target, headers=headers) as response:
            if response.status not in _REDIRECTS:
                body = await _read_body(response, str(url), settings)
                fetched(server, len(body))
                return body
            url = _redirect_target(url, response, settings)
    raise _failed(str(url), f"more than {settings.max_redirects} redirects (setting urls.max_redirects)")


def _redirect_target(url: httpx.URL, response: httpcore.Response, settings: UrlSettings) -> httpx.URL:
    location = _header(response, b"location")
    try:
        return _checked_url(str(url.join(location)), settings)
    except httpx.InvalidURL:
        raise _invalid(str(url), "it redirects to an invalid address") from None


async def _read_body(response: httpcore.Response, url: str, settings: UrlSettings) -> bytes:
    if response.status != 200:
        raise _failed(url, f"the server answered with HTTP status {response.status}")
    if _header(response, b"content-encoding") not in ("", "identity"):
        raise _failed(url, "the server sent it compressed (Content-Encoding) although asked not to")
    too_large = _failed(url, f"it is larger than {settings.max_bytes / 1e6:g} MB (setting urls.max_bytes)")
    length = _header(response, b"content-length")
    if length.isdecimal() and int(length) > settings.max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    # Counted as it comes: a response may have no Content-Length, and never end.
    async for part in response.aiter_stream():
        size += len(part)
        if size > settings.max_bytes:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _header(response: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1").strip() for key, value in response.headers if key.lower() == name), "")


def _redacted(text: str) -> str:
    # Without the query, which may hold a signature, and without user info.
    bare = text.partition("?")[0].partition("#")[0]
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return quoted(f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}")


def _invalid(text: str, why: str) -> OllamaMCPError:
    return InvalidArgument(f"{_redacted(text)} is not fetched: {why}.", next_step="Give an http(s) address or a path.")


def _failed(text: str, why: str) -> OllamaMCPError:
    return InvalidArgument(
        f"{_redacted(text)} could not be fetched: {why}.",
        next_step="Check the address, or save it to a file and give its path.",
    )


def _not_public(text: str) -> OllamaMCPError:
    # The same text for unknown names and internal ones: telling them apart would map the internal network.
    return NotAllowed(
        f"{_redacted(text)} is not fetched: its host is unknown or not (only) on the public internet.",
        next_step="Save it to a file and give its path.",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, httpcore.ProtocolError):
        return "the server's response is not valid HTTP"
    if isinstance(error, httpcore.ProxyError):
        return "the proxy of setting urls.trusted_proxy refused it"
    return "the connection failed"
