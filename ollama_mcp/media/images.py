"""Images from any source, prepared for a model: read, checked, scaled and re-encoded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from ollama_mcp.access import Access
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.media.limiter import SLOTS, shared_limiter
from ollama_mcp.media.sources import Source, parse_source, with_position
from ollama_mcp.settings.access import ImageSettings

if TYPE_CHECKING:
    from ollama_mcp.media.image_conversion import PreparedImage


async def prepare_images(
    sources: Sequence[str], *, access: Access, settings: ImageSettings, model: str
) -> list[PreparedImage]:
    """Return images in a form that Ollama takes, in the order of their sources.

    The work is done in threads, two images at a time, a heavy one alone.

    Args:
        sources: Absolute paths, `~/...`, `file://` URIs, http(s) addresses, data: URIs or base64.
        access: What this client may read and fetch.
        settings: Limits, size and quality.
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
    # Shared by the workers: each takes the next source when it is done with one.
    pending = iter(enumerate(sources, start=1))

    async def worker() -> None:
        for number, text in pending:
            prepared[number] = await _prepare_image(text, f"image {number} of {len(sources)}", access, settings, edge)

    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(SLOTS):
                workers.create_task(worker())
    except* OllamaMCPError as errors:
        failure = errors.exceptions[0]
    # Raised here, not in the `except*` clause, which would wrap it in a group again.
    if failure is not None:
        raise failure
    return [prepared[number] for number in sorted(prepared)]


def longest_edge(settings: ImageSettings, model: str) -> int:
    """Return the longest edge in pixels for a model, by the longest pattern that matches its name, else the default."""
    name = model.lower()
    matching = [pattern for pattern in settings.max_edge_by_model if fnmatchcase(name, pattern.lower())]
    return settings.max_edge_by_model[max(matching, key=len)] if matching else settings.max_edge


async def _prepare_image(text: str, position: str, access: Access, settings: ImageSettings, edge: int) -> PreparedImage:
    source: Source | None = None
    try:
        source = parse_source(text)
        if source.kind == "url":
            source = replace(source, fetched=await access.fetch(source.text))
        chosen = source
        # Pillow is imported with the first image, in a thread, not at the start of every server.
        await shared_limiter().run(partial(import_module, "ollama_mcp.media.image_conversion"))
        from ollama_mcp.media import image_conversion

        cost = await shared_limiter().run(lambda: image_conversion.measure_image(chosen, access, settings, edge))
        return await shared_limiter().run(
            lambda: image_conversion.convert_image(chosen, access, settings, edge, cost), SLOTS if cost.heavy else 1
        )
    except OllamaMCPError as error:
        raise with_position(error, position, source) from error.__cause__
