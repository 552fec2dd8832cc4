"""The password of the shared database: in no message, list or log, whatever is in it and however it was written."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ollama_mcp.cli import main
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.fleet.queue import queue_connector
from ollama_mcp.store.postgres_errors import shown
from tests.security.test_secrets import no_canary

# What PostgreSQL takes as it is, and what has to be written as %40, %2F and %25 and was not.
PASSWORDS = [
    "CANARY",
    "CANARY#CANARY",
    "CANARY?CANARY",
    "CANARY/CANARY",
    "1/CANARY",
    "CANARY@CANARY",
    "CANARY@CANARY?a@CANARY",
    "CANARY CANARY",
    "CANARY%zzCANARY",
    'CANARY"CANARY',
    "[CANARY",
]
ADDRESSES = [f"postgresql://ollama:{password}@127.0.0.1:1/models" for password in PASSWORDS]
MORE = [
    "postgresql://ollama@127.0.0.1:1/models?password=CANARY",
    "postgresql://ollama@127.0.0.1:1/models?password=CANARY@CANARY",
    "postgresql://127.0.0.1:1/models?user=a@b&password=CANARY",
]


@pytest.mark.parametrize("address", [*ADDRESSES, *MORE])
@pytest.mark.parametrize("command", [["config", "show"], ["store", "show"], ["store", "upgrade"], ["worker"]])
def test_no_command_says_it(
    address: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OLLAMA_MCP_STORE__URL", address)
    monkeypatch.setenv("OLLAMA_MCP_STORE__LISTEN_URL", address)
    assert main(command) == (0 if command[0] == "config" else 2)
    said = capsys.readouterr()
    no_canary(said.out, said.err, caplog.text)
    assert "postgresql://" in said.out + said.err or "(unreadable)" in said.err


@pytest.mark.parametrize(
    "address", ["postgresql://ollama:CANARY@CANARY@127.0.0.1:1/models", "postgresql://a:CANARY%zz@b/c"]
)
async def test_a_queue_is_not_begun_with_an_address_that_is_none(address: str) -> None:
    with pytest.raises(OllamaMCPError) as caught:
        queue_connector("postgresql://ollama@127.0.0.1:1/models", address, set(), asyncio.Event())
    no_canary(str(caught.value))


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("postgresql://ollama:a@db.example.com:5432/models?sslmode=require", "postgresql://db.example.com:5432/models"),
        ("postgresql://ollama@db1,db2:5433/models", "postgresql://db1,db2:5433/models"),
        ("postgresql://[::1]:5432/models", "postgresql://[::1]:5432/models"),
        ("postgres:///models?host=%2Frun", "postgres:///models"),
    ],
)
def test_the_place_is_shown(address: str, seen: str) -> None:
    assert shown(address) == repr(seen)
