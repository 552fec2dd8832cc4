"""The error responses of the simulated server: an HTTP status and its JSON body."""

from __future__ import annotations

import json
from typing import Any

SERVER_BUSY = "server busy, please try again.  maximum pending requests exceeded"
SIGNIN_URL = "https://ollama.com/connect?name=simulator&key=c2ltdWxhdG9y"


class ErrorResponse(Exception):
    """Ends a request with an error: a status before the first byte of a stream, an error line after it."""

    def __init__(self, status: int, text: str, **extra: object) -> None:
        super().__init__(text)
        self.status = status
        self.body: dict[str, Any] = {"error": text, **extra}

    @classmethod
    def nested(cls, status: int, text: str, kind: str, **extra: object) -> ErrorResponse:
        """An error of llama-server, whose JSON document Ollama v0.30 and newer pass on as a string."""
        inner = {"error": {"code": status, "message": text, "type": kind, **extra}}
        return cls(status, json.dumps(inner, separators=(",", ":"), ensure_ascii=False))


def model_not_found(name: str, *, pull_hint: bool = False) -> ErrorResponse:
    """404 in one of Ollama's two wordings for a model that is not installed."""
    if pull_hint:
        return ErrorResponse(404, f'model "{name}" not found, try pulling it first')
    return ErrorResponse(404, f"model '{name}' not found")
