"""Spans and the JSON log of a server in a process of its own, as a collector gets them."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ollama_mcp.simulator import Answer, Simulator
from tests.program import program
from tests.support import text, until

MODEL = "llama3.2:3b"


@dataclass
class Collector:
    """Takes spans by OTLP over HTTP."""

    spans: dict[str, Any] = field(default_factory=dict[str, Any])
    raw: bytes = b""
    url: str = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while head := (await _head(reader)).lower():
            length = next(int(line[15:]) for line in head.splitlines() if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
            body = zlib.decompress(body, 31) if b"content-encoding: gzip" in head else body
            self.raw += body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans |= {span.name: span for span in scope.spans}
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


@asynccontextmanager
async def collecting() -> AsyncGenerator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    server = await asyncio.start_server(collector.take, "127.0.0.1", 0)
    async with server:
        collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield collector


@asynccontextmanager
async def process(
    simulator: Simulator, folder: Path, *options: str, era: str = "legacy", **env: str
) -> AsyncGenerator[Client]:
    """A client of a server in a process of its own, whose stderr goes to a file in the folder."""
    with (folder / "stderr").open("w") as errors:
        command, *words = program()
        parameters = StdioServerParameters(
            command=command,
            args=[*words, "--ollama", simulator.url, *options],
            env={"OTEL_BSP_SCHEDULE_DELAY": "50", "PYTHONPATH": str(Path(__file__).parents[2]), **env},
            cwd=str(folder),
        )
        async with Client(stdio_client(parameters, errlog=errors), mode=era) as client:
            yield client


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of a span."""
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def test_a_call_has_the_sdks_span_and_below_it_one_for_each_request(simulator: Simulator, tmp_path: Path):
    simulator.script(MODEL, Answer("CANARYANSWER", tokens=7, prompt_tokens=30))
    async with collecting() as collector:
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        async with process(simulator, tmp_path, "--set", "tracing=true", **where) as client:
            assert text(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "CANARYPROMPT"}))
            await until(lambda: {"tools/call ollama_chat", f"chat {MODEL}"} <= collector.spans.keys())
    call, chat = collector.spans["tools/call ollama_chat"], collector.spans[f"chat {MODEL}"]
    assert chat.parent_span_id == call.span_id and chat.kind == chat.SPAN_KIND_CLIENT
    found = attributes(chat)
    assert (found["gen_ai.operation.name"], found["gen_ai.request.model"]) == ("chat", MODEL)
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (30, 7)
    assert found["gen_ai.provider.name"] == "ollama" and found["server.address"] == "127.0.0.1"
    assert b"CANARY" not in collector.raw


async def test_a_collector_that_is_gone_changes_no_call_and_is_told_once(simulator: Simulator, tmp_path: Path):
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with process(simulator, tmp_path, "--set", "tracing=true", **where) as client:
        for _ in range(5):
            assert text(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}))
    errors = (tmp_path / "stderr").read_text()
    assert "Traceback" not in errors and len(errors.splitlines()) <= 3


async def test_the_log_is_json_line_by_line(simulator: Simulator, tmp_path: Path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "broken.py").write_text("raise ValueError('first\\nsecond')", encoding="utf-8")
    options = ("--set", "log_format=json", "--set", f"tools.folders={json.dumps([str(tmp_path / 'tools')])}")
    async with process(simulator, tmp_path, *options) as client:
        await client.list_tools()
    lines = [json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines()]
    (skipped,) = [line for line in lines if "broken.py" in line["message"]]
    assert skipped["level"] == "warning" and skipped["logger"].startswith("ollama_mcp") and skipped["at"].endswith("Z")
