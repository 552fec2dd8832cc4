"""Measuring how many requests at a time a model is worth without a batch: with rows of our own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.work.batch.processors import PromptProcessor
from ollama_mcp.work.batch.sources import TextListSource
from ollama_mcp.work.batch.spec import BatchSpec
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.cloud_policy import runs_in_cloud
from ollama_mcp.work.parallel import LARGE, keep_result, new_ramp, run_parallel

if TYPE_CHECKING:
    from ollama_mcp.store import Tuning
    from ollama_mcp.work.call_context import CallContext

_TOKENS = 16


async def tune_model(call: CallContext, name: str) -> tuple[str, Tuning]:
    """Measure a chat model with short prompts, each another one, and keep what was found.

    The requests fit into the context that is loaded, so that the model is not loaded anew.

    Args:
        call: The context of the call.
        name: The model's name; "" for the one that is chosen for a chat.

    Returns:
        The model's name, and what was found.

    Raises:
        OllamaMCPError: The model cannot be measured, or a request failed; nothing is kept.
    """
    model = (await choose(call, name, "chat")).model
    if await runs_in_cloud(call, model):
        raise InvalidArgument(f"{model} runs on ollama.com.", next_step="Name a local model with --model.")
    digest = (await call.hosts.installed_model(model)).digest
    # Of this moment: Ollama may keep what it read of a prompt that it knows.
    texts = [f"Number {row} of {time.time():.0f}" for row in range(2 * LARGE)]
    source = TextListSource(texts)
    spec = BatchSpec(input=texts, prompt="Write a story about this: {text}", options={"num_predict": _TOKENS})
    processor = PromptProcessor(call, spec, source, await choose(call, model, "chat"))
    ramp, rows = new_ramp(call, model), source.rows()

    async def ask() -> bool:
        if ramp.is_done or (row := next(rows, None)) is None:
            return False
        begun = ramp.begin()
        (outcome,) = await processor.process([row])
        if outcome.error is not None:
            raise outcome.error
        ramp.end(begun, failed=False)
        tried = f"{ramp.parallel} at a time"
        await call.progress.update(row.number, lambda: f"measuring {model}: {tried}")
        return True

    failure: OllamaMCPError | None = None
    try:
        await run_parallel(ramp, ask)
    except* OllamaMCPError as group:
        failure = _first(group)
    if failure is not None:
        raise failure
    tuning = await keep_result(call, model, digest, ramp)
    assert tuning is not None, "there are more rows than all steps take"
    return model, tuning


def _first(group: BaseExceptionGroup[OllamaMCPError]) -> OllamaMCPError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
