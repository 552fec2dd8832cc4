"""Codes by which any replica knows what an agent was asked to confirm, and when: nothing of it has to be kept.

A code is the minute in which it was made with some random digits, for each thing asked an authentication code over
these, the caller, the tool and the subject, and one over the whole. It is good for ten minutes, once in each process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence

from ollama_mcp import clock

_MINUTES = 10
# The clocks of two replicas may differ by this much.
_SKEW_MINUTES = 1
_MAX_USED = 1_000
# Stands where a caller does, of which none has this name.
_WHOLE = "\0code"
_RANDOM_BYTES = 4
_CODE = re.compile(r"[0-9a-f]{14,18}(?:\.[A-Za-z0-9_-]{12}){2,9}")


def is_code(value: object) -> bool:
    """Whether a value has the form of a code."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


class ConfirmationCodes:
    """Makes and checks codes.

    Args:
        secret: What all replicas share.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"ollama-mcp-server/confirmation-codes/v1", "sha256")
        self._used: dict[str, None] = {}

    def make(self, asked: Sequence[Sequence[str]]) -> str:
        """The code of all that is asked, each as (caller, tool, subject)."""
        stamp = f"{int(clock.now() // 60):x}{secrets.token_hex(_RANDOM_BYTES)}"
        code = ".".join((stamp, *(self._tag(stamp, one) for one in asked)))
        return f"{code}.{self._tag(stamp, (_WHOLE, code))}"

    def is_genuine(self, code: str) -> bool:
        """Whether one of the replicas made it, whatever it is for."""
        if not is_code(code):
            return False
        rest, _, seal = code.rpartition(".")
        return hmac.compare_digest(seal, self._tag(rest.partition(".")[0], (_WHOLE, rest)))

    def take(self, code: str, asked: Sequence[str]) -> bool:
        """Whether a code covers this, is not too old, and was not used for it in this process before."""
        if not self.is_genuine(code):
            return False
        stamp, *tags, _ = code.split(".")
        minute = int(stamp[: -2 * _RANDOM_BYTES], 16)
        if not -_SKEW_MINUTES <= clock.now() // 60 - minute <= _MINUTES:
            return False
        tag = self._tag(stamp, asked)
        if not any(hmac.compare_digest(tag, each) for each in tags) or tag in self._used:
            return False
        while len(self._used) >= _MAX_USED:
            del self._used[next(iter(self._used))]
        self._used[tag] = None
        return True

    def _tag(self, stamp: str, asked: Sequence[str]) -> str:
        text = json.dumps([stamp, *asked]).encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, text, hashlib.sha256)[:9]).decode()
