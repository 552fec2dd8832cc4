"""What a call does when its host fails: where it is moved, where not, and when a host is used again."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Fault
from ollama_mcp.simulator.scheduler import Latency
from tests.hosts.several import MODEL, Several, several
from tests.support import data, error, text, texts, until

THREE = ("a", "b", "c")


def _struck(bench: Several) -> int:
    return sum(bench.served().values())


async def test_a_refused_connection_moves_the_call_to_the_next_host():
    async with several(THREE) as bench:
        assert not (await bench.ask()).is_error
        for gone in ("a", "b"):
            await bench.hosts[gone].stop()
            for _ in range(5):
                assert not (await bench.ask()).is_error
        assert not (await bench.ask(host="c")).is_error
        assert "refused" in error(await bench.ask(host="a"), "unreachable")


async def test_a_full_queue_at_ollama_moves_the_call_through_all_hosts():
    async with several(THREE) as bench:
        for name in ("a", "b"):
            bench.hosts[name].faults.add(Fault("unavailable", path="/api/chat"))
        for _ in range(3):
            assert not (await bench.ask()).is_error
        assert bench.served()["c"] == 3


@pytest.mark.parametrize("kind", ["bad_gateway", "refuse"])
async def test_what_fails_after_the_request_was_sent_is_tried_on_one_other_host(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    # On a busy machine the connection may have been idle for so long that its end says nothing of the request.
    monkeypatch.setattr("ollama_mcp.api.transport._SURELY_ALIVE_SECONDS", 60.0)
    async with several(THREE) as bench:
        for simulator in bench.hosts.values():
            simulator.faults.add(Fault(kind, path="/api/chat"))  # pyright: ignore[reportArgumentType]
        said = texts(await bench.ask())[0]
        assert said.startswith(("[unreachable]", "[interrupted]")) and "Tried before:" in said
        assert sorted(bench.served().values()) == [0, 1, 1]


async def test_one_gateways_error_is_mended_by_another_host():
    async with several() as bench:
        # Loaded there, so that it is the first to be asked.
        assert not (await bench.ask(host="a")).is_error
        fault = Fault("bad_gateway", path="/api/generate")
        bench.hosts["a"].faults.add(fault)
        assert not (await bench.ask("ollama_generate", model=MODEL, prompt="Hi")).is_error
        assert fault.struck == 1


async def test_a_models_own_failure_is_taken_to_no_other_host_and_sets_none_aside():
    async with several(THREE) as bench:
        for simulator in bench.hosts.values():
            simulator.faults.add(Fault("status", path="/api/chat", status=500, text="llama runner process has died"))
        for asked in range(1, 8):
            error(await bench.ask(), "server_error")
            assert _struck(bench) == asked
        hosts = data(await bench.ask("ollama_status"))["hosts"]
        assert not any("set_aside_seconds" in host for host in hosts)


@pytest.mark.parametrize("kind", ["reset", "cut", "error_line"])
async def test_after_the_first_token_nothing_is_moved_and_the_partial_text_is_kept(kind: str):
    async with several(THREE) as bench:
        for simulator in bench.hosts.values():
            simulator.faults.add(Fault(kind, path="/api/chat", after=2))  # pyright: ignore[reportArgumentType]
            simulator.script(MODEL, Answer(["One ", "two ", "three ", "four"]))
        result = await bench.ask()
        assert result.is_error and texts(result)[1] == "One two "
        assert _struck(bench) == 1


async def test_a_connection_that_ends_between_the_head_and_the_first_token_is_moved_once():
    async with several(THREE) as bench:
        for simulator in bench.hosts.values():
            simulator.faults.add(Fault("reset", path="/api/chat", after=0))
        error(await bench.ask(), "interrupted")
        assert sorted(bench.served().values()) == [0, 1, 1]


async def test_a_host_that_is_set_aside_gets_no_calls_until_it_works_again():
    async with several() as bench:
        await bench.ask(host="a")
        await bench.hosts["a"].stop()
        for _ in range(3):
            error(await bench.ask(host="a"), "unreachable")
        for _ in range(6):
            assert not (await bench.ask()).is_error
        a = data(await bench.ask("ollama_status"))["hosts"][0]
        assert a["set_aside_seconds"] >= 0 and "refused" in a["last_error"]
        before = bench.served()["a"]
        await bench.hosts["a"].start()
        await bench.hosts["b"].stop()
        # The last host is never set aside, so that this call goes there although it is not due.
        text(await bench.ask())
        assert bench.served()["a"] == before + 1
        assert "set_aside_seconds" not in data(await bench.ask("ollama_status"))["hosts"][0]


async def test_a_check_that_succeeds_does_not_bring_back_a_host_whose_calls_fail():
    async with several() as bench:
        a = bench.hosts["a"]
        a.faults.add(Fault("bad_gateway", path="/api/chat"))
        for _ in range(5):
            error(await bench.ask(host="a"), "unreachable")
        before = bench.served()["a"]
        # Each of these lists, and so checks, all hosts.
        for _ in range(4):
            await bench.ask("ollama_list_models")
            assert not (await bench.ask()).is_error
        assert bench.served()["a"] <= before + 1
        a.faults.clear()
        assert not (await bench.ask(host="a")).is_error
        assert "set_aside_seconds" not in data(await bench.ask("ollama_status"))["hosts"][0]


async def test_after_the_machine_slept_a_host_that_was_set_aside_is_tried_at_once(monkeypatch: pytest.MonkeyPatch):
    async with several() as bench:
        a = bench.hosts["a"]
        a.faults.add(Fault("refuse"))
        for _ in range(8):
            error(await bench.ask(host="a"), "interrupted")
        a.faults.clear()
        a.log.clear()
        assert not (await bench.ask()).is_error
        assert not a.requests
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 600)
        assert not (await bench.ask()).is_error
        await until(lambda: a.requests)


async def test_where_no_host_answers_the_call_says_so():
    async with several() as bench:
        for simulator in bench.hosts.values():
            await simulator.stop()
        said = error(await bench.ask(), "unreachable")
        assert "a, b" in said
        assert "unreachable" in texts(await bench.ask("ollama_list_models"))[0]
        assert not (await bench.ask("ollama_status")).is_error


async def test_a_model_that_only_a_host_has_that_is_gone_is_not_listed():
    async with several(models={"a": [MODEL], "b": ["qwen3:4b"]}) as bench:
        await bench.ask("ollama_list_models")
        await bench.hosts["b"].stop()
        for _ in range(3):
            error(await bench.ask(host="b", model="qwen3:4b"), "unreachable")
        assert [row["name"] for row in data(await bench.ask("ollama_list_models"))["models"]] == [MODEL]
        # Asked for by its name, the host is tried all the same, and the error says which it is.
        assert "b (http://" in error(await bench.ask(model="qwen3:4b"), "unreachable")


async def test_a_model_that_is_replaced_everywhere_is_not_mixed_into_a_batch():
    async with several(policy={"overwrite": "allow"}, work={"parallel": 2}) as bench:
        for host in bench.hosts:
            await bench.ask("ollama_copy_model", source=MODEL, destination="mine", host=host)
            bench.hosts[host].script("mine", *(Answer("held", hold="go") for _ in range(2)))
        rows = [f"row {number}" for number in range(6)]
        batch = asyncio.create_task(bench.ask("ollama_batch", model="mine", input=rows, prompt="Say {text}"))
        await until(lambda: sum(len(simulator.in_flight) for simulator in bench.hosts.values()) == 2)
        for host in bench.hosts:
            await bench.ask("ollama_copy_model", source="qwen3:4b", destination="mine", host=host)
        for simulator in bench.hosts.values():
            simulator.release("go")
        assert "replaced" in error(await batch, "interrupted")
        assert _struck(bench) == 2


async def test_a_batch_goes_on_when_a_host_dies(tmp_path: Path):
    rows = [f"row {number}" for number in range(40)]
    output = tmp_path / "rows.jsonl"
    async with several(write={"folders": [str(tmp_path)]}) as bench:
        answers = {name: [Answer(f"from {name}", delay=0.01) for _ in rows] for name in bench.hosts}
        for name, simulator in bench.hosts.items():
            simulator.script(MODEL, *answers[name])
        batch = asyncio.create_task(
            bench.ask("ollama_batch", model=MODEL, input=rows, prompt="Say {text}", output=str(output))
        )
        await until(lambda: bench.served()["a"] >= 5 or bench.served()["b"] >= 5)
        dying = max(bench.served(), key=lambda name: bench.served()[name])
        await bench.hosts[dying].stop()
        report = data(await batch)
    assert (report["done"], report["failed"]) == (40, 0)
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    survivor = "b" if dying == "a" else "a"
    assert len(lines) == 40 and sum(survivor in str(line) for line in lines) >= 20


async def test_a_job_that_began_on_one_digest_stays_with_it(tmp_path: Path):
    """The other host has another model by that name: when the first dies, the batch ends and mixes nothing."""
    async with several(("a", "b", "c"), policy={"overwrite": "allow"}, write={"folders": [str(tmp_path)]}) as bench:
        listed = data(await bench.ask("ollama_list_models", capability="completion"))["models"]
        other = next(row["name"] for row in listed if row["name"] != MODEL)
        for host, source in (("a", MODEL), ("b", MODEL), ("c", other)):
            await bench.ask("ollama_copy_model", source=source, destination="mine", host=host)
        for name in ("a", "b"):
            bench.hosts[name].script("mine", *(Answer("held", hold="go") for _ in range(4)))
        batch = asyncio.create_task(
            bench.ask("ollama_batch", model="mine", input=[f"row {number}" for number in range(8)], prompt="Say {text}")
        )
        await until(lambda: len(bench.hosts["a"].in_flight) + len(bench.hosts["b"].in_flight) == 4)
        for name in ("a", "b"):
            await bench.hosts[name].stop()
        assert (await batch).is_error
        assert bench.served() | {"c": 0} == bench.served()


async def test_text_of_a_named_host_is_an_answer_like_any_other():
    async with several() as bench:
        bench.hosts["b"].script(MODEL, Answer("words"))
        assert text(await bench.ask(host="b")) == "words"


@pytest.mark.slow
async def test_a_host_that_says_nothing_holds_calls_up_once_and_is_set_aside():
    async with several() as bench:
        bench.hosts["a"].faults.add(Fault("hang", path="/*"))
        assert not (await bench.ask()).is_error
        asked = len(bench.hosts["a"].requests)
        for _ in range(5):
            assert not (await bench.ask()).is_error
        # One more check may have been due.
        assert len(bench.hosts["a"].requests) <= asked + 3
        assert bench.served()["a"] == 0


@pytest.mark.slow
async def test_of_many_calls_only_those_that_had_begun_are_lost_with_a_host():
    machines = {"latency": Latency(token=0.002), "num_parallel": 4}
    async with several(THREE, simulators=machines) as bench:
        await bench.ask()
        calls = [asyncio.create_task(bench.ask(prompt=f"number {number}")) for number in range(90)]
        await until(lambda: sum(bench.served().values()) >= 30, seconds=60)
        # The fastest learnt gets most of them, so that none but the busiest is sure to have any.
        dying = max(bench.hosts.values(), key=lambda host: len(host.in_flight))
        await dying.stop()
        results = await asyncio.gather(*calls)
        await dying.start()
    failed = [result for result in results if result.is_error]
    assert all(texts(result)[0].startswith("[interrupted]") and len(texts(result)) == 2 for result in failed)
    assert len(failed) <= 4
