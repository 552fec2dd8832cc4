"""What only the server process itself can count; a tool of the soak test."""

import asyncio
import gc
import os
import sys
import threading
from collections import OrderedDict, deque
from functools import _lru_cache_wrapper  # pyright: ignore[reportPrivateUsage]
from pathlib import Path
from typing import Any, cast

from ollama_mcp import READS, Call, Data, tool

_CONTAINERS = (dict, list, set, deque, OrderedDict)
_LARGE = 5_000


class Numbers(Data):
    """Counts of one moment."""

    resident: int
    objects: int
    tasks: int
    threads: int
    files: int
    sockets: int
    large: int
    unbounded: int

    def as_text(self) -> str:
        return self.model_dump_json()


@tool(title="Count", toolset="system", hints=READS)
async def soak_numbers(call: Call) -> Numbers:
    """Count what this process holds."""
    gc.collect()
    objects: list[Any] = gc.get_objects()
    caches = [found.cache_info() for found in objects if isinstance(found, _lru_cache_wrapper)]
    links = _links()
    modules = {id(vars(module)) for module in list(sys.modules.values())} | {id(sys.modules), id(objects)}
    containers = [found for found in objects if type(found) in _CONTAINERS and id(found) not in modules]
    return Numbers(
        resident=_resident(),
        objects=len(objects),
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        files=len(links),
        sockets=sum(link.startswith("socket:") for link in links),
        large=sum(len(found) > _LARGE for found in [*containers, *_untracked(objects)]),
        unbounded=max((info.currsize for info in caches if info.maxsize is None), default=0),
    )


def _untracked(objects: list[Any]) -> list[dict[Any, Any]]:
    """Large dicts of strings and numbers, which the garbage collector does not list."""
    held = (cast("dict[Any, Any]", one) for each in objects for one in gc.get_referents(each) if type(one) is dict)
    return list({id(one): one for one in held if len(one) > _LARGE and not gc.is_tracked(one)}.values())


def _links() -> list[str]:
    links: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except OSError:  # the one that lists them
            continue
    return links


def _resident() -> int:
    line = next(line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
