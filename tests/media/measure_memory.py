"""Run by a test in a process of its own: prints by how many MB the peak of memory rose for each image of a folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from pathlib import Path

from ollama_mcp.access import Access, ReadRules, RuntimeEnvironment
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.media import prepare_images
from ollama_mcp.settings.access import ImageSettings, ReadSettings, UrlSettings


def kilobytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


async def prepare_twice(path: Path) -> None:
    facts = RuntimeEnvironment(home=str(path.parent), working_folder=str(path.parent))
    access = Access(ReadRules(ReadSettings(), facts), UrlSettings())
    # At the same time: what holds for one image must hold for the server.
    calls = (prepare_images([str(path)], access=access, settings=ImageSettings(), model="x") for _ in range(2))
    await asyncio.gather(*calls)


def rise(path: Path) -> float:
    base = kilobytes("VmRSS")
    # Sets the peak back to what is used now (proc(5), clear_refs).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    with contextlib.suppress(InvalidArgument):
        asyncio.run(prepare_twice(path))
    return round((kilobytes("VmHWM") - base) / 1024, 1)


# The decoders themselves are not what an image takes.
rise(Path(sys.argv[1]) / "warm.gif")
print(json.dumps({path.name: rise(path) for path in sorted(Path(sys.argv[1]).iterdir())}))  # noqa: T201
