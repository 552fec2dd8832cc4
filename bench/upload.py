"""The cost of uploading a large model file: seconds, and memory beyond that of the idle server.

    python -m bench.upload [--gb 2]

The file is written to a temporary folder, and the host is a process that discards it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import struct
import tempfile
import time
from pathlib import Path

from mcp import Client

from bench.clients import running
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings

_PIECE = 8 << 20


def write_model(path: Path, size: int) -> None:
    """Write a GGUF file with one tensor of about `size` random bytes, so that the file is not sparse."""
    key, name, architecture = b"general.architecture", b"w", b"llama"
    head = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1)
    head += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(architecture)) + architecture
    head += struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, size // 4, 0, 0)
    with path.open("wb") as file:
        file.write(head + bytes(-len(head) % 32))
        piece = os.urandom(_PIECE)
        for _ in range(size // _PIECE):
            file.write(piece)


def resident_bytes() -> int:
    """Resident memory of this process in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure(path: Path, url: str) -> tuple[float, int]:
    """Seconds of one create call with its upload, and its peak of additional memory."""
    server = OllamaServer(Settings.model_validate({"host": url, "read": {"upload_folders": [str(path.parent)]}}))
    async with Client(server) as client:
        await client.call_tool("ollama_list_models", {})
        before = peak = resident_bytes()
        started = time.perf_counter()
        call = asyncio.create_task(client.call_tool("ollama_create_model", {"model": "x", "path": str(path)}))
        while not call.done():
            peak = max(peak, resident_bytes())
            await asyncio.wait([call], timeout=0.02)
        result = await call
    assert not result.is_error, result
    return time.perf_counter() - started, peak - before


def main() -> int:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gb", type=float, default=2.0, help="size of the file")
    size = int(parser.parse_args().gb * 1e9)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.gguf"
        write_model(path, size - size % _PIECE)
        with running("bench.upload_sink") as url:
            seconds, memory = asyncio.run(measure(path, url))
    print(f"{size / 1e9:.1f} GB in {seconds:.1f} s ({size / 1e6 / seconds:.0f} MB/s), {memory / 1e6:.0f} MB over base")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
