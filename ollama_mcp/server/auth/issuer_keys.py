"""The public keys of an OAuth issuer: where its metadata says, fetched rarely, whatever tokens are presented."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any, cast

import jwt

from ollama_mcp.access.configured import fetch_configured, origin_of
from ollama_mcp.errors import InvalidArgument, OllamaMCPError, Unreachable

_log = logging.getLogger("ollama_mcp.auth")
_COOLDOWN_SECONDS = 60.0
_FRESH_SECONDS = 3_600.0
_FETCH_SECONDS = 10.0
_MAX_BYTES = 512 * 1024
_MAX_KEYS = 100
_METADATA = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


class IssuerKeys:
    """The signing keys of an issuer.

    Args:
        issuer: Its address, as tokens have it.
        jwks_url: Where the keys are; "" for where its metadata says.
        ca_file: PEM file of a CA to trust, or "".

    Raises:
        InvalidArgument: An address is not https.
    """

    def __init__(self, issuer: str, jwks_url: str = "", ca_file: str = "") -> None:
        origin_of(issuer)
        if jwks_url:
            origin_of(jwks_url)
        self._issuer, self._jwks_url, self._ca_file = issuer, jwks_url, ca_file
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._tried_at = self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def get(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        """The key of an id for an algorithm; None where the issuer has none.

        An id that is not known leads to one fetch a minute at most, so that invented ones cost nothing.

        Raises:
            Unreachable: No keys could be fetched yet.
        """
        key = self._keys.get((key_id, algorithm))
        if key is not None and time.monotonic() - self._fetched_at < _FRESH_SECONDS:
            return key
        async with self._fetching:
            if time.monotonic() - self._tried_at >= _COOLDOWN_SECONDS:
                self._tried_at = time.monotonic()
                await self._fetch()
        if not self._keys:
            raise Unreachable(f"The keys of the issuer {self._issuer} are not known.")
        return self._keys.get((key_id, algorithm))

    async def _fetch(self) -> None:
        try:
            url = self._jwks_url or await self._discover()
            self._keys = _parse(await self._json(url))
            self._fetched_at = time.monotonic()
        except OllamaMCPError as error:
            # The keys that are known go on to count: the issuer may be down for a while.
            _log.error("the keys of the issuer could not be fetched: %s", error)

    async def _discover(self) -> str:
        error: OllamaMCPError | None = None
        for path in _METADATA:
            try:
                found = await self._json(_well_known(self._issuer, path))
            except OllamaMCPError as failure:
                error = failure
                continue
            url = found.get("jwks_uri")
            if found.get("issuer") != self._issuer or not isinstance(url, str):
                raise InvalidArgument(f"The metadata of {self._issuer} are of another issuer, or name no keys.")
            if origin_of(url) != origin_of(self._issuer):
                raise InvalidArgument(
                    f"The keys of {self._issuer} are on another origin.", next_step="Set auth.jwks_url if it is right."
                )
            return url
        assert error is not None
        raise error

    async def _json(self, url: str) -> dict[str, Any]:
        body = await fetch_configured(url, ca_file=self._ca_file, max_bytes=_MAX_BYTES, seconds=_FETCH_SECONDS)
        try:
            value: Any = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Unreachable(f"{url[:200]} sent no JSON object.")
        return cast("dict[str, Any]", value)


def _well_known(issuer: str, path: str) -> str:
    """Where an issuer has its metadata: OpenID appends the path, RFC 8414 puts it before that of the issuer."""
    if "openid" in path:
        return issuer.rstrip("/") + path
    scheme, rest = issuer.split("://", 1)
    host, _, own = rest.partition("/")
    return f"{scheme}://{host}{path}/{own}".rstrip("/")


def _parse(value: dict[str, Any]) -> dict[tuple[str, str], jwt.PyJWK]:
    listed: Any = value.get("keys")
    found: dict[tuple[str, str], jwt.PyJWK] = {}
    for fields in cast("list[Any]", listed)[:_MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(fields, dict):
            continue
        one = cast("dict[str, Any]", fields)
        if one.get("use", "sig") != "sig":
            continue
        for algorithm in _algorithms(one):
            try:
                found[str(one.get("kid", "")), algorithm] = jwt.PyJWK(one, algorithm=algorithm)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError):
                _log.warning("a key of the issuer is left out: it cannot be read")
    return found


_BY_CURVE = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
_OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = frozenset((*_OF_RSA, "ES256", "ES384", "ES512", "EdDSA"))
"""What a token may be signed with: nothing that its reader could sign with too."""


def _algorithms(key: dict[str, Any]) -> tuple[str, ...]:
    """What a key may verify, by its kind, and by what it says itself."""
    match key.get("kty"):
        case "RSA":
            able = _OF_RSA
        case "EC":
            able = _BY_CURVE.get(str(key.get("crv")), ())
        case "OKP" if key.get("crv") in ("Ed25519", "Ed448"):
            able = ("EdDSA",)
        case _:
            able = ()
    said = key.get("alg")
    return tuple(one for one in able if said is None or one == said)
