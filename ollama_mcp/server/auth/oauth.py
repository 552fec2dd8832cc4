"""Finds out who sends a request by an access token of an OAuth issuer (a JWT of RFC 9068, for this server alone)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jwt

from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.hosts.principal import LOCAL, SCOPES, Principal
from ollama_mcp.server.auth.accounts import Accounts
from ollama_mcp.server.auth.authenticator import AuthUnavailable, Unauthenticated
from ollama_mcp.server.auth.issuer_keys import ALGORITHMS, IssuerKeys
from ollama_mcp.settings.auth import AuthSettings, PrincipalSettings

_LEEWAY_SECONDS = 60
_MAX_NAME_CHARS = 255
# Headers by which a token would say itself which key it is to be verified with, or what must be understood.
_FOREIGN = ("crit", "jku", "jwk", "x5u", "x5c")
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.InvalidSignatureError, "the signature of the token is wrong"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim: exp, iss, aud and sub are needed"),
)


class JwtAuthenticator:
    """Verifies JWTs: signature by a key of the issuer, algorithm, issuer, audience and times.

    Args:
        settings: Issuer and audience.
        limits: Returns what a subject may use.

    Raises:
        InvalidArgument: A setting is missing, or an address is not https.
    """

    def __init__(self, settings: AuthSettings, limits: Callable[[str], PrincipalSettings]) -> None:
        if not settings.audience:
            raise InvalidArgument(
                "auth.issuer needs auth.audience.", next_step="Set it to the address of this server, as clients use it."
            )
        self.issuer, self.audience = settings.issuer, settings.audience
        self._keys = IssuerKeys(settings.issuer, settings.jwks_url, settings.ca_file)
        self._limits = limits
        self.accounts = Accounts()

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token: its subject, with the scopes that are ours.

        Raises:
            Unauthenticated: It does not count.
            AuthUnavailable: The keys of the issuer are not known.
        """
        claims = await self._verified(token)
        name = claims["sub"]
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_CHARS or name == LOCAL:
            raise _invalid("the token has no subject")
        return Principal(name, _scopes(claims), self._limits(name), await self.accounts.of(name))

    async def still_counts(self, principal: Principal) -> bool:
        """Always: a token is for its time, and work that it began may last longer."""
        return True

    async def by_name(self, name: str) -> Principal | None:
        """Never: only the issuer knows whether it would still vouch for a subject."""
        return None

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _invalid("the token is not a JWT") from None
        algorithm, key_id = header.get("alg"), header.get("kid", "")
        if any(name in header for name in _FOREIGN):
            raise _invalid("the header of the token has what is not accepted")
        if algorithm not in ALGORITHMS or not isinstance(key_id, str):
            raise _invalid("the token is not signed in an accepted way")
        try:
            key = await self._keys.get(key_id, algorithm)
        except OllamaMCPError as error:
            raise AuthUnavailable("the keys of the issuer are not known") from error
        if key is None:
            raise _invalid("the token is signed with an unknown key")
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            reasons = (text for kind, text in _REASONS if isinstance(error, kind))
            raise _invalid(next(reasons, "the token is not valid")) from None


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """The scopes of a token that are ours: whole words of `scope`, or items of `scp`."""
    said: object = claims.get("scope", claims.get("scp", ""))
    words = said.split(" ") if isinstance(said, str) else cast("list[object]", said) if isinstance(said, list) else []
    return frozenset(word for word in words if isinstance(word, str) and word in SCOPES)


def _invalid(reason: str) -> Unauthenticated:
    return Unauthenticated(reason, "invalid_token")
