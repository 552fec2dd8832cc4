"""Checks on the models of an Ollama: which there are, whether the usual one fits, and whether it answers."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_mcp.cli.doctor.check import Check
from ollama_mcp.errors import ModelNotFound, OllamaMCPError
from ollama_mcp.formats.model_names import same_model
from ollama_mcp.server.transports.origin import is_loopback
from ollama_mcp.work.choosing import GIGABYTE, SUGGESTED, choose
from ollama_mcp.work.own_context import own_context
from ollama_mcp.work.progress import counted

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary
    from ollama_mcp.hosts import HostPool
    from ollama_mcp.settings import Settings
    from ollama_mcp.settings.model import DefaultSettings
    from ollama_mcp.store import Store

_TASKS = ("model", "chat", "generate", "vision", "embed", "decide")
_PULL = f"`ollama pull {SUGGESTED['completion']}` downloads one that runs on a laptop."


async def check_models(settings: Settings, hosts: HostPool, store: Store) -> AsyncGenerator[Check]:
    """Check the models, and ask the one that `ollama_chat` would use for one token, which loads it."""
    try:
        installed = await hosts.client().tags()
        able = await hosts.capabilities(installed)
    except OllamaMCPError as error:
        yield Check("models", error.message, "broken", error.next_step)
        return
    if not installed:
        yield Check("models", "none is installed", "broken", _PULL)
        return
    counts = Counter(capability for names in able.values() for capability in names)
    shown = ", ".join(f"{count} {capability}" for capability, count in sorted(counts.items()))
    yield Check("models", f"{counted(len(installed), 'model')}: {shown}")
    missing = _missing_defaults(settings.defaults, installed)
    for setting, name in missing:
        yield Check("default", f"{setting} is {name}, which is not installed", "broken", f"`ollama pull {name}`")
    call = own_context(settings, hosts, store)
    try:
        choice = await choose(call, "", "chat")
    except ModelNotFound as error:
        yield Check("default", error.message, "broken", _PULL)
        return
    model = next((one for one in installed if same_model(one.name, choice.model)), None)
    if model is None:
        return
    yield _check_size(model, choice.reason, hosts.url)
    async for check in _check_answer(hosts, model.name, settings.defaults.keep_alive):
        yield check


def _missing_defaults(defaults: DefaultSettings, installed: list[ModelSummary]) -> list[tuple[str, str]]:
    named = [(f"defaults.{task}", str(getattr(defaults, task))) for task in _TASKS]
    return [pair for pair in named if pair[1] and not any(same_model(one.name, pair[1]) for one in installed)]


def _check_size(model: ModelSummary, reason: str, url: str) -> Check:
    size, memory = model.size / GIGABYTE, _memory() / GIGABYTE
    found = f"{model.name} ({reason}), {size:.1f} GB"
    if not is_loopback(urlsplit(url).hostname or "") or not memory:
        return Check("default", found)
    found += f"; this machine has {memory:.0f} GB of memory"
    if size < memory:
        return Check("default", found)
    fix = "Set defaults.model to a smaller one, unless a GPU has room for it."
    return Check("default", f"{found}, which is less", "warning", fix)


def _memory() -> int:
    """Bytes of memory of this machine; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # pragma: no cover - Windows
        return 0


async def _check_answer(hosts: HostPool, model: str, keep_alive: float | str | None) -> AsyncGenerator[Check]:
    from ollama_mcp.api import ChatMessage, ChatRequest

    request = ChatRequest(
        model=model,
        messages=[ChatMessage(role="user", content="Hi")],
        options={"num_predict": 1},
        keep_alive=keep_alive,
    )
    began = time.monotonic()
    stream = hosts.client().chat(request)
    try:
        async with stream:
            await anext(stream, None)
            first = time.monotonic() - began
        whole = await stream.collect()
        running = await hosts.running()
    except OllamaMCPError as error:
        fix = error.next_step or "Ollama's own log says why."
        yield Check("chat", f"{model} does not answer: {error.message}", "broken", fix)
        return
    loading = ((whole.stats and whole.stats.load_duration) or 0) / 1e9
    yield Check("chat", f"{model} answers: first token after {first:.1f} s, {loading:.1f} s of it to load the model")
    loaded = next((one for one in running or () if same_model(one.name, model)), None)
    if loaded is None or not loaded.size:
        yield Check("gpu", "Ollama does not tell what runs on a GPU")
        return
    share = round(100 * loaded.size_vram / loaded.size)
    if share >= 100:
        yield Check("gpu", f"{model} runs on the GPU wholly")
        return
    if not share:
        # Most machines have no GPU that Ollama uses, which is no fault of theirs.
        yield Check("gpu", f"{model} runs on the processor; a small model is the way to be quick there")
        return
    fix = "A smaller model, or a shorter context, would fit."
    yield Check("gpu", f"{share} % of {model} is on a GPU, so it is slower than it could be", "warning", fix)
