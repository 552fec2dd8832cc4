"""The ledger: what it has of each call, what never gets into it, its limits, and its export."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp.types import TextResourceContents

from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.store import Store
from ollama_mcp.store.ledger import LedgerRow
from tests.jobs.support import JOB, job_of, listed_once
from tests.program import program
from tests.security.team import team_at
from tests.support import connected, data, error

MODEL = "llama3.2:3b"


def on(path: Path, **more: Any) -> dict[str, Any]:
    """Settings with a ledger in a store at a path."""
    return {"store": {"path": str(path)}, "ledger": {"enabled": True}, **more}


def exported(path: Path, *options: str) -> list[dict[str, Any]]:
    """What the command prints."""
    command = [*program(), "ledger", "export", "--set", f"store.path={path}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.parent, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def calls(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of calls, without those of what the server asked by itself."""
    return [row for row in rows if row["tool"]]


def of_model(row: dict[str, Any], model: str = MODEL) -> dict[str, Any]:
    """What a row says of one model."""
    (found,) = [one for one in row["traffic"] if one["model"] == model]
    return found


async def test_a_row_says_who_used_what_where_and_has_no_contents(simulator: Simulator, tmp_path: Path):
    path = tmp_path / "store.sqlite3"
    simulator.script(MODEL, Answer("CANARYANSWER", tokens=7, prompt_tokens=30))
    async with connected(simulator.url, **on(path)) as client:
        await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "CANARYPROMPT"})
        error(await client.call_tool("ollama_chat", {"model": "absent", "prompt": "Hi"}), "model_not_found")
        error(await client.call_tool("ollama_chat", {"promt": "Hi"}), "invalid_argument")
        error(await client.call_tool("CANARYTOOL", {}), "invalid_argument")
    rows = exported(path)
    chat, absent, misspelt = calls(rows)
    assert (chat["who"], chat["tool"], chat["outcome"]) == ("local", "ollama_chat", "ok")
    used = of_model(chat)
    assert (used["host"], used["address"]) == ("local", simulator.url)
    assert (used["prompt_tokens"], used["tokens"]) == (30, 7)
    assert used["digest"] == simulator.store.models[f"registry.ollama.ai/library/{MODEL}"].digest
    assert used["bytes_out"] > len("CANARYPROMPT") and used["bytes_in"] > len("CANARYANSWER")
    assert chat["seconds"] > 0 and chat["at"].startswith("20")
    assert (absent["outcome"], misspelt["outcome"]) == ("model_not_found", "invalid_argument")
    assert sum(row["outcome"] == "invalid_argument" for row in rows) == 2
    assert "CANARY" not in json.dumps(rows)
    assert b"CANARY" not in path.read_bytes()


@pytest.mark.parametrize(
    ("tool", "arguments", "model"),
    [
        ("ollama_generate", {"prompt": "Hi", "model": MODEL}, MODEL),
        ("ollama_chat", {"prompt": "Hi", "model": MODEL, "options": {"num_predict": 3}}, MODEL),
        ("ollama_embed", {"input": ["one", "two"], "model": "nomic-embed-text"}, "nomic-embed-text"),
    ],
)
async def test_tokens_are_those_that_ollama_counts(
    simulator: Simulator, tmp_path: Path, tool: str, arguments: dict[str, Any], model: str
):
    async with connected(simulator.url, **on(tmp_path / "a")) as client:
        assert not (await client.call_tool(tool, arguments)).is_error
        (content,) = (await client.read_resource("ollama://usage")).contents
    assert isinstance(content, TextResourceContents)
    (counted,) = json.loads(content.text)["this_run"]["local_models"]
    used = of_model(calls(exported(tmp_path / "a"))[0], model)
    assert (used["prompt_tokens"], used["tokens"]) == (counted["prompt_tokens"], counted["tokens"])
    assert used["prompt_tokens"] > 0


async def test_of_an_answer_that_is_cut_what_had_come_is_counted(simulator: Simulator, tmp_path: Path):
    path, pieces = tmp_path / "store.sqlite3", ["word "] * 40
    async with connected(simulator.url, **on(path)) as client:
        ask = {"model": MODEL, "prompt": "question " * 50}
        simulator.script(MODEL, Answer(pieces, no_done=True))
        error(await client.call_tool("ollama_chat", ask), "interrupted")
        simulator.script(MODEL, Answer(pieces, hold=asyncio.Event(), hold_after=20))
        job = job_of(await client.call_tool("ollama_chat", {**ask, "background": True}))
        await listed_once(client, lambda rows: "word word" in rows[job]["so_far"])
        await client.call_tool(JOB, {"action": "cancel", "id": job})
        # Nothing had come of this one.
        simulator.script(MODEL, Answer(pieces, hold=asyncio.Event()))
        job = job_of(await client.call_tool("ollama_chat", {**ask, "background": True}))
        await client.call_tool(JOB, {"action": "cancel", "id": job})
        local = data(await client.call_tool("ollama_status", {}))["usage"]["this_run"]["local"]
    broken, cancelled, unheard = (row for row in calls(exported(path)) if row["tool"] == "ollama_chat")
    assert [row["outcome"] for row in (broken, cancelled, unheard)] == ["interrupted", "cancelled", "cancelled"]
    sums = of_model(broken), of_model(cancelled)
    assert 30 <= sums[0]["tokens"] <= 60 and 5 <= sums[1]["tokens"] <= 30
    assert all(40 <= one["prompt_tokens"] <= 130 for one in sums)
    assert of_model(unheard)["tokens"] == of_model(unheard)["prompt_tokens"] == 0
    assert (local["calls"], local["tokens"]) == (2, sums[0]["tokens"] + sums[1]["tokens"])


async def test_the_rows_of_a_team_have_the_names_of_the_tokens(simulator: Simulator, tmp_path: Path):
    path = tmp_path / "store.sqlite3"
    async with team_at(simulator.url, tmp_path, **on(path)) as team:
        for name in ("user", "other"):
            async with team.client(name) as client:
                await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
        secrets = list(team.secrets.values())
    rows = exported(path)
    assert [row["who"] for row in calls(rows)] == ["user", "other"]
    assert not [secret for secret in secrets if secret in json.dumps(rows)]


async def test_a_call_that_goes_on_as_a_job_is_recorded_when_its_work_is_over(simulator: Simulator, tmp_path: Path):
    path = tmp_path / "a"
    async with connected(simulator.url, **on(path)) as client:
        started = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi", "background": True})
        job = (started.meta or {})["ollama-mcp-server/job"]["id"]
        await client.call_tool("ollama_job", {"action": "result", "id": job})
    chat = next(row for row in exported(path) if row["tool"] == "ollama_chat")
    assert chat["outcome"] == "ok" and of_model(chat)["tokens"] > 0


async def test_without_the_setting_nothing_is_recorded(simulator: Simulator, tmp_path: Path):
    path = tmp_path / "a"
    async with connected(simulator.url, store={"path": str(path)}) as client:
        await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
    assert exported(path) == []


async def test_a_server_that_may_change_nothing_still_keeps_its_ledger(simulator: Simulator, tmp_path: Path):
    path = tmp_path / "a"
    async with connected(simulator.url, **on(path, read_only=True)) as client:
        await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
    assert [row["tool"] for row in calls(exported(path))] == ["ollama_chat"]


async def _stored(path: Path, rows: list[LedgerRow], **limits: Any) -> list[dict[str, Any]]:
    store = Store(path)
    store.open_ledger(Settings.model_validate({"ledger": {"enabled": True, **limits}, "store": {"path": str(path)}}))
    assert store.ledger is not None
    for row in rows:
        store.ledger.add(row)
    await store.ledger.flush()
    found = [entry async for entry in store.ledger.entries()]
    await store.aclose()
    return found


async def test_old_rows_are_deleted(tmp_path: Path):
    old = LedgerRow("a", "old", at=time.time() - 3 * 86_400)
    found = await _stored(tmp_path / "a", [old, LedgerRow("a", "new")], days=2)
    assert [row["tool"] for row in found] == ["new"]


async def test_the_oldest_rows_go_where_there_are_too_many_bytes(tmp_path: Path):
    rows = [LedgerRow("a", f"t{number}") for number in range(3_000)]
    found = await _stored(tmp_path / "a", rows, megabytes=0.1)
    assert [row["tool"] for row in found] == [f"t{number}" for number in range(2_000, 3_000)]


async def test_rows_cannot_be_changed(tmp_path: Path):
    path = tmp_path / "a"
    await _stored(path, [LedgerRow("a", "tool")])
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="only added to"),
    ):
        connection.execute("UPDATE ledger SET who = 'b'")


async def test_the_export_begins_at_a_date(tmp_path: Path):
    path = tmp_path / "a"
    await _stored(path, [LedgerRow("a", "old", at=time.time() - 2 * 86_400), LedgerRow("a", "new")])
    yesterday = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() - 86_400))
    assert [row["tool"] for row in exported(path, "--since", yesterday)] == ["new"]


def test_a_date_that_is_none_is_explained(tmp_path: Path):
    command = [*program(), "ledger", "export", "--since", "soon"]
    wrong = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert wrong.returncode == 2 and "2026-01-31" in wrong.stderr
