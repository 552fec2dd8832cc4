"""Opens what the settings demand of clients: tokens of an issuer, of the file, or the one that `auth.token` makes."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

from ollama_mcp._paths import user_config_file
from ollama_mcp.errors import DiskError
from ollama_mcp.hosts.config import LOCAL as SINGLE_HOST
from ollama_mcp.hosts.principal import AUTOMATIC, OTHERS, SCOPES, limits_for
from ollama_mcp.server.auth import token_file
from ollama_mcp.server.auth.authenticator import Authenticator, TokenAuthenticator
from ollama_mcp.server.auth.token_file import PREFIX, Token
from ollama_mcp.settings import Settings, SettingsError

_log = logging.getLogger("ollama_mcp.auth")


def open_authenticator(settings: Settings) -> Authenticator | None:
    """What the settings demand of clients; None where they need no token.

    Raises:
        DiskError: A file of tokens cannot be used.
        InvalidArgument: The settings of the issuer, or of a principal, cannot be used.
    """
    chosen = settings.auth
    _check_principals(settings)
    if chosen.issuer:
        # The libraries of keys and signatures are for those who use them.
        from ollama_mcp.server.auth.oauth import JwtAuthenticator

        return JwtAuthenticator(chosen, partial(limits_for, settings))
    file = Path(chosen.tokens).expanduser() if chosen.tokens else token_file.default_token_file()
    has_file = bool(chosen.tokens) or os.path.lexists(file)
    fixed = [_automatic_token()] if chosen.token == "auto" else []
    if not has_file and not fixed:
        return None
    found = TokenAuthenticator(file if has_file else None, fixed, partial(limits_for, settings))
    for name in settings.principals.keys() - found.names - {OTHERS}:
        # A name that is misspelt would leave somebody without limits.
        _log.warning("setting principals.%s: there is no token of that name now", name)
    return found


def _check_principals(settings: Settings) -> None:
    """Check what the limits of each name refer to.

    Raises:
        SettingsError: A host does not exist.
    """
    for name, limits in settings.principals.items():
        unknown = [host for host in limits.hosts if host not in (settings.hosts or (SINGLE_HOST,))]
        if unknown:
            raise SettingsError(
                f"setting principals.{name}.hosts names {unknown[0]!r}, which does not exist.",
                next_step=f"Hosts: {', '.join(settings.hosts or (SINGLE_HOST,))}.",
            )
        for folder in (*limits.folders, *([limits.output_folder] if limits.output_folder else [])):
            if not os.path.isdir(os.path.expanduser(folder)):
                _log.warning("setting principals.%s: %r is no folder now", name, folder)


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
    return Token(AUTOMATIC, frozenset(SCOPES), token_file.digest_of(secret), "")
