"""The control endpoints under /_simulator/."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Simulator
from tests.simulator.helpers import CHAT, lines, until, user

CALL: dict[str, Any] = {"model": CHAT, "messages": user("x")}


async def test_faults_scripts_and_requests_are_controlled_over_http(
    simulator: Simulator, client: httpx.AsyncClient
) -> None:
    scripted = {"model": CHAT, "answers": [{"text": ["a"], "hold": "go"}]}
    assert (await client.post("/_simulator/script", json=scripted)).json() == {"scripted": 1}
    task = asyncio.create_task(lines(client, "/api/chat", CALL))
    await until(lambda: simulator.in_flight)
    state = (await client.get("/_simulator/state")).json()
    assert [seen["path"] for seen in state["in_flight"]] == ["/api/chat"]
    assert state["running"][0]["model"] == CHAT
    await client.post("/_simulator/release", json={"hold": "go"})
    assert (await task)[0]["message"]["content"] == "a"
    await client.post("/_simulator/faults", json=[{"kind": "forbidden", "path": "/api/tags"}])
    assert (await client.get("/api/tags")).status_code == 403
    rules = (await client.get("/_simulator/faults")).json()
    assert (rules[0]["kind"], rules[0]["struck"]) == ("forbidden", 1)
    await client.delete("/_simulator/faults")
    await client.delete("/_simulator/script")
    seen = (await client.get("/_simulator/requests")).json()
    assert [(entry["path"], entry["status"]) for entry in seen] == [("/api/chat", 200), ("/api/tags", 403)]
    await client.delete("/_simulator/requests")
    assert simulator.requests == []


async def test_settings_change_while_it_runs(simulator: Simulator, client: httpx.AsyncClient) -> None:
    settings = {"account": "no_key", "keep_alive": 7, "latency": {"token": 0.5}, "registry": {"up": False}}
    assert (await client.post("/_simulator/settings", json=settings)).status_code == 204
    machine = simulator.machine
    assert (machine.account, machine.scheduler.keep_alive, machine.registry.up) == ("no_key", 7, False)
    assert machine.latency.token == machine.scheduler.latency.token == 0.5


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"kind": "nope"}),
        ("script", {"answers": [{"bogus": 1}]}),
        ("settings", {"account": "rich"}),
        ("settings", {"registry": {"bogus": 1}}),
        ("settings", {"latency": {"bogus": 1}}),
    ],
)
async def test_invalid_control_requests_are_rejected(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    answer = await client.post(f"/_simulator/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_an_unknown_control_endpoint_lists_the_known_ones(client: httpx.AsyncClient) -> None:
    answer = await client.get("/_simulator/nope")
    assert (answer.status_code, "faults" in answer.json()["error"]) == (404, True)
    assert (await client.post("/_simulator/faults", content=b"{")).status_code == 400


async def test_an_invalid_json_body_is_logged_as_empty(simulator: Simulator, client: httpx.AsyncClient) -> None:
    await client.post("/api/chat", content=b"no json")
    await client.post("/api/chat", content=json.dumps({"model": 5}).encode())
    assert [seen.json for seen in simulator.requests] == [{}, {"model": 5}]
    assert [seen.model for seen in simulator.requests] == ["", ""]
