"""Whose jobs are whose, how many there are, how long they stay, and how they end."""

import asyncio
import gc

import pytest
from mcp import Client
from mcp.types import CallToolResult, Implementation

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.caller import answer_deadline
from ollama_mcp.server.confirmation import Consent, PendingConfirmations
from ollama_mcp.server.job import Job
from ollama_mcp.server.jobs import JobManager
from ollama_mcp.settings import Settings
from ollama_mcp.settings.model import PolicySettings
from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.work.progress import Progress
from tests.confirmation.user import until
from tests.jobs.support import CHAT, JOB, MODEL, WORDS, job_of
from tests.support import connected, data, error, served, text, texts


@pytest.mark.parametrize(
    ("client", "has_progress", "seconds"),
    [
        ("claude-ai", True, 55),
        ("claude-code", True, None),
        ("claude-code", False, 55),
        ("codex-mcp-client", True, 55),
        ("cursor-vscode", False, 55),
        ("opencode", True, None),
        ("opencode", False, 55),
        ("Claude-AI (desktop)", False, 55),
        ("gemini-cli-mcp-client", False, 595),
        ("gemini-cli-mcp-client", True, 595),
        ("qwen-cli-mcp-client-ollama", True, 55),
        ("copilot-cli", False, 55),
        ("@cline/core", False, 55),
        ("continue-cli-client", True, 55),
        ("somebody", True, 50),
        ("", False, 50),
    ],
)
def test_each_known_client_gets_its_answer_before_its_clock_runs_out(
    client: str, has_progress: bool, seconds: float | None
):
    assert answer_deadline(client, has_progress=has_progress) == seconds


@pytest.mark.parametrize(
    ("client", "has_progress", "limit", "seconds"),
    [
        ("claude-code", True, "20000", 15),
        ("claude-code", True, "4000", 2),
        ("claude-code", True, "600000", 595),
        ("claude-code", False, "600000", 55),
        ("claude-code", True, "0", None),
        ("claude-code", True, "soon", None),
        ("claude-code", True, "-1", None),
        # Of others it is not known that they keep to it.
        ("cursor-vscode", True, "20000", 55),
    ],
)
def test_a_limit_that_claude_codes_user_has_set_counts_for_its_calls(
    client: str, has_progress: bool, limit: str, seconds: float | None
):
    assert answer_deadline(client, has_progress=has_progress, set_milliseconds=limit) == seconds


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_the_limit_is_read_where_the_host_has_started_the_server(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, transport: str
):
    monkeypatch.setenv("MCP_TOOL_TIMEOUT", "1000")
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate))
    host = Implementation(name="claude-code", version="2.1.332")
    server = OllamaServer(Settings.model_validate({"host": simulator.url, "transport": transport}))
    async with Client(server, mode="legacy", client_info=host) as client:
        call = asyncio.create_task(client.call_tool("ollama_chat", CHAT))
        if transport == "stdio":
            job_of(await call)
        gate.set()
        assert (await call).is_error is False


@pytest.mark.parametrize("arguments", [{"action": "result"}, {"action": "status", "id": "nope"}])
async def test_a_job_that_is_not_there_is_a_wrong_argument(simulator: Simulator, arguments: dict[str, str]):
    async with connected(simulator.url) as client:
        assert "action='list'" in error(await client.call_tool(JOB, arguments), "invalid_argument")


async def test_running_jobs_are_bounded_and_a_call_beyond_them_waits(simulator: Simulator):
    gate = asyncio.Event()
    for _ in range(3):
        simulator.script(MODEL, Answer(text=WORDS, hold=gate))
    async with connected(simulator.url, jobs={"call_seconds": 0.1, "limit": 1}) as client:
        name = job_of(await client.call_tool("ollama_chat", {**CHAT, "background": True}))
        assert "jobs.limit" in error(await client.call_tool("ollama_chat", {**CHAT, "background": True}), "busy")
        waiting = asyncio.create_task(client.call_tool("ollama_chat", CHAT))
        await client.call_tool(JOB, {"action": "status", "id": name})
        await client.call_tool(JOB, {"action": "status", "id": name})
        assert not waiting.done()
        gate.set()
        assert text(await waiting) == "One two three"


@pytest.mark.parametrize("jobs", [{"limit": 1}, {"keep_bytes": 10}], ids=["number", "bytes"])
async def test_of_ended_jobs_the_newest_stay(simulator: Simulator, jobs: dict[str, int]):
    async with connected(simulator.url, jobs=jobs) as client:
        names: list[str] = []
        for word in ("first answer", "second answer"):
            simulator.script(MODEL, Answer(text=word))
            names.append(job_of(await client.call_tool("ollama_chat", {**CHAT, "background": True})))
            assert text(await client.call_tool(JOB, {"action": "result", "id": names[-1]})) == word
        assert [row["id"] for row in data(await client.call_tool(JOB, {}))["jobs"]] == names[1:]


async def test_vectors_count_for_the_bytes_that_are_kept(simulator: Simulator):
    embed = {"model": "nomic-embed-text", "input": ["a"], "vectors": True, "background": True}
    async with connected(simulator.url, jobs={"keep_bytes": 8_000}) as client:
        for _ in range(2):
            name = job_of(await client.call_tool("ollama_embed", embed))
            assert data(await client.call_tool(JOB, {"action": "result", "id": name}))["vectors"]
        assert len(data(await client.call_tool(JOB, {}))["jobs"]) == 1


async def test_jobs_end_with_the_server(simulator: Simulator):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event()))
    before = asyncio.all_tasks()
    async with connected(simulator.url) as client:
        job_of(await client.call_tool("ollama_chat", {**CHAT, "background": True}))
        await until(lambda: simulator.in_flight)
    await until(lambda: simulator.disconnects)
    assert not {task for task in asyncio.all_tasks() - before if "OllamaServer" in repr(task)}


async def test_without_the_tool_that_follows_jobs_there_are_none(simulator: Simulator):
    simulator.script(MODEL, Answer(text=WORDS, delay=0.1))
    async with connected(simulator.url, tools={"exclude": [JOB]}, jobs={"call_seconds": 0.05}) as client:
        words = error(await client.call_tool("ollama_chat", {**CHAT, "background": True}), "not_allowed")
        assert "tools.toolsets" in words
        assert text(await client.call_tool("ollama_chat", CHAT)) == "One two three"


async def test_over_http_a_session_sees_its_own_jobs_only(simulator: Simulator):
    async with (
        served(simulator.url) as address,
        Client(address, mode="legacy") as one,
        Client(address, mode="legacy") as other,
    ):
        name = job_of(await one.call_tool("ollama_chat", {**CHAT, "background": True}))
        assert not data(await other.call_tool(JOB, {}))["jobs"]
        error(await other.call_tool(JOB, {"action": "cancel", "id": name}), "invalid_argument")
        assert len(data(await one.call_tool(JOB, {}))["jobs"]) == 1
        assert not (await one.call_tool(JOB, {"action": "result", "id": name})).is_error


async def test_over_http_without_sessions_the_id_is_what_a_client_knows(simulator: Simulator):
    async with (
        served(simulator.url) as address,
        Client(address, mode="2026-07-28") as one,
        Client(address, mode="2026-07-28") as other,
    ):
        name = job_of(await one.call_tool("ollama_chat", {**CHAT, "background": True}))
        assert not data(await one.call_tool(JOB, {}))["jobs"]
        assert texts(await other.call_tool(JOB, {"action": "result", "id": name}))


async def test_of_jobs_that_are_forgotten_nothing_stays():
    jobs = JobManager(1, keep_seconds=3_600, keep_cut_seconds=3_600, keep_bytes=1_000)
    consent = Consent("ollama_chat", "", PolicySettings(), PendingConfirmations(), lambda: False)
    before = _timers()
    for _ in range(1_000):
        jobs.keep(Job("ollama_chat", MODEL, None, Progress(None), consent), CallToolResult(content=[]))
    # The loop drops those that are cancelled once they are a hundred, and most of all.
    for _ in range(3):
        await asyncio.sleep(0)
    assert _timers() - before < 300
    await jobs.aclose()


def _timers() -> int:
    return sum(isinstance(found, asyncio.TimerHandle) for found in gc.get_objects())
