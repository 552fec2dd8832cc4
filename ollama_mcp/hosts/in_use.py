"""Which models calls of this server use at this moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from ollama_mcp.formats.names import parse_name


class InUse:
    """Counts the running calls of each model, so that unloading one under them is a question for the user."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def has(self, model: str) -> bool:
        """Whether a call uses the model now."""
        return self._calls[parse_name(model).key] > 0

    @contextmanager
    def using(self, model: str) -> Generator[None]:
        """Count a call of the model while the block runs."""
        key = parse_name(model).key
        self._calls[key] += 1
        try:
            yield
        finally:
            self._calls[key] -= 1
            if not self._calls[key]:
                del self._calls[key]
