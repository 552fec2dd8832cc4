"""Watches a model over long work: Ollama upgrades models on its own, and two models must not mix in one result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ollama_mcp.errors import Interrupted, OllamaMCPError
from ollama_mcp.formats.model_names import parse_name

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext

CHECK_ROWS = 500
CHECK_SECONDS = 60.0
_SHORT = 12


class ModelReplaced(Interrupted):
    """Another model has the name now."""


class ModelWatch:
    """Looks at the digest of a model every minute or 500 rows, and whenever it is asked.

    Args:
        call: The context of the call.
        model: The model.
        digest: Its digest when the work began; "" for a model that is not on the host, which is not watched.
        remedy: What to do where it was replaced.
    """

    def __init__(self, call: CallContext, model: str, digest: str, remedy: str) -> None:
        self._call, self._model, self._digest, self._remedy = call, model, digest, remedy
        self._rows, self._checked_at = 0, time.monotonic()

    @classmethod
    async def begin(cls, call: CallContext, model: str, remedy: str) -> ModelWatch:
        """Watch a model from its state now on."""
        found = None if parse_name(model).is_cloud else await call.hosts.find_model(model)
        return cls(call, model, "" if found is None else found.digest, remedy)

    def is_due(self, rows: int) -> bool:
        """Count rows that were answered, and tell whether it is time to check."""
        self._rows += rows
        return self._rows >= CHECK_ROWS or time.monotonic() - self._checked_at >= CHECK_SECONDS

    async def check(self, *, final: bool = False) -> bool:
        """Look at the model; False where nobody knows, since the host does not answer or has no model of that name.

        Args:
            final: Whether no check follows, so that a host which does not answer is an error.

        Raises:
            ModelReplaced: Its digest is another one; names both.
            OllamaMCPError: The host does not answer, in the final check.
        """
        # First, so that no other task checks meanwhile.
        self._rows, self._checked_at = 0, time.monotonic()
        if not self._digest:
            return True
        try:
            found = await self._call.hosts.find_model(self._model)
        except OllamaMCPError:
            if final:
                raise
            return False
        if found is None:
            # The next request says so; what was answered before is that model's.
            return False
        if found.digest != self._digest:
            raise ModelReplaced(
                f"{self._model} was replaced meanwhile (digest {self._digest[:_SHORT]} before, "
                f"{found.digest[:_SHORT]} now).",
                model=self._model,
                next_step=self._remedy,
            )
        return True
