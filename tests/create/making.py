"""Model files for the tests: small, whole, and in every way broken."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Simulator
from tests.contract.gguf_files import gguf

CANARY = b"CANARY-7f3a91"
TOKENIZER = b"\n\x05\n\x03<s>"


def safetensors(header: dict[str, Any] | bytes | None = None, data: bytes = bytes(16)) -> bytes:
    """A safetensors file with one tensor; `header` stands in for its own."""
    usual = {"__metadata__": {"format": "pt"}, "w": {"dtype": "F16", "shape": [2, 4], "data_offsets": [0, 16]}}
    text = header if isinstance(header, bytes) else json.dumps(usual if header is None else header).encode()
    return struct.pack("<Q", len(text)) + text + data


def llama_folder(folder: Path, **other: bytes | None) -> Path:
    """A folder as a model hub gives it; keywords replace files (dots written as two underscores) or leave them out."""
    files: dict[str, bytes | None] = {
        "config.json": json.dumps({"architectures": ["LlamaForCausalLM"], "hidden_size": 64}).encode(),
        "tokenizer.json": b"{}",
        "tokenizer.model": TOKENIZER,
        "model.safetensors": safetensors(),
        "README.md": CANARY,
        "secret.json": json.dumps({"password": CANARY.decode()}).encode(),
    }
    files |= {name.replace("__", "."): data for name, data in other.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if data is not None:
            (folder / name).write_bytes(data)
    return folder


def split_gguf(folder: Path, count: int = 3) -> list[Path]:
    """A split model: the first part has the metadata, the others only their place."""
    paths: list[Path] = []
    for number in range(count):
        place: dict[str, Any] = {"split.no": number, "split.count": count}
        path = folder / f"big-{number + 1:05d}-of-{count:05d}.gguf"
        path.write_bytes(gguf({"general.architecture": "llama", **place} if number == 0 else place))
        paths.append(path)
    return paths


def allow(folder: Path) -> dict[str, Any]:
    """Settings by which files of a folder may be uploaded."""
    return {"upload_folders": [str(folder)]}


async def create(client: Client, **arguments: Any) -> CallToolResult:
    """Call ollama_create_model; `base` stands for `from`."""
    if "base" in arguments:
        arguments["from"] = arguments.pop("base")
    return await client.call_tool("ollama_create_model", {"model": "mine", **arguments})


def sent(simulator: Simulator, path: str) -> list[Any]:
    """The bodies that went to a path."""
    return [seen.json for seen in simulator.requests if seen.path == path]


def uploads(simulator: Simulator) -> list[str]:
    """The digests of the blobs that were sent."""
    return [
        seen.path.rsplit("/", 1)[1]
        for seen in simulator.requests
        if seen.method == "POST" and seen.path.startswith("/api/blobs/")
    ]


def changing(simulator: Simulator) -> list[str]:
    """What was asked of the host beyond looking."""
    looks = ("/api/tags", "/api/version", "/api/ps", "/api/show")
    return [f"{seen.method} {seen.path}" for seen in simulator.requests if seen.path not in looks]
