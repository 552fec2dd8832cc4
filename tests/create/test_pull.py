"""Pulls that survive: lost connections, cancels, refusals, and the question before a large one."""

import asyncio
import re
import shutil
from typing import Any, NamedTuple

import pytest
from mcp import Client

from ollama_mcp.server import transfers
from ollama_mcp.simulator import Fault, Latency, Simulator
from tests.api.raw_server import response, serving, stream
from tests.confirmation.user import NO, YES, User, with_user
from tests.create.support import ProgressLog, sent
from tests.support import connected, data, error, text, texts, until

SMALL = "all-minilm"
# Slow enough that 46 MB take half a second, in several reports.
SLOW = Latency(transfer=1e8)
FAST = Latency(transfer=1e12)
LARGE = "gpt-oss:20b"
GENERATIONS = ["0.5.7", "0.17.7", "0.33.0", "latest"]


class Usage(NamedTuple):
    """What shutil.disk_usage gives."""

    total: int
    used: int
    free: int


def nearly_full(path: str) -> Usage:
    return Usage(10, 9, 1_000_000)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries are short in tests."""
    monkeypatch.setattr(transfers, "RESUME_DELAY_SECONDS", 0.01)


async def pull(client: Client, progress_log: ProgressLog | None = None, model: str = SMALL, **more: Any) -> Any:
    return await client.call_tool("ollama_pull_model", {"model": model, **more}, progress_callback=progress_log)


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("kind", ["reset", "cut"])
async def test_a_lost_connection_is_taken_up_where_it_was(version: str, kind: Any):
    progress_log = ProgressLog()
    async with Simulator(version=version, latency=SLOW) as simulator, connected(simulator.url) as client:
        simulator.faults.add(Fault(kind, path="/api/pull", after=4, times=2))
        result = await pull(client, progress_log)
        assert not result.is_error, result
    assert len(sent(simulator, "/api/pull")) == 3
    assert data(result)["size_bytes"] == 45_968_000 or data(result)["size_bytes"] > 45_000_000
    await progress_log.until(lambda said: "connection lost at" in said and "resuming in" in said)
    progress_log.check()


async def test_after_three_resumes_without_a_new_byte_the_error_says_how_to_go_on(simulator: Simulator):
    simulator.registry.stalled = True
    simulator.faults.add(Fault("reset", path="/api/pull", after=3))
    async with connected(simulator.url) as client:
        words = error(await pull(client), "interrupted")
    assert len(sent(simulator, "/api/pull")) == 4
    assert "at 0 %, which is kept" in words
    assert "Call ollama_pull_model(model='all-minilm') again later" in words


async def test_new_bytes_let_the_tries_count_anew():
    progress_log = ProgressLog()
    async with Simulator(latency=SLOW) as simulator, connected(simulator.url) as client:
        simulator.faults.add(Fault("reset", path="/api/pull", after=3, times=6))
        result = await pull(client, progress_log)
        assert not result.is_error, result
    assert len(sent(simulator, "/api/pull")) == 7


async def test_a_host_that_restarts_in_the_middle_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfers, "RESUME_DELAY_SECONDS", 0.3)
    progress_log = ProgressLog()
    async with Simulator(latency=SLOW) as simulator, connected(simulator.url) as client:
        call = asyncio.create_task(pull(client, progress_log))
        await progress_log.until(lambda said: "MB of 46.0 MB" in said)
        await simulator.stop()
        await progress_log.until(lambda said: "connection lost" in said)
        await simulator.start()
        result = await call
        assert not result.is_error, result


async def test_a_host_that_is_down_from_the_start_is_not_waited_for(simulator: Simulator):
    async with connected(simulator.url) as client:
        await simulator.pause()
        words = error(await pull(client), "unreachable")
    assert "which is kept" not in words


async def test_a_cancelled_pull_is_resumed_by_the_next_call_which_says_so():
    first, second = ProgressLog(), ProgressLog()
    async with Simulator(latency=SLOW) as simulator, connected(simulator.url) as client:
        call = asyncio.create_task(pull(client, first))
        await first.until(lambda said: bool(re.search(r"[1-9][\d.]*( MB)? of 46\.0 MB", said)))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: bool(simulator.disconnects))
        (partial,) = simulator.machine.downloads.partial.values()
        kept = partial.completed
        result = await pull(client, second)
        third = ProgressLog()
        await pull(client, third)
    assert not result.is_error
    assert 0 < kept < 45_960_996
    share = int(second.messages[0].removeprefix("pulling all-minilm: resuming at ").removesuffix(" %"))
    assert abs(share - 100 * kept / 45_960_996) < 15
    assert "resuming" not in third.messages[0]
    second.check()


async def test_what_another_client_began_is_told_too(simulator: Simulator):
    progress_log = ProgressLog()
    simulator.machine.latency = Latency(transfer=2e9)
    async with connected(simulator.url) as client:
        first = asyncio.create_task(pull(client, ProgressLog(), model="llama3.1:8b"))
        await until(lambda: any(one.completed > 4e8 for one in simulator.machine.downloads.partial.values()))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await until(lambda: bool(simulator.disconnects))
    async with connected(simulator.url) as other:
        simulator.machine.latency = Latency(transfer=4e10)
        await pull(other, progress_log, model="llama3.1:8b")
    await progress_log.until(lambda said: "resuming at" in said)


async def test_a_registry_that_stalls_is_said_to_and_can_be_cancelled(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transfers, "STALL_SECONDS", 0.1)
    simulator.registry.stalled = True
    progress_log = ProgressLog()
    async with connected(simulator.url) as client:
        call = asyncio.create_task(pull(client, progress_log))
        said = await progress_log.until(lambda said: "stalled at 0 B of 46.0 MB, no data for" in said)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: bool(simulator.disconnects))
    assert said
    progress_log.check()


async def test_a_large_pull_is_stopped_until_the_user_agrees(simulator: Simulator):
    async with connected(simulator.url) as client:
        question = error(await pull(client, model=LARGE), "needs_confirmation")
        await until(lambda: not simulator.in_flight)
        simulator.machine.latency = FAST
        assert simulator.store.find(LARGE) is None
        done = await pull(client, model=LARGE, confirm=True)
        assert not done.is_error, done
    assert "This downloads 13." in question and "GB to http://127.0.0.1" in question
    assert simulator.store.find(LARGE) is not None


MANIFEST = {"status": "pulling manifest"}
END = {"status": "success"}
# What a host without models lists.
NOTHING = response('{"models": []}')


def layer(name: str, gigabytes: float, done: float = 0) -> dict[str, Any]:
    """A line of pull about a layer."""
    total, completed = int(gigabytes * 1e9), int(done * 1e9)
    return {"status": f"pulling {name}", "digest": f"sha256:{name * 64}", "total": total, "completed": completed}


async def answers_to_a_pull_confirmed(*second: dict[str, Any]) -> tuple[str, str]:
    """What is said to a pull whose first layer has 6 GB, and to the confirmed one, which brings these lines."""
    first = stream(MANIFEST, layer("a", 6))
    async with (
        serving(NOTHING, first, NOTHING, stream(MANIFEST, *second, END)) as server,
        connected(server.url) as client,
    ):
        question = error(await pull(client), "needs_confirmation")
        return question, texts(await pull(client, confirm=True))[0]


@pytest.mark.parametrize(
    "second",
    [
        [layer("b", 1, 1), layer("a", 6)],
        [layer("b", 1), layer("b", 1, 1), layer("a", 6, 0.1), layer("a", 6, 6)],
        [layer("a", 6), layer("a", 6, 6), layer("c", 4)],
    ],
)
async def test_a_yes_to_a_large_pull_holds_whatever_else_is_heard_of(second: list[dict[str, Any]]):
    question, answer = await answers_to_a_pull_confirmed(*second)
    assert "This downloads 6.0 GB" in question
    assert answer.startswith("all-minilm: downloaded")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([layer("c", 6)], "This downloads 6.0 GB"),
        ([layer("a", 7)], "This downloads 7.0 GB"),
        ([layer("a", 6), layer("c", 6)], "This downloads 12.0 GB"),
        ([layer("a", 6), layer("a", 6, 6), layer("c", 4), layer("c", 4, 4), layer("b", 4)], "This downloads 14.0 GB"),
    ],
)
async def test_a_yes_to_a_large_pull_holds_for_no_other_and_no_larger_one(second: list[dict[str, Any]], words: str):
    _, answer = await answers_to_a_pull_confirmed(*second)
    assert answer.startswith("[needs_confirmation]") and words in answer


async def test_many_layers_that_are_small_alone_are_a_large_pull():
    lines = [line for name in "abc" for line in (layer(name, 2), layer(name, 2, 2))]
    async with serving(NOTHING, stream(MANIFEST, *lines, END)) as server, connected(server.url) as client:
        assert "This downloads 6.0 GB" in error(await pull(client), "needs_confirmation")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_with_forms_asks_the_user_once_before_a_large_pull(simulator: Simulator, mode: str):
    user = User(YES)
    simulator.machine.latency = FAST
    async with with_user(simulator.url, user, mode=mode) as client:
        done = await pull(client, model="llama3.1:8b")
        assert not done.is_error and not user.forms
        simulator.machine.latency = Latency(transfer=8e10)
        assert not (await pull(client, model=LARGE)).is_error
    assert len(user.forms) == 1
    assert "This downloads 13." in user.questions[0]


@pytest.mark.usefixtures("quick_users")
async def test_a_user_who_says_no_gets_no_large_pull(simulator: Simulator):
    async with with_user(simulator.url, User(NO)) as client:
        error(await pull(client, model=LARGE), "declined")
    assert simulator.store.find(LARGE) is None


async def test_confirming_a_large_pull_that_was_never_asked_only_asks(simulator: Simulator):
    async with connected(simulator.url) as client:
        error(await pull(client, model=LARGE, confirm=True), "needs_confirmation")


async def test_what_is_there_already_is_no_large_pull(simulator: Simulator):
    simulator.machine.latency = FAST
    async with connected(simulator.url, policy={"pull": "allow"}) as client:
        assert not (await pull(client, model=LARGE)).is_error
    async with connected(simulator.url) as client:
        assert not (await pull(client, model=LARGE)).is_error


@pytest.mark.parametrize(("limit", "kind"), [(0.01, "needs_confirmation"), (0.05, "")])
async def test_the_size_that_is_asked_about_is_a_setting(simulator: Simulator, limit: float, kind: str):
    simulator.machine.latency = SLOW
    async with connected(simulator.url, limits={"pull_confirm_gb": limit}) as client:
        result = await pull(client)
    assert result.is_error is bool(kind)


async def test_large_pulls_can_be_forbidden(simulator: Simulator):
    async with connected(simulator.url, policy={"pull": "deny"}) as client:
        assert "policy.pull" in error(await pull(client, model=LARGE), "not_allowed")
        assert not (await pull(client)).is_error


async def test_a_disk_that_is_too_small_is_told_before(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    simulator.machine.latency = SLOW
    progress_log = ProgressLog()
    async with connected(simulator.url) as client:
        result = await pull(client, progress_log)
        question = error(await pull(client, model=LARGE), "needs_confirmation")
    assert "Only 1.0 MB are free on the disk, 46.0 MB are needed." in text(result)
    assert "Only 1.0 MB are free" in question
    await progress_log.until(lambda said: "Only 1.0 MB are free" in said)


async def test_a_disk_that_cannot_be_asked_is_no_matter(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    def fails(path: str) -> None:
        raise OSError

    monkeypatch.setattr(shutil, "disk_usage", fails)
    simulator.machine.latency = SLOW
    async with connected(simulator.url) as client:
        assert "note" not in data(await pull(client))


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("no-such-model", "model_not_found", "registry"),
        ("denied/x", "unauthorized", "ollama signin"),
        ("rate/x", "busy", "429"),
        ("err/x", "server_error", "500"),
        ("newer/x", "unsupported_by_version", "Update Ollama"),
    ],
)
async def test_a_refusal_of_the_registry_is_said_at_once(version: str, model: str, kind: str, words: str):
    async with Simulator(version=version) as simulator, connected(simulator.url) as client:
        assert words in error(await pull(client, model=model), kind)
        assert simulator.store.find(model) is None
    assert len(sent(simulator, "/api/pull")) == 1


async def test_a_full_disk_and_a_registry_that_is_down_are_not_tried_again(simulator: Simulator):
    async with connected(simulator.url) as client:
        simulator.registry.disk_free = 1_000
        assert "disk" in error(await pull(client), "server_error")
        simulator.registry.disk_free, simulator.registry.up = None, False
        assert "could not reach another server" in error(await pull(client), "server_error")
    assert len(sent(simulator, "/api/pull")) == 2


async def test_a_digest_that_does_not_fit_is_the_registrys_fault(simulator: Simulator):
    said = "digest mismatch, file must be downloaded again: want sha256:aa, got sha256:bb"
    simulator.faults.add(Fault("error_line", path="/api/pull", after=3, text=said, times=1))
    async with connected(simulator.url) as client:
        words = error(await pull(client), "server_error")
        assert "digest mismatch" in words
        assert f"ollama_pull_model(model='{SMALL}') again" in words
        assert simulator.store.find(SMALL) is None
        assert not (await pull(client)).is_error


async def test_a_model_in_several_files_is_not_taken_for_a_lack_of_a_capability(simulator: Simulator):
    said = (
        'pull model manifest: 400: {"error":"The specified tag is a sharded GGUF. Ollama does not support this yet. '
        'Follow this issue for more info: https://github.com/ollama/ollama/issues/5245"}'
    )
    simulator.faults.add(Fault("error_line", path="/api/pull", text=said))
    async with connected(simulator.url) as client:
        words = error(await pull(client, model="hf.co/user/big-GGUF:Q8_0"), "unsupported")
    assert "sharded GGUF" in words
    assert "another tag" in words
    assert "capability" not in words
    assert "ollama_list_models" not in words


async def test_models_of_hugging_face_are_pulled_by_their_whole_name(simulator: Simulator):
    name = "hf.co/user/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"
    simulator.machine.latency = FAST
    async with connected(simulator.url) as client:
        assert not (await pull(client, model=name)).is_error
    assert sent(simulator, "/api/pull")[0]["model"] == name


async def test_a_push_counts_over_all_its_layers():
    progress_log = ProgressLog()
    async with (
        Simulator(latency=Latency(transfer=4e8)) as simulator,
        connected(simulator.url, policy={"push": "allow"}) as client,
    ):
        await client.call_tool("ollama_copy_model", {"source": "nomic-embed-text", "destination": "me/mine"})
        result = await client.call_tool("ollama_push_model", {"model": "me/mine"}, progress_callback=progress_log)
    assert data(result)["size_bytes"] > 200_000_000
    assert any(said.startswith("pushing me/mine: ") and " of 274.3 MB" in said for said in progress_log.messages)
    progress_log.check()
