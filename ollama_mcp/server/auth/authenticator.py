"""Finds out who sends an HTTP request: by a token of the file, or by the one that `auth.token` made."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from ollama_mcp._paths import user_config_file
from ollama_mcp.errors import DiskError
from ollama_mcp.hosts.principal import SCOPES, Account, Principal, limits_for
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.server.auth import token_file
from ollama_mcp.server.auth.token_file import PREFIX, Token
from ollama_mcp.settings import Settings
from ollama_mcp.settings.auth import PrincipalSettings

_log = logging.getLogger("ollama_mcp.auth")
_CHECK_SECONDS = 1.0
_MAX_TOKEN_CHARS = 16_384
AUTO_NAME = "auto"
MAX_ACCOUNTS = 100_000


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


class Authenticator(Protocol):
    """Tells who has a bearer token."""

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token.

        Raises:
            Unauthenticated: It is none that counts.
        """
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
        self._limits = limits
        self._accounts: RecentDict[str, Account] = RecentDict(MAX_ACCOUNTS)
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
        if found.name not in self._accounts:
            self._accounts[found.name] = Account()
        return Principal(found.name, found.scopes, self._limits(found.name), self._accounts[found.name])

    async def _refresh(self) -> None:
        if self._file is None or time.monotonic() - self._checked_at < _CHECK_SECONDS:
            return
        async with self._reading:
            # Somebody else may have read it meanwhile.
            if time.monotonic() - self._checked_at >= _CHECK_SECONDS:
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


def open_authenticator(settings: Settings) -> Authenticator | None:
    """What the settings demand of clients; None where they need no token.

    Raises:
        DiskError: A file of tokens cannot be used.
    """
    chosen = settings.auth
    file = Path(chosen.tokens).expanduser() if chosen.tokens else token_file.default_token_file()
    has_file = bool(chosen.tokens) or os.path.lexists(file)
    fixed = [_automatic_token()] if chosen.token == "auto" else []
    if not has_file and not fixed:
        return None
    return TokenAuthenticator(file if has_file else None, fixed, partial(limits_for, settings))


def automatic_token_file() -> Path:
    """Where the token of `auth.token` is kept."""
    return user_config_file().with_name("token")


def _automatic_token() -> Token:
    """The token of this user, made with the first start: clients keep what they were told."""
    file = automatic_token_file()
    secret = ""
    if os.path.lexists(file):
        if file.is_symlink() or token_file.loose_mode(file):
            raise DiskError(
                f"{str(file)!r}, which has the token, is a link, or others may read it.",
                next_step="Remove it: the next start makes a new token.",
            )
        secret = file.read_text(encoding="utf-8").strip()
    if not secret.startswith(PREFIX):
        secret = token_file.new_token()
        token_file.write_private(file, f"{secret}\n")
    return Token(AUTO_NAME, frozenset(SCOPES), token_file.digest_of(secret), "")


def _version(file: Path) -> tuple[int, ...] | None:
    try:
        status = os.lstat(file)
    except OSError:
        return None
    # The time of the change of its status too: the other one can be set back, and a mode may have changed alone.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
