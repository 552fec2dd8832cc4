"""The refusals of the simulated server: an HTTP status and the JSON body that goes with it."""

from __future__ import annotations

import json

from ollama_mcp.simulator.encoding import Object


class Failure(Exception):
    """Ends a request with an error: a status before the first byte of a stream, an error line after it."""

    def __init__(self, status: int, text: str, **extra: object) -> None:
        super().__init__(text)
        self.status = status
        self.body: Object = {"error": text, **extra}

    @classmethod
    def nested(cls, status: int, text: str, kind: str, **extra: object) -> Failure:
        """An error of the inner runner, whose JSON servers since v0.30 pass on as a string."""
        inner = {"error": {"code": status, "message": text, "type": kind, **extra}}
        return cls(status, json.dumps(inner, separators=(",", ":"), ensure_ascii=False))


def missing_model(name: str, *, pull_hint: bool = False) -> Failure:
    """404 in one of the two wordings that Ollama has for a model that is not installed."""
    if pull_hint:
        return Failure(404, f'model "{name}" not found, try pulling it first')
    return Failure(404, f"model '{name}' not found")
