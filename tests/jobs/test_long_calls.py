"""Calls that outlast what their client waits for."""

import asyncio
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Fault, Simulator
from ollama_mcp.simulator.scheduler import Latency
from tests.confirmation.user import NO, YES, User, until, with_user
from tests.jobs.support import CHAT, JOB, MODEL, WORDS, handed_over, job_of, warm
from tests.support import connected, data, error, text, texts

SHORT = {"call_seconds": 0.5}
LONG: list[tuple[str, dict[str, Any], str]] = [
    ("ollama_chat", CHAT, "/api/chat"),
    ("ollama_generate", CHAT, "/api/generate"),
    ("ollama_embed", {"model": "nomic-embed-text", "input": ["a", "b"]}, "/api/embed"),
    ("ollama_pull_model", {"model": "smollm2:135m"}, "/api/pull"),
    ("ollama_create_model", {"model": "pirate", "from": MODEL, "system": "s"}, "/api/create"),
    ("ollama_push_model", {"model": "me/mine"}, "/api/push"),
]


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "0.33.0"])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_call_that_takes_too_long_gives_what_there_is_and_the_rest_as_a_job(version: str, mode: str):
    gate = asyncio.Event()
    async with Simulator(version=version) as simulator, connected(simulator.url, mode=mode, jobs=SHORT) as client:
        result = await handed_over(client, simulator, Answer(text=WORDS, hold=gate, hold_after=2))
        given_up = len(simulator.disconnects)
        assert texts(result)[1] == "One two "
        name = job_of(result)
        still = data(await client.call_tool(JOB, {"action": "result", "id": name}))
        assert still["jobs"][0]["state"] == "running" and "keeps waiting" in still["note"]
        gate.set()
        assert text(await client.call_tool(JOB, {"action": "result", "id": name})) == "One two three"
        assert text(await client.call_tool(JOB, {"action": "result", "id": name})) == "One two three"
        assert len(simulator.disconnects) == given_up


async def test_a_client_with_a_clock_of_its_own_gets_an_answer_before_it_runs_out(simulator: Simulator):
    gate = asyncio.Event()
    async with connected(simulator.url, jobs=SHORT) as client:
        await warm(client)
        simulator.script(MODEL, Answer(text=WORDS, hold=gate))
        name = job_of(await client.call_tool("ollama_chat", CHAT, read_timeout_seconds=2))
        asyncio.get_running_loop().call_later(0.05, gate.set)
        rest = await client.call_tool(JOB, {"action": "result", "id": name}, read_timeout_seconds=2)
    assert text(rest) == "One two three"


async def test_a_client_that_never_asks_again_leaves_nothing_behind(simulator: Simulator):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate))
    async with connected(simulator.url, jobs={"call_seconds": 0.1, "keep_seconds": 0.1}) as client:
        await client.call_tool("ollama_chat", CHAT)
        assert len(data(await client.call_tool(JOB, {}))["jobs"]) == 1
        gate.set()
        await until(lambda: not simulator.in_flight)
        for _ in range(100):
            if not data(await client.call_tool(JOB, {}))["jobs"]:
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("the result was kept")


@pytest.mark.parametrize(("tool", "arguments", "path"), LONG, ids=[tool for tool, _, _ in LONG])
async def test_every_long_tool_can_be_a_job_at_once(
    simulator: Simulator, tool: str, arguments: dict[str, Any], path: str
):
    async with connected(simulator.url, policy={"push": "allow"}) as client:
        await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": "me/mine"})
        simulator.faults.add(Fault("delay", path=path, seconds=0.4))
        plain = await client.call_tool(tool, {**arguments, "background": True})
        name = job_of(plain)
        result = await client.call_tool(JOB, {"action": "result", "id": name})
        assert not result.is_error, texts(result)
        assert text(await client.call_tool(JOB, {"action": "status", "id": name})).endswith("returns the result.")
    assert [seen.path for seen in simulator.requests].count(path) == 1


async def test_what_is_wrong_with_a_background_call_is_said_at_once(simulator: Simulator):
    async with connected(simulator.url) as client:
        error(
            await client.call_tool("ollama_chat", {"model": MODEL, "background": True, "think": 3}), "invalid_argument"
        )
        wrong = {"model": MODEL, "prompt": "x", "background": "perhaps"}
        error(await client.call_tool("ollama_chat", wrong), "invalid_argument")
        assert not data(await client.call_tool(JOB, {}))["jobs"]


async def test_a_job_that_fails_gives_its_error(simulator: Simulator):
    gate = asyncio.Event()
    async with connected(simulator.url, jobs=SHORT) as client:
        await warm(client)
        simulator.script(MODEL, Answer(text=WORDS, hold=gate, hold_after=2, error="CUDA error"))
        name = job_of(await client.call_tool("ollama_chat", CHAT))
        gate.set()
        result = await client.call_tool(JOB, {"action": "result", "id": name})
        error(result, "server_error")
        assert texts(result)[1] == "One two three"
        assert data(await client.call_tool(JOB, {}))["jobs"][0]["state"] == "failed"


async def test_cancelling_a_job_frees_the_host_and_keeps_its_words(simulator: Simulator):
    async with connected(simulator.url, jobs=SHORT) as client:
        answer = Answer(text=WORDS, hold=asyncio.Event(), hold_after=2)
        name = job_of(await handed_over(client, simulator, answer))
        result = await client.call_tool(JOB, {"action": "cancel", "id": name})
        assert texts(result)[0] == "One two " and "Stopped after" in texts(result)[1]
        await until(lambda: simulator.disconnects)
        assert texts(await client.call_tool(JOB, {"action": "result", "id": name}))[0] == "One two "
        again = await client.call_tool(JOB, {"action": "cancel", "id": name})
        assert texts(again) == texts(result)


async def test_a_cancelled_pull_says_how_it_goes_on():
    async with Simulator(latency=Latency(transfer=5e7)) as simulator, connected(simulator.url, jobs=SHORT) as client:
        result = await client.call_tool("ollama_pull_model", {"model": "smollm2:135m"})
        name = job_of(result)
        assert data(result)["job"] == name and "resumes where it stopped" in data(result)["note"]
        stopped = await client.call_tool(JOB, {"action": "cancel", "id": name})
        assert "The same ollama_pull_model call resumes." in text(stopped)
        simulator.machine.latency = Latency()
        assert not (await client.call_tool("ollama_pull_model", {"model": "smollm2:135m"})).is_error


async def test_a_call_that_its_client_gave_up_frees_the_host_and_keeps_its_words(simulator: Simulator):
    written = asyncio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        if "One two" in (message or ""):
            written.set()

    async with connected(simulator.url) as client:
        await warm(client)
        simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event(), hold_after=2))
        call = asyncio.create_task(client.call_tool("ollama_chat", CHAT, progress_callback=note))
        async with asyncio.timeout(30):
            await written.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: simulator.disconnects)
        (row,) = data(await client.call_tool(JOB, {}))["jobs"]
        assert (row["state"], row["tool"], row["model"]) == ("cut", "ollama_chat", MODEL)
        assert texts(await client.call_tool(JOB, {"action": "result", "id": row["id"]}))[0] == "One two "


async def test_of_a_cancelled_call_without_words_nothing_is_kept(simulator: Simulator):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event()))
    async with connected(simulator.url) as client:
        call = asyncio.create_task(client.call_tool("ollama_chat", CHAT))
        await until(lambda: simulator.in_flight)
        call.cancel()
        await until(lambda: simulator.disconnects)
        assert text(await client.call_tool(JOB, {})) == "No job is running and no result is kept."


async def test_following_a_job_reports_its_progress_and_nothing_comes_for_the_first_call(simulator: Simulator):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate, hold_after=2))
    first: list[str] = []
    second: list[str] = []

    async def note_first(progress: float, total: float | None, message: str | None) -> None:
        first.append(message or "")

    async def note_second(progress: float, total: float | None, message: str | None) -> None:
        second.append(message or "")
        if len(second) == 2:
            gate.set()

    async with connected(simulator.url, jobs={"call_seconds": 3}) as client:
        background = {**CHAT, "background": True}
        name = job_of(await client.call_tool("ollama_chat", background, progress_callback=note_first))
        heard = len(first)
        asked = {"action": "result", "id": name}
        assert text(await client.call_tool(JOB, asked, progress_callback=note_second)) == "One two three"
    assert len(first) == heard
    assert any("One two" in message for message in second)


@pytest.mark.usefixtures("quick_users")
async def test_a_background_pull_asks_the_user_before_it_is_let_go(simulator: Simulator):
    pull = {"model": "smollm2:135m", "background": True}
    user = User(NO, YES)
    async with with_user(simulator.url, user, limits={"pull_confirm_gb": 0.1}) as client:
        error(await client.call_tool("ollama_pull_model", pull), "declined")
        done = await client.call_tool("ollama_pull_model", pull)
        assert not done.is_error, texts(done)
    assert len(user.forms) == 2


async def test_a_job_that_would_have_to_ask_says_so_and_does_nothing(simulator: Simulator):
    # Longer than SHORT: the size must become known after the call has ended.
    simulator.faults.add(Fault("delay", path="/api/pull", seconds=1.0))
    user = User(YES)
    async with with_user(simulator.url, user, limits={"pull_confirm_gb": 0.1}, jobs=SHORT) as client:
        name = job_of(await client.call_tool("ollama_pull_model", {"model": "smollm2:135m"}))
        await until(lambda: not simulator.in_flight)
        result = await client.call_tool(JOB, {"action": "result", "id": name})
        assert "without background" in error(result, "needs_confirmation")
        installed = {model["name"] for model in data(await client.call_tool("ollama_list_models", {}))["models"]}
    assert "smollm2:135m" not in installed
    assert not user.forms


async def test_a_hand_over_without_words_says_what_it_waits_for_and_the_job_names_the_model(simulator: Simulator):
    gate = asyncio.Event()
    arguments = {"prompt": "Hi", "background": True}
    async with connected(simulator.url) as client:
        await client.call_tool("ollama_chat", CHAT)
        simulator.script(MODEL, Answer(text=WORDS, hold=gate))
        result = await client.call_tool("ollama_chat", arguments)
        assert f"So far: waiting for {MODEL}" in texts(result)[0]
        job_of(result)
        (row,) = data(await client.call_tool(JOB, {}))["jobs"]
        assert (row["model"], row["state"]) == (MODEL, "running")
        gate.set()
