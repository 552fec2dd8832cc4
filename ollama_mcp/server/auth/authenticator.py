"""Finds out who sends an HTTP request: what that takes, and the tokens of a file."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ollama_mcp.errors import DiskError
from ollama_mcp.hosts.principal import Principal
from ollama_mcp.server.auth import token_file
from ollama_mcp.server.auth.accounts import Accounts
from ollama_mcp.server.auth.token_file import Token
from ollama_mcp.settings.auth import PrincipalSettings

_log = logging.getLogger("ollama_mcp.auth")
_CHECK_SECONDS = 1.0
_MAX_TOKEN_CHARS = 16_384


class Unauthenticated(Exception):
    """The request does not show who sends it.

    Args:
        reason: Why, for the client and the log; without anything of what was presented.
        code: The error code of RFC 6750, or "" where nothing was presented.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class AuthUnavailable(Exception):
    """Nobody can be let in now, with whatever token."""


class Authenticator(Protocol):
    """Tells who has a bearer token.

    Attributes:
        issuer: Where clients get one (OAuth), or "".
        audience: What it has to be made for, or "".
        accounts: What each principal has used.
    """

    issuer: str
    audience: str
    accounts: Accounts

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token.

        Raises:
            Unauthenticated: It is none that counts.
            AuthUnavailable: That cannot be found out now.
        """
        ...

    async def still_counts(self, principal: Principal) -> bool:
        """Whether what somebody was let in by was not revoked since."""
        ...

    async def by_name(self, name: str) -> Principal | None:
        """The principal of a name with its present rights; None where these are not known without its token."""
        ...


class TokenAuthenticator:
    """Knows the tokens of a file, which is read again when it has changed, and further ones that are given.

    A file that has become unusable lets nobody in: what was revoked in it is not known.

    Args:
        file: The file; None where there is none.
        fixed: Further tokens.
        limits: Returns what a name may use.

    Raises:
        DiskError: The file cannot be used.
    """

    def __init__(
        self,
        file: Path | None,
        fixed: Sequence[Token] = (),
        limits: Callable[[str], PrincipalSettings] = lambda name: PrincipalSettings(),
    ) -> None:
        self.issuer = self.audience = ""
        self._limits = limits
        self.accounts = Accounts()
        self._file = file
        self._fixed = list(fixed)
        self._tokens: list[Token] = []
        self._version: tuple[int, ...] | None = None
        self._checked_at = time.monotonic()
        self._reading = asyncio.Lock()
        if file is not None:
            self._version = _version(file)
            self._tokens = token_file.read_tokens(file)
            self._warn_of_mode(file)

    @property
    def names(self) -> set[str]:
        """The names of the tokens."""
        return {token.name for token in (*self._fixed, *self._tokens)}

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token.

        Raises:
            Unauthenticated: There is none of it, or no longer.
        """
        await self._refresh()
        presented = token_file.digest_of(token)
        found: Token | None = None
        # All are compared, in the same time whichever it is.
        for known in (*self._fixed, *self._tokens):
            if hmac.compare_digest(known.digest, presented):
                found = known
        if found is None:
            raise Unauthenticated("the token is not known or was revoked", "invalid_token")
        return await self._principal_of(found)

    async def still_counts(self, principal: Principal) -> bool:
        """Whether the token is not revoked."""
        await self._refresh()
        return any(known.digest == principal.credential for known in (*self._fixed, *self._tokens))

    async def by_name(self, name: str) -> Principal | None:
        """The principal of the token of that name; None where there is none, or no longer."""
        # Nobody shows the token: what is done in its name must not begin once it was revoked.
        await self._refresh(within=0.0)
        found = next((known for known in (*self._fixed, *self._tokens) if known.name == name), None)
        return None if found is None else await self._principal_of(found)

    async def _principal_of(self, token: Token) -> Principal:
        account = await self.accounts.of(token.name)
        return Principal(token.name, token.scopes, self._limits(token.name), account, token.digest)

    async def _refresh(self, within: float = _CHECK_SECONDS) -> None:
        if self._file is None or time.monotonic() - self._checked_at < within:
            return
        async with self._reading:
            # Somebody else may have read it meanwhile.
            if time.monotonic() - self._checked_at >= within:
                await asyncio.to_thread(self._read_if_changed, self._file)
                self._checked_at = time.monotonic()

    def _read_if_changed(self, file: Path) -> None:
        version = _version(file)
        if version == self._version:
            return
        try:
            self._tokens = token_file.read_tokens(file)
            self._warn_of_mode(file)
        except (DiskError, OSError) as error:
            self._tokens = []
            _log.error("no token of the file is accepted now: %s", error)
        self._version = version

    @staticmethod
    def _warn_of_mode(file: Path) -> None:
        if mode := token_file.loose_mode(file):
            _log.warning("others may read the file of tokens %s (mode %s): run chmod 600 on it", file, mode)


def bearer_token(values: Sequence[str]) -> str:
    """The token of a request's Authorization headers.

    Raises:
        Unauthenticated: There is not exactly one header, or it has no bearer token.
    """
    if not values:
        raise Unauthenticated("a token is needed")
    if len(values) > 1:
        raise Unauthenticated(f"{len(values)} Authorization headers", "invalid_request")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_CHARS:
        raise Unauthenticated("the Authorization header has no bearer token", "invalid_request")
    return token


def _version(file: Path) -> tuple[int, ...] | None:
    try:
        status = os.lstat(file)
    except OSError:
        return None
    # The time of the change of its status too: the other one can be set back, and a mode may have changed alone.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
