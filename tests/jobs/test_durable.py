"""Jobs in the store: several servers on one file, one after another and at once."""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.simulator.scheduler import Latency
from ollama_mcp.store.tables import MIGRATIONS
from tests.confirmation.user import YES, User, with_user
from tests.jobs.support import CHAT, JOB, MODEL, WORDS, job_of
from tests.store.support import bytes_in, query
from tests.support import connected, data, error, text, texts, until

BACKGROUND = {**CHAT, "background": True}
BATCH = {"model": MODEL, "input": ["a", "b", "c"], "prompt": "{text}", "background": True}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def kept(path: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of servers that share a store and a folder for results."""
    return {"store": {"path": str(path)}, "write": {"folders": [str(tmp_path)]}}


def result_of(job: str) -> dict[str, str]:
    return {"action": "result", "id": job}


def chats(simulator: Simulator) -> int:
    return sum(seen.path == "/api/chat" for seen in simulator.requests)


async def test_an_ended_job_answers_after_a_restart_as_before(simulator: Simulator, kept: dict[str, Any]):
    simulator.script(MODEL, Answer(text=WORDS))
    async with connected(simulator.url, **kept) as client:
        job = job_of(await client.call_tool("ollama_chat", BACKGROUND))
        before = await client.call_tool(JOB, result_of(job))
    async with connected(simulator.url, **kept) as client:
        assert await client.call_tool(JOB, result_of(job)) == before
        (row,) = data(await client.call_tool(JOB, {}))["jobs"]
        assert (row["id"], row["state"], row["model"]) == (job, "done", MODEL)
    assert chats(simulator) == 1


async def test_a_result_that_was_cut_is_there_whole_after_a_restart(simulator: Simulator, kept: dict[str, Any]):
    whole = " ".join(map(str, range(2_000)))
    simulator.script(MODEL, Answer(text=whole))
    limits = {"answer_chars": 1_000}
    async with connected(simulator.url, limits=limits, **kept) as client:
        await client.call_tool("ollama_chat", CHAT)
        (row,) = data(await client.call_tool(JOB, {}))["jobs"]
    async with connected(simulator.url, limits={"answer_chars": 100_000}, **kept) as client:
        assert texts(await client.call_tool(JOB, result_of(row["id"])))[0].strip() == whole.strip()


async def test_a_plain_call_writes_nothing(simulator: Simulator, kept: dict[str, Any], path: Path):
    async with connected(simulator.url, **kept) as client:
        text(await client.call_tool("ollama_chat", CHAT))
    assert query(path, "SELECT count(*) FROM jobs") == [(0,)]


async def test_the_file_has_neither_the_words_of_a_chat_nor_a_key(
    simulator: Simulator, kept: dict[str, Any], path: Path
):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate))
    secret: dict[str, Any] = {"headers": {"X-Key": "hush-hush"}}
    async with connected(simulator.url, **kept, **secret) as client:
        job_of(await client.call_tool("ollama_chat", {**BACKGROUND, "prompt": "a private question"}))
        assert query(path, "SELECT request FROM jobs") == [(None,)]
        content = b"".join(bytes_in(path.parent))
        assert b"private question" not in content and b"hush-hush" not in content
        gate.set()


async def test_a_batch_that_was_stopped_goes_on_with_the_next_server(
    simulator: Simulator, kept: dict[str, Any], tmp_path: Path
):
    output = {"output": str(tmp_path / "out.jsonl")}
    simulator.script(MODEL, Answer("1"), Answer("2"), Answer("never", hold=asyncio.Event()))
    settings: dict[str, Any] = {**kept, "work": {"parallel": 1}}
    async with connected(simulator.url, **settings) as client:
        job = job_of(await client.call_tool("ollama_batch", {**BATCH, **output}))
        await until(lambda: chats(simulator) == 3)
    simulator.script(MODEL, Answer("3"))
    async with connected(simulator.url, **settings) as client:
        done = data(await client.call_tool(JOB, result_of(job)))
        assert (done["rows"], done["done"]) == (3, 3)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["output"] for row in rows] == ["1", "2", "3"]
    assert chats(simulator) == 4


async def test_a_chat_that_was_cut_keeps_its_words(simulator: Simulator, kept: dict[str, Any], path: Path):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event(), hold_after=2))
    async with connected(simulator.url, **kept) as client:
        job = job_of(await client.call_tool("ollama_chat", BACKGROUND))
        await until(lambda: query(path, "SELECT text FROM jobs") == [("One two ",)])
    async with connected(simulator.url, **kept) as client:
        result = await client.call_tool(JOB, result_of(job))
        assert texts(result)[0] == "One two " and "Ended with its server" in texts(result)[1]
    assert chats(simulator) == 1


async def test_only_the_same_settings_go_on_by_themselves_and_others_when_asked(
    simulator: Simulator, kept: dict[str, Any]
):
    simulator.script(MODEL, Answer("1", hold=asyncio.Event()))
    async with connected(simulator.url, **kept) as client:
        job = job_of(await client.call_tool("ollama_batch", BATCH))
        await until(lambda: simulator.in_flight)
    before = chats(simulator)
    async with connected(simulator.url, limits={"listed": 7}, **kept) as client:
        waiting = text(await client.call_tool(JOB, result_of(job)))
        assert f"ollama_job(action='resume', id='{job}')" in waiting
        assert chats(simulator) == before
    async with connected(simulator.url, jobs={"resume": "ask"}, **kept) as client:
        assert data(await client.call_tool(JOB, {}))["jobs"][0]["state"] == "cut"
        assert data(await client.call_tool(JOB, {"action": "resume", "id": job}))["done"] == 3


async def test_two_servers_know_the_same_jobs_and_one_works(simulator: Simulator, kept: dict[str, Any]):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate, hold_after=2))
    async with connected(simulator.url, **kept) as one, connected(simulator.url, **kept) as other:
        job = job_of(await one.call_tool("ollama_chat", BACKGROUND))
        (row,) = data(await other.call_tool(JOB, {}))["jobs"]
        assert (row["id"], row["state"]) == (job, "running")
        waiting = asyncio.create_task(other.call_tool(JOB, result_of(job)))
        gate.set()
        assert text(await waiting) == "One two three"
    assert chats(simulator) == 1


async def test_a_job_of_another_server_can_be_cancelled(simulator: Simulator, kept: dict[str, Any]):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event(), hold_after=2))
    async with connected(simulator.url, **kept) as one, connected(simulator.url, **kept) as other:
        job = job_of(await one.call_tool("ollama_chat", BACKGROUND))
        await until(lambda: simulator.in_flight)
        stopped = await other.call_tool(JOB, {"action": "cancel", "id": job})
        assert "Stopped after" in texts(stopped)[-1]
        await until(lambda: simulator.disconnects)
        assert data(await one.call_tool(JOB, {}))["jobs"][0]["state"] == "cancelled"


async def test_a_server_that_lost_a_job_stops_and_keeps_nothing_of_it(
    simulator: Simulator, kept: dict[str, Any], path: Path
):
    simulator.script(MODEL, Answer(text=WORDS, hold=asyncio.Event(), hold_after=2))
    async with connected(simulator.url, **kept) as client:
        job = job_of(await client.call_tool("ollama_chat", BACKGROUND))
        await until(lambda: simulator.in_flight)
        query(path, "UPDATE jobs SET owner = 'another', fence = fence + 1, text = 'of the other'")
        await until(lambda: simulator.disconnects)
    assert query(path, "SELECT owner, text FROM jobs WHERE id = ?", job) == [("another", "of the other")]


async def test_a_batch_whose_end_was_not_kept_is_neither_done_nor_written_again(
    simulator: Simulator, kept: dict[str, Any], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Else it learns that, where the machine is busy, before it has written the end.
    monkeypatch.setattr("ollama_mcp.server.durable_jobs.FLUSH_SECONDS", 600.0)
    gate, output = asyncio.Event(), tmp_path / "out.jsonl"
    simulator.script(MODEL, Answer("1"), Answer("2"), Answer("3", hold=gate))
    settings: dict[str, Any] = {**kept, "work": {"parallel": 1}}
    async with connected(simulator.url, **settings) as client:
        job = job_of(await client.call_tool("ollama_batch", {**BATCH, "output": str(output)}))
        await until(lambda: chats(simulator) == 3)
        # As when the process was stopped for a while: it does not know yet that the job is another's.
        query(path, "UPDATE jobs SET owner = 'another', fence = fence + 1")
        gate.set()
        await until(output.exists)
        await until(lambda: query(path, "SELECT count(*) FROM records") == [(3,)])
    before = output.stat()
    query(path, "UPDATE jobs SET owner = ''")
    async with connected(simulator.url, **settings) as client:
        assert data(await client.call_tool(JOB, result_of(job)))["done"] == 3
        after = output.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert chats(simulator) == 3
    assert query(path, "SELECT count(*) FROM records") == [(0,)]


async def test_what_the_user_agreed_to_holds_when_the_job_goes_on(kept: dict[str, Any]):
    user = User(YES)
    settings: dict[str, Any] = {**kept, "limits": {"pull_confirm_gb": 0.1}}
    async with Simulator(latency=Latency(transfer=2e7)) as simulator:
        async with with_user(simulator.url, user, **settings) as client:
            pull = {"model": "smollm2:135m", "background": True}
            job = job_of(await client.call_tool("ollama_pull_model", pull))
            await until(lambda: simulator.in_flight)
        simulator.machine.latency = Latency()
        async with connected(simulator.url, **settings) as client:
            assert data(await client.call_tool(JOB, result_of(job)))["status"] == "downloaded"
    assert len(user.questions) == 1


@pytest.mark.slow
async def test_two_hundred_jobs_at_once_are_neither_lost_nor_mixed_up(
    simulator: Simulator, kept: dict[str, Any], path: Path
):
    simulator.machine.scheduler.num_parallel = 200
    settings: dict[str, Any] = {**kept, "jobs": {"limit": 200}, "limits": {"in_flight": 200}}

    async def begin(number: int) -> str:
        mark = "mark" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}")
        return job_of(await client.call_tool("ollama_chat", {**BACKGROUND, "prompt": f"Say {mark}"}))

    async with connected(simulator.url, **settings) as client:
        jobs = await asyncio.gather(*map(begin, range(200)))
        answers = [texts(await client.call_tool(JOB, result_of(job)))[0] for job in jobs]
    assert query(path, "SELECT count(*), count(DISTINCT id) FROM jobs WHERE state = 'done'") == [(200, 200)]
    async with connected(simulator.url, **settings) as client:
        assert [texts(await client.call_tool(JOB, result_of(job)))[0] for job in jobs[::20]] == answers[::20]
    asked = Counter(seen.json["messages"][-1]["content"] for seen in simulator.requests if seen.path == "/api/chat")
    assert len(asked) == 200 and not [words for words, times in asked.items() if times > 1]


async def test_a_clock_set_back_neither_drops_nor_reorders_jobs(
    simulator: Simulator, kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    settings: dict[str, Any] = {**kept, "jobs": {"limit": 2}}
    names: list[str] = []
    for years in (0, 0, 1):
        now = time.time() - years * 31_536_000
        monkeypatch.setattr("time.time", lambda now=now: now)
        async with connected(simulator.url, **settings) as client:
            names.append(job_of(await client.call_tool("ollama_chat", BACKGROUND)))
            await client.call_tool(JOB, result_of(names[-1]))
    async with connected(simulator.url, **settings) as client:
        assert [row["id"] for row in data(await client.call_tool(JOB, {}))["jobs"]] == [names[2], names[1]]


def locked(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def newer(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id=1867338576")
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    return connection


def a_folder(path: Path) -> sqlite3.Connection:
    path.mkdir()
    return sqlite3.connect(":memory:")


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [locked, newer, a_folder], ids=lambda spoil: spoil.__name__)
async def test_where_the_store_cannot_be_used_a_job_lives_in_its_process_and_says_so(
    simulator: Simulator, kept: dict[str, Any], path: Path, spoil: Callable[[Path], sqlite3.Connection]
):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text=WORDS, hold=gate))
    # A lock that outlasts the server would take its end longer than this client waits for it.
    async with connected(simulator.url, **kept) as client:
        with closing(spoil(path)):
            begun = await client.call_tool("ollama_chat", BACKGROUND)
            assert "It ends with this server" in texts(begun)[0]
            gate.set()
            assert text(await client.call_tool(JOB, result_of(job_of(begun)))) == "One two three"


@pytest.mark.parametrize("job", ["", "nope", "x" * 10_000, "'; DROP TABLE jobs", "\ud800"])
async def test_ids_that_are_none_are_refused(simulator: Simulator, kept: dict[str, Any], job: str):
    async with connected(simulator.url, **kept) as client:
        job_of(await client.call_tool("ollama_chat", BACKGROUND))
        for action in ("result", "cancel", "resume"):
            error(await client.call_tool(JOB, {"action": action, "id": job}), "invalid_argument")


async def test_a_job_that_waits_for_a_server_can_be_cancelled(simulator: Simulator, kept: dict[str, Any], path: Path):
    simulator.script(MODEL, Answer("1", hold=asyncio.Event()))
    settings: dict[str, Any] = {**kept, "jobs": {"resume": "off"}}
    async with connected(simulator.url, **settings) as client:
        job = job_of(await client.call_tool("ollama_batch", BATCH))
        await until(lambda: simulator.in_flight)
    before = chats(simulator)
    async with connected(simulator.url, **settings) as client:
        await client.call_tool(JOB, {"action": "cancel", "id": job})
        assert data(await client.call_tool(JOB, {}))["jobs"][0]["state"] == "cancelled"
    assert query(path, "SELECT state, request FROM jobs") == [("cancelled", None)]
    async with connected(simulator.url, **kept) as client:
        assert "Ended with its server" in text(await client.call_tool(JOB, result_of(job)))
    assert chats(simulator) == before


async def test_who_waits_for_a_job_of_a_server_that_ends_gets_it_from_his_own(
    simulator: Simulator, kept: dict[str, Any]
):
    simulator.script(MODEL, Answer("1", hold=asyncio.Event()))
    async with connected(simulator.url, **kept) as other:
        async with connected(simulator.url, **kept) as client:
            job = job_of(await client.call_tool("ollama_batch", BATCH))
            await until(lambda: simulator.in_flight)
            waiting = asyncio.create_task(other.call_tool(JOB, result_of(job)))
            # So that it is waited for before its server ends.
            assert data(await other.call_tool(JOB, {}))["jobs"][0]["state"] == "running"
        assert data(await waiting)["done"] == 3
