"""Helpers of these tests: small model files, calls, the requests that a host got, and progress notifications."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult

from ollama_mcp.simulator import Simulator
from tests.contract.gguf_files import gguf

CANARY = b"CANARY-7f3a91"
TOKENIZER = b"\n\x05\n\x03<s>"


def safetensors(header: dict[str, Any] | bytes | None = None, data: bytes = bytes(16)) -> bytes:
    """A safetensors file with one tensor; `header` replaces its own."""
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


def sentence_transformer_folder(folder: Path, *, pooling: bool = True, modules: bytes | None = None) -> Path:
    """An embedding model as a model hub gives it, laid out as all-MiniLM-L6-v2 is; `modules` replaces modules.json."""
    config = {"architectures": ["BertModel"], "hidden_size": 384, "max_position_embeddings": 512}
    layers = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed: list[dict[str, Any]] = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(layers)
    ]
    llama_folder(
        folder,
        config__json=json.dumps(config).encode(),
        tokenizer__model=None,
        modules__json=json.dumps(listed, indent=2).encode() if modules is None else modules,
        sentence_bert_config__json=b'{"max_seq_length": 256, "do_lower_case": false}',
        config_sentence_transformers__json=b'{"__version__": {"sentence_transformers": "2.0.0"}}',
        data_config__json=b'[{"name": "stackexchange", "lines": 1}]',
        vocab__txt=b"[PAD]\n",
    )
    if pooling:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
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


def changing_requests(simulator: Simulator) -> list[str]:
    """The requests that were more than queries."""
    queries = ("/api/tags", "/api/version", "/api/ps", "/api/show")
    return [f"{seen.method} {seen.path}" for seen in simulator.requests if seen.path not in queries]


class ProgressLog:
    """Collects progress notifications as a client gets them; `until` waits for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float | None, str]] = []
        self._arrived = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.seen.append((progress, total, message or ""))
        self._arrived.set()

    @property
    def messages(self) -> list[str]:
        return [message for _, _, message in self.seen]

    def check(self) -> None:
        """Assert what holds for all progress: it grows, stays within its total, and fits a row of a host's window."""
        values = [value for value, _, _ in self.seen]
        assert values == sorted(set(values))
        assert all(total is None or total >= value for value, total, _ in self.seen)
        assert all(len(message) < 200 and "\n" not in message for message in self.messages)

    async def until(self, matches: Callable[[str], bool]) -> str:
        """The first message that matches, once it has arrived."""
        async with asyncio.timeout(30):
            while not (found := [message for message in self.messages if matches(message)]):
                self._arrived.clear()
                await self._arrived.wait()
        return found[0]
