"""The file of tokens: one a line, as names, scopes and SHA-256 digests.

    ann read,use sha256:4f0c...  2026-11-27

The tokens themselves are shown once and kept nowhere. A plain digest is enough, where a password would need a slow one
with a salt: a token is 256 random bits, so there is no dictionary to try, and no two are equal.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ollama_mcp._command import command
from ollama_mcp._paths import user_config_file
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.hosts.principal import AUTOMATIC, LOCAL, SCOPES

PREFIX = "omcp_"
_RANDOM_BYTES = 32
_MAX_BYTES = 4_000_000
_LOCK_SECONDS = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the file has it.

    Args:
        name: Its name.
        scopes: What it may do.
        digest: SHA-256 of the token.
        created: The day, as in 2026-11-27.
    """

    name: str
    scopes: frozenset[str]
    digest: bytes
    created: str


def default_token_file() -> Path:
    """The path of the file in the user's config folder, whether it exists or not."""
    return user_config_file().with_name("tokens")


def new_token() -> str:
    """A token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes of a list of names.

    Raises:
        InvalidArgument: One does not exist, or there is none.
    """
    found = frozenset(scopes)
    unknown = sorted(found.difference(SCOPES))
    if unknown or not found:
        what = f"There is no scope {unknown[0][:40]!r}." if unknown else "A token needs a scope."
        raise InvalidArgument(what, next_step=f"Scopes: {', '.join(SCOPES)}.")
    return found


def add_token(file: Path, name: str, scopes: Iterable[str]) -> str:
    """Make a token and add it to the file; running servers know it within a second.

    Returns:
        The token, which is kept nowhere.

    Raises:
        InvalidArgument: The name is taken or not one, or a scope does not exist.
        DiskError: The file cannot be used as it is, or not be written.
    """
    if not _is_name(name):
        raise InvalidArgument(
            f"{name[:80]!r} is no name of a token.",
            next_step=f"1 to 64 of A-Z a-z 0-9 _ . @ -, the first no mark; not {LOCAL!r} or {AUTOMATIC!r}.",
        )
    granted = check_scopes(scopes)
    with _alone(file):
        tokens = read_tokens(file) if os.path.lexists(file) else []
        if any(token.name == name for token in tokens):
            raise InvalidArgument(f"There is a token {name!r} already.", next_step="Choose another name, or revoke it.")
        secret = new_token()
        added = Token(name, granted, digest_of(secret), time.strftime("%Y-%m-%d", time.gmtime()))
        _write(file, [*tokens, added])
    return secret


def revoke_token(file: Path, name: str) -> None:
    """Take a token out of the file; running servers refuse it within a second.

    Raises:
        InvalidArgument: There is none of that name.
        DiskError: The file cannot be used as it is, or not be written.
    """
    with _alone(file):
        tokens = read_tokens(file) if os.path.lexists(file) else []
        kept = [token for token in tokens if token.name != name]
        if len(kept) == len(tokens):
            names = ", ".join(token.name for token in tokens) or "none"
            raise InvalidArgument(f"There is no token {name[:80]!r}.", next_step=f"Tokens: {names}.")
        _write(file, kept)


@contextmanager
def _alone(file: Path) -> Generator[None]:
    """Let no other command change the file while the block runs.

    Raises:
        DiskError: Another one does not come to its end, or the folder cannot be written.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(file.with_name(f".{file.name}.lock"), timeout=_LOCK_SECONDS, mode=0o600)
        lock.acquire()
    except (OSError, Timeout) as error:
        why = "is being changed by another command" if isinstance(error, Timeout) else "cannot be changed"
        raise DiskError(f"{str(file)!r} {why}.", next_step="Check its folder, and try again.") from None
    try:
        yield
    finally:
        lock.release()


def read_tokens(file: Path) -> list[Token]:
    """The tokens of the file.

    Raises:
        DiskError: It is missing, a link, another user's, writable by others, or has a line that is no token.
    """
    # A link could be turned to another file by whoever owns its folder.
    if os.path.islink(file):
        raise _unusable(file, "is a symbolic link")
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise _unusable(file, f"cannot be read: {error.strerror}") from None
    if why := _wrong_status(os.fstat(descriptor)):
        # Of a folder there is no stream.
        os.close(descriptor)
        raise _unusable(file, why)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise _unusable(file, f"has more than {_MAX_BYTES:,} bytes")
    return _parse(file, data)


def loose_mode(file: Path) -> str:
    """The mode of a file that others may read, such as "0644"; else ""."""
    mode = stat.S_IMODE(os.stat(file).st_mode)
    return f"{mode:04o}" if os.name == "posix" and mode & 0o077 else ""


def write_private(file: Path, text: str) -> None:
    """Put a file in place, whole and readable by its owner only; its folder is made where it is missing.

    Raises:
        DiskError: It cannot be written.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The temporary file has the mode 0600 from its first moment.
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise DiskError(
            f"{str(file)!r} could not be written: {error.strerror}.", next_step="Check the permissions of its folder."
        ) from None


def _write(file: Path, tokens: Iterable[Token]) -> None:
    lines = [
        f"{token.name} {','.join(one for one in SCOPES if one in token.scopes)} "
        f"sha256:{token.digest.hex()} {token.created}\n"
        for token in tokens
    ]
    write_private(file, "".join(lines))


def _wrong_status(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "is not a file"
    if os.name != "posix":
        return ""
    # Root may write any file anyway, and hands files to services.
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (uid {status.st_uid})"
    return f"can be written by others (mode {stat.S_IMODE(status.st_mode):04o})" if status.st_mode & 0o022 else ""


def _parse(file: Path, data: bytes) -> list[Token]:
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _unusable(file, "begins with a byte order mark")
    if b"\r" in data:
        raise _unusable(file, "has line ends of Windows (CRLF)")
    tokens: list[Token] = []
    for number, line in enumerate(data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else (), 1):
        token = _parse_line(line)
        # What is wrong with it is not quoted: somebody may have put a token there.
        if token is None:
            what = "is empty" if not line.strip() else "is no token"
            raise _unusable(file, f"has a line {number} that {what}")
        if any(token.name == other.name or token.digest == other.digest for other in tokens):
            raise _unusable(file, f"has a line {number} that repeats another")
        tokens.append(token)
    return tokens


def _parse_line(line: str) -> Token | None:
    parts = line.split(" ")
    if len(parts) != 4:
        return None
    name, words, hashed, created = parts
    digest, scopes = _DIGEST.fullmatch(hashed), frozenset(words.split(","))
    if not _is_name(name) or digest is None or not scopes <= set(SCOPES) or not _DATE.fullmatch(created):
        return None
    return Token(name, scopes, bytes.fromhex(digest[1]), created)


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in (LOCAL, AUTOMATIC)


def _unusable(file: Path, why: str) -> DiskError:
    return DiskError(
        f"The file of tokens {str(file)!r} {why}.",
        next_step=f"Repair it, or remove it and make new tokens with `{command('token add NAME')}`.",
    )
