from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from ollama_mcp.simulator import Answer, Fault, Simulator
from ollama_mcp.simulator.faults import KINDS, Kind, parse_fault
from tests.simulator.helpers import CHAT, THINKER, lines, until, user

CALL = {"model": CHAT, "messages": user("x")}
WORDS = ("one", " two", " three", " four")


async def _streamed(simulator: Simulator, client: httpx.AsyncClient, *faults: Fault) -> str:
    simulator.faults.add(*faults)
    simulator.script(CHAT, Answer(WORDS))
    return (await client.post("/api/chat", json=CALL)).text


@pytest.mark.parametrize(
    ("fault", "status", "type", "text"),
    [
        (Fault("forbidden"), 403, None, ""),
        (Fault("not_found"), 404, "text/plain", "404 page not found"),
        (Fault("bad_gateway"), 502, "text/html", "<html>"),
        (Fault("status", status=418, text="teapot"), 418, "application/json; charset=utf-8", '{"error":"teapot"}'),
        (Fault("nested_error", status=400, text="inner"), 400, "application/json; charset=utf-8", "inner"),
        (Fault("unauthorized"), 401, "application/json; charset=utf-8", "signin_url"),
    ],
)
async def test_a_fault_responds_instead_of_the_server(
    simulator: Simulator, client: httpx.AsyncClient, fault: Fault, status: int, type: str | None, text: str
) -> None:
    simulator.faults.add(fault)
    answer = await client.post("/api/chat", json=CALL)
    assert (answer.status_code, answer.headers.get("content-type")) == (status, type)
    assert text in answer.text


@pytest.mark.parametrize("kind", ["unavailable", "rate_limited", "bad_gateway", "status"])
async def test_a_busy_server_can_send_retry_after(simulator: Simulator, client: httpx.AsyncClient, kind: Kind) -> None:
    simulator.faults.add(Fault(kind, retry_after=7, times=1))
    assert (await client.get("/api/tags")).headers["retry-after"] == "7"
    assert (await client.get("/api/tags")).status_code == 200


async def test_a_redirect_names_its_target(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(Fault("redirect", text="http://127.0.0.1:9/"))
    answer = await client.get("/api/tags")
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/")


async def test_a_refused_request_gets_no_byte(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(Fault("refuse"))
    with pytest.raises(httpx.TransportError):
        await client.get("/api/tags")
    assert not simulator.disconnects


async def test_a_paused_simulator_refuses_connections(simulator: Simulator) -> None:
    await simulator.pause()
    async with httpx.AsyncClient(base_url=simulator.url) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/api/version")
        await simulator.resume()
        assert (await client.get("/api/version")).status_code == 200


async def test_a_hanging_server_sends_nothing(simulator: Simulator) -> None:
    simulator.faults.add(Fault("hang"))
    async with httpx.AsyncClient(base_url=simulator.url, timeout=httpx.Timeout(30, read=0.1)) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/api/tags")
    await until(lambda: simulator.disconnects)
    assert simulator.disconnects[0].request.path == "/api/tags"


async def test_a_hang_can_end_with_the_connection(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(Fault("hang", seconds=0.01))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/api/tags")


async def test_a_delay_comes_before_the_answer(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(Fault("delay", seconds=0.05))
    await client.get("/api/tags")
    assert simulator.requests[0].finished - simulator.requests[0].started >= 0.05


@pytest.mark.parametrize("kind", ["reset", "cut"])
async def test_a_stream_is_cut_after_some_lines(simulator: Simulator, client: httpx.AsyncClient, kind: Kind) -> None:
    simulator.faults.add(Fault(kind, after=2))
    got: list[str] = []
    with pytest.raises(httpx.TransportError):
        async with client.stream("POST", "/api/chat", json=CALL) as answer:
            async for line in answer.aiter_lines():
                got += [line]
    assert len(got) == 2
    with pytest.raises(httpx.TransportError):
        await client.post("/api/chat", json={**CALL, "stream": False})


async def test_the_last_line_can_be_missing(simulator: Simulator, client: httpx.AsyncClient) -> None:
    text = await _streamed(simulator, client, Fault("no_done"))
    assert [json.loads(line)["done"] for line in text.splitlines()] == [False] * 4


@pytest.mark.parametrize(("after", "place"), [(0, 0), (2, 2), (-1, 4)])
async def test_an_error_line_comes_first_in_the_middle_or_last(
    simulator: Simulator, client: httpx.AsyncClient, after: int, place: int
) -> None:
    text = await _streamed(simulator, client, Fault("error_line", after=after, text="broken"))
    assert [json.loads(line).get("error") for line in text.splitlines()] == [None] * place + ["broken"]


async def test_a_line_can_be_invalid_json(simulator: Simulator, client: httpx.AsyncClient) -> None:
    text = await _streamed(simulator, client, Fault("invalid_line", after=1))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(text.splitlines()[1])
    simulator.faults.clear()
    simulator.faults.add(Fault("invalid_line"))
    assert not (await client.get("/api/version")).text.endswith("}")


async def test_utf_8_can_be_cut(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(Fault("cut_utf8", after=1))
    for body in (CALL, {**CALL, "stream": False}):
        with pytest.raises(UnicodeDecodeError):
            (await client.post("/api/chat", json=body)).content.decode()


async def test_a_line_can_be_huge(simulator: Simulator, client: httpx.AsyncClient) -> None:
    text = await _streamed(simulator, client, Fault("huge_line", after=1, size=300_000))
    assert len(json.loads(text.splitlines()[1])["padding"]) == 300_000


@pytest.mark.parametrize("kind", ["crlf", "blank_lines", "joined", "split"])
async def test_lines_split_in_other_ways_have_the_same_content(
    simulator: Simulator, client: httpx.AsyncClient, kind: Kind
) -> None:
    text = await _streamed(simulator, client, Fault(kind))
    said = [json.loads(line) for line in text.splitlines() if line]
    assert "".join(line["message"]["content"] for line in said) == "one two three four"
    assert ("\r\n" in text, "\n\n" in text) == (kind == "crlf", kind == "blank_lines")


async def test_the_content_type_can_be_wrong(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(Fault("content_type", text="text/html"))
    assert (await client.get("/api/tags")).headers["content-type"] == "text/html"
    assert (await client.post("/api/chat", json=CALL)).headers["content-type"] == "text/html"


async def test_a_body_can_be_compressed(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(Fault("gzip"))
    answer = await client.get("/api/tags")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["models"]) == 4


async def test_slow_lines_and_a_stall_delay_the_stream(simulator: Simulator, client: httpx.AsyncClient) -> None:
    await _streamed(simulator, client, Fault("slow_lines", seconds=0.01), Fault("stall", after=1, seconds=0.02))
    assert simulator.requests[-1].finished - simulator.requests[-1].started >= 0.07


async def test_a_dead_runner_is_reported_and_reloaded(simulator: Simulator, client: httpx.AsyncClient) -> None:
    text = await _streamed(simulator, client, Fault("runner_death", after=1, times=1))
    assert "unexpected EOF" in text.splitlines()[-1]
    assert (await client.get("/api/ps")).json()["models"] == []
    assert (await lines(client, "/api/chat", CALL))[-1]["done"]
    assert simulator.machine.scheduler.loads == 2


async def test_a_fault_applies_only_to_matching_requests(simulator: Simulator, client: httpx.AsyncClient) -> None:
    simulator.faults.add(
        Fault("forbidden", path="/api/chat", model=THINKER),
        Fault("not_found", path="/api/t*"),
        Fault("forbidden", path="/api/ps", nth=2),
    )
    for model, status in ((CHAT, 200), (THINKER, 403)):
        assert (await client.post("/api/chat", json={**CALL, "model": model})).status_code == status
    assert (await client.get("/api/tags")).status_code == 404
    assert [(await client.get("/api/ps")).status_code for _ in range(3)] == [200, 403, 200]


async def test_a_disconnected_client_is_logged_with_its_received_lines(
    simulator: Simulator, client: httpx.AsyncClient
) -> None:
    hold = asyncio.Event()
    simulator.script(CHAT, Answer(WORDS, hold=hold, hold_after=2))
    async with client.stream("POST", "/api/chat", json=CALL) as answer:
        got = answer.aiter_lines()
        for _ in range(2):
            await anext(got)
        assert [seen.path for seen in simulator.in_flight] == ["/api/chat"]
    await until(lambda: simulator.disconnects)
    (gone,) = simulator.disconnects
    assert (gone.lines, gone.request.model, simulator.in_flight) == (2, CHAT, [])
    assert gone.milliseconds > 0


@pytest.mark.parametrize("given", [{}, {"kind": "nope"}, {"kind": "reset", "bogus": 1}])
def test_an_invalid_rule_is_rejected(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fault"):
        parse_fault(given)


def test_a_misspelt_field_of_a_rule_suggests_the_closest() -> None:
    with pytest.raises(ValueError, match="no field 'tims'; did you mean 'times'"):
        parse_fault({"kind": "reset", "tims": 1})


def test_the_documentation_lists_every_kind_of_fault() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
