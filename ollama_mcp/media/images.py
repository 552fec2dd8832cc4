"""Images from anywhere, made ready for a model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module

from ollama_mcp.access import Access
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.media.anatomy import UnusableMedia
from ollama_mcp.media.gate import SLOTS, gate
from ollama_mcp.media.prepared import PreparedImage
from ollama_mcp.media.sources import Source, source_of
from ollama_mcp.settings.access import ImageSettings


async def prepare_images(
    sources: Sequence[str], *, access: Access, settings: ImageSettings, model: str
) -> list[PreparedImage]:
    """Return images that Ollama takes, in the order of their sources.

    The work is done in threads, two images at a time, a heavy one alone.

    Args:
        sources: Absolute paths, `~/...`, `file://` URIs, http(s) addresses, data: URIs or base64.
        access: What this client may read and fetch.
        settings: Limits and form.
        model: Name of the model, which may have its own longest edge.

    Raises:
        InvalidArgument: Too many, or one cannot be used; it says which one and why.
        NotAllowed: One may not be read or fetched.
        DiskError: One could not be read.
    """
    if len(sources) > settings.max_count:
        raise InvalidArgument(
            f"{len(sources)} images were given; at most {settings.max_count} go into one call "
            "(setting images.max_count).",
            next_step="Send fewer, or raise the setting.",
        )
    edge = longest_edge(settings, model)
    prepared: dict[int, PreparedImage] = {}
    waiting = iter(enumerate(sources, start=1))

    async def lane() -> None:
        for number, text in waiting:
            prepared[number] = await _prepare(text, f"image {number} of {len(sources)}", access, settings, edge)

    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(SLOTS):
                lanes.create_task(lane())
    except* OllamaMCPError as failed:
        failure = failed.exceptions[0]
    if failure is not None:
        raise failure
    return [prepared[number] for number in sorted(prepared)]


def longest_edge(settings: ImageSettings, model: str) -> int:
    """Return the longest edge in pixels for a model: the longest pattern that matches its name, else the default."""
    name = model.lower()
    matching = [pattern for pattern in settings.max_edge_by_model if fnmatchcase(name, pattern.lower())]
    return settings.max_edge_by_model[max(matching, key=len)] if matching else settings.max_edge


async def _prepare(text: str, place: str, access: Access, settings: ImageSettings, edge: int) -> PreparedImage:
    source: Source | None = None
    try:
        source = source_of(text)
        if source.kind == "url":
            source = replace(source, fetched=await access.fetch(source.text))
        chosen = source
        # Pillow is loaded with the first image, in a thread, not at the start of every server.
        await gate().run(partial(import_module, "ollama_mcp.media.worker"))
        from ollama_mcp.media import worker

        weight = await gate().run(lambda: worker.measure(chosen, access, settings, edge))
        return await gate().run(
            lambda: worker.convert(chosen, access, settings, edge, weight), SLOTS if weight.heavy else 1
        )
    except OllamaMCPError as error:
        raise placed(error, place, source) from error.__cause__


def placed(error: OllamaMCPError, place: str, source: Source | None) -> OllamaMCPError:
    """Return the error with the image's place in the list, and its source where the message lacks it."""
    subject = f"{place}: {source.shown}: " if source and isinstance(error, UnusableMedia) else f"{place}: "
    error.message = subject + error.message
    error.args = (error.message,)
    return error
