"""Codes by which any replica knows what an agent was asked to confirm, and when: nothing of it has to be kept.

A code is the minute in which it was made, and for each thing asked an authentication code over that minute, the caller,
the tool and the subject. It is good for ten minutes, and once in each process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence

from ollama_mcp import clock

_MINUTES = 10
# The clocks of two replicas may differ by this much.
_SKEW_MINUTES = 1
_MAX_USED = 1_000
_CODE = re.compile(r"[0-9a-f]{6,10}(?:\.[A-Za-z0-9_-]{12}){1,8}")


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
        minute = int(clock.now() // 60)
        return ".".join((f"{minute:x}", *(self._tag(minute, one) for one in asked)))

    def take(self, code: str, asked: Sequence[str]) -> bool:
        """Whether a code covers this, is not too old, and was not used for it in this process before."""
        if not is_code(code):
            return False
        written, *tags = code.split(".")
        minute = int(written, 16)
        if not -_SKEW_MINUTES <= clock.now() // 60 - minute <= _MINUTES:
            return False
        tag = self._tag(minute, asked)
        if not any(hmac.compare_digest(tag, each) for each in tags) or tag in self._used:
            return False
        while len(self._used) >= _MAX_USED:
            del self._used[next(iter(self._used))]
        self._used[tag] = None
        return True

    def _tag(self, minute: int, asked: Sequence[str]) -> str:
        text = json.dumps([minute, *asked]).encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, text, hashlib.sha256)[:9]).decode()
