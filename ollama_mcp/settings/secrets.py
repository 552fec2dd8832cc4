"""Secrets that settings name and do not contain: in an environment variable, or in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ollama_mcp.errors import InvalidArgument

# What a key of 256 bits takes at least.
MIN_BYTES = 32
_MAX_BYTES = 65_536


def read_secret(setting: str, reference: str, environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The secret that a setting names as "env:NAME" or "file:PATH"; None where it names none.

    Raises:
        InvalidArgument: It is not there, or shorter than 32 bytes; the message names the setting and never the secret.
    """
    if not reference:
        return None
    kind, _, where = reference.partition(":")
    if kind == "env":
        source, found = f"the environment variable {where!r}", environment.get(where, "").encode()
    else:
        source = f"the file {where!r}"
        try:
            with Path(where).expanduser().open("rb") as file:
                found = file.read(_MAX_BYTES)
        except OSError as error:
            raise InvalidArgument(
                f"setting {setting}: {source} cannot be read: {error.strerror}.",
                next_step="All replicas need the same secret.",
            ) from None
    secret = found.strip()
    if len(secret) < MIN_BYTES:
        has = f"has {len(secret)} bytes" if secret else "is not set"
        raise InvalidArgument(
            f"setting {setting}: {source} {has}; a secret has {MIN_BYTES} or more.",
            next_step="`openssl rand -hex 32` makes one; all replicas need the same.",
        )
    return secret
