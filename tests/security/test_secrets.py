"""Keys, tokens and passwords in addresses are in nothing that leaves the server but the requests they are for."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Fault, Simulator
from ollama_mcp.store import Store
from tests.observation.test_metrics import free_port, scraped
from tests.observation.test_tracing import collecting, process
from tests.program import program
from tests.security.team import ERAS, team_at
from tests.support import connected, until
from tests.transports.wire import modern

MODEL = "llama3.2:3b"
# Each stands for a secret of another kind; none may come out anywhere.
KEY, HEADER, CLOUD_KEY, USER, PASSWORD = "CANARY/KEY", "CANARYHEADER", "CANARYCLOUD", "CANARYUSER", "CANARYPASS"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("ollama_chat", {"model": MODEL, "prompt": "Hi"}),
    ("ollama_chat", {"model": "absent", "prompt": "Hi"}),
    ("ollama_generate", {"model": MODEL, "prompt": "Hi"}),
    ("ollama_embed", {"model": "nomic-embed-text", "input": ["a"]}),
    ("ollama_status", {}),
    ("ollama_list_models", {}),
    ("ollama_list_running", {}),
    ("ollama_show_model", {"model": MODEL}),
    ("ollama_web_search", {"query": "a"}),
    ("ollama_pull_model", {"model": "absent-model"}),
]
# The last ones are of a proxy that repeats what it got.
FAULTS = [
    None,
    Fault("status", status=502),
    Fault("cut"),
    Fault("redirect"),
    Fault("status", status=401, text=f"wrong key: Bearer {KEY}, {HEADER}"),
    Fault("status", status=500, text=f"Authorization: {KEY}"),
    # After the status 200, in a line of the stream.
    Fault("error_line", text=f"wrong key: Bearer {KEY}, {HEADER}"),
    Fault("error_line", text=f"wrong key: Bearer {KEY}", path="/api/pull"),
]


def no_canary(*said: object) -> None:
    """Nothing that was said has a secret."""
    for one in said:
        text = one if isinstance(one, str) else json.dumps(one, default=str)
        assert "CANARY" not in text, text[max(0, text.index("CANARY") - 200) :][:400]


async def everything(client: Client) -> list[str]:
    """What a client sees of the calls, with their progress, and of the resources."""
    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    said = [
        (await client.call_tool(name, arguments, progress_callback=note)).model_dump_json() for name, arguments in CALLS
    ]
    uris = [resource.uri for resource in (await client.list_resources()).resources]
    return [*said, *told, *[await _read(client, uri) for uri in uris]]


async def _read(client: Client, uri: str) -> str:
    try:
        return (await client.read_resource(uri)).model_dump_json()
    except MCPError as error:
        return str(error)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind if fault else "none")
async def test_no_result_log_row_or_figure_has_a_secret(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Fault | None
):
    caplog.set_level(logging.DEBUG)
    if fault is not None:
        simulator.faults.add(fault)
    path, port = tmp_path / "store", free_port()
    given: dict[str, Any] = {
        "host": simulator.url,
        "headers": {"X-Key": HEADER},
        "tools": {"toolsets": ["all"]},
        "web": True,
        "store": {"path": str(path)},
        "ledger": {"enabled": True},
        "metrics": {"port": port},
        "urls": {"enabled": True},
    }
    server = OllamaServer(Settings.model_validate({**given, "api_key": KEY}), api_key=CLOUD_KEY)
    async with Client(server, mode="legacy") as client:
        no_canary(*await everything(client), (await scraped(port)).text)
    no_canary(caplog.text)
    store = Store(path)
    store.open_ledger(Settings.model_validate({"ledger": given["ledger"], "store": {"path": str(path)}}))
    assert store.ledger is not None
    rows = [row async for row in store.ledger.entries()]
    await store.aclose()
    assert rows
    no_canary(rows)
    # They were used, all the same.
    sent = simulator.requests[-1].headers
    assert (sent["x-key"], sent["authorization"]) == (HEADER, f"Bearer {KEY}")


async def test_the_log_of_a_server_over_http_has_no_token(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with team_at(simulator.url, tmp_path) as team:
        for era in ERAS:
            async with team.client("user", era) as client:
                result = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
                said.append(result.model_dump_json())
        await team.peer.post(modern(1, "server/discover"), "modern", Authorization="Bearer CANARYWRONG")
        secrets = list(team.secrets.values())
    # The client is this process too, and its HTTP library logs what it sends.
    logged = "\n".join(line for line in caplog.text.splitlines() if "httpx2" not in line and "httpcore2" not in line)
    assert not [secret for secret in secrets if secret in logged or secret in "".join(said)]
    no_canary(logged)


@pytest.mark.slow
async def test_spans_log_and_command_line_of_a_process_have_no_secret(simulator: Simulator, tmp_path: Path):
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({"api_key": KEY, "headers": {"X-Key": HEADER}, "tracing": True, "log_level": "debug"}))
    async with collecting() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OLLAMA_API_KEY": CLOUD_KEY}
        async with process(simulator, tmp_path, "--config", str(config), **env) as client:
            no_canary(*await everything(client))
            await until(lambda: f"chat {MODEL}" in collector.spans)
            ours = [line for line in _command_lines() if str(config) in line]
    assert b"CANARY" not in collector.raw
    assert ours
    no_canary((tmp_path / "stderr").read_text(), *ours)


def _command_lines() -> list[str]:
    """What `ps` shows of all processes (Linux)."""
    found: list[str] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_config_show_prints_no_secret(tmp_path: Path):
    config = tmp_path / "settings.json"
    proxy = f"http://{USER}:{PASSWORD}@proxy.example.com:8080"
    hosts = {"a": {"url": "http://127.0.0.1:9", "headers": {"X": HEADER}}}
    texts = {
        "one": {"api_key": KEY, "headers": {"X-Key": HEADER}, "urls": {"trusted_proxy": proxy}},
        "several": {"hosts": hosts},
        "wrong": {"host": f"http://{USER}:{PASSWORD}@example.com"},
        "unknown": {"api_key": KEY, "headers": {"X-Key": HEADER}, "nonsense": 1},
        "mistyped": {"api_key": [KEY], "headers": {"X-Key": [HEADER]}},
    }
    for name, given in texts.items():
        config.write_text(json.dumps(given), encoding="utf-8")
        for action in ("show", "check"):
            command = [*program(), "config", action, "--config", str(config)]
            env = {**os.environ, "OLLAMA_API_KEY": CLOUD_KEY}
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=tmp_path)
            assert done.stdout or done.stderr, name
            no_canary(done.stdout, done.stderr)


async def test_the_address_of_a_call_is_shown_without_its_user(simulator: Simulator):
    address = f"https://{USER}:{PASSWORD}@example.com/a.png?key={KEY}"
    async with connected(simulator.url, urls={"enabled": True}) as client:
        for arguments in ({"images": [address]}, {"files": [address]}):
            chat = {"model": "gemma3:4b", "prompt": "Hi", **arguments}
            result = await client.call_tool("ollama_chat", chat)
            assert result.is_error
            no_canary(result.model_dump_json())
