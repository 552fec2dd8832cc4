"""A decider by itself, as a batch uses it."""

from __future__ import annotations

import asyncio
from typing import Any

from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.work.call_context import CallContext
from ollama_mcp.work.decide import ClosedQuestion, prepare_decider
from tests.support import until
from tests.work.decide.conftest import call_context

MODEL = "llama3.2:3b"
URGENT = ClosedQuestion(question="Is it urgent?", name="urgent")
ANGRY = ClosedQuestion(question="Is the writer angry?", name="angry")
YES = Answer(text=["A"], chances=[{"A": 0.8, "B": 0.2}])


def chats(simulator: Simulator) -> list[dict[str, Any]]:
    return [seen.json for seen in simulator.requests if seen.path == "/api/chat"]


def asked_now(simulator: Simulator) -> list[str]:
    return [seen.path for seen in simulator.in_flight if seen.path == "/api/chat"]


async def test_options_go_along_but_do_not_spoil_the_letter(simulator: Simulator, call: CallContext):
    simulator.script(MODEL, YES)
    options = {"num_ctx": 2048, "temperature": 2, "num_predict": 900}
    decider = await prepare_decider(call, [URGENT], MODEL, options=options, keep_alive="1m")
    await decider.decide("Help!")
    (sent,) = chats(simulator)
    assert sent["options"] == {"num_ctx": 2048, "temperature": 0, "num_predict": 4}
    assert sent["keep_alive"] == "1m"


async def test_a_verdict_as_json_holds_what_there_is(simulator: Simulator, call: CallContext):
    simulator.script(MODEL, YES, Answer(text="Yes"), Answer(text='{"urgent": "yes"}'))
    decider = await prepare_decider(call, [URGENT], MODEL)
    first, second = [(await decider.decide("Help!"))["urgent"] for _ in range(2)]
    assert first.as_json() == {
        "answer": "yes",
        "probabilities": {"yes": 0.8, "no": 0.2},
        "confidence": first.confidence,
    }
    assert second.as_json() == {"answer": "yes"} and second.probability is None
    assert "1 times" in decider.notes[0]


async def test_options_are_said_to_be_no_use_to_a_decision_model():
    async with Simulator("latest", models=("decision",)) as simulator, call_context(simulator) as call:
        decider = await prepare_decider(call, [URGENT], "nimble", options={"num_ctx": 4096})
    assert decider.notes == ["options were not used: decision models take none."]


async def test_the_tokens_of_a_file_count_once_however_often_it_is_asked_about(simulator: Simulator, call: CallContext):
    text = "seven words make some tokens here. " * 20
    simulator.script(MODEL, YES, YES)
    await (await prepare_decider(call, [URGENT, ANGRY], MODEL)).decide(text, from_file=True)
    assert (await call.store.usage.totals()).session.local_total.file_tokens == estimate_tokens(text)


async def test_the_tokens_of_a_file_count_once_with_a_decision_model_and_by_schema():
    text = "seven words make some tokens here. " * 20
    choice = ClosedQuestion.model_validate({"question": "Which?", "labels": ["a", "b"]})
    async with Simulator("latest", models=("decision",)) as simulator, call_context(simulator) as call:
        await (await prepare_decider(call, [choice], "nimble", shuffle=True)).decide(text, from_file=True)
        assert (await call.store.usage.totals()).session.local_total.file_tokens == estimate_tokens(text)
    async with Simulator("0.12.10") as old, call_context(old) as call:
        old.script(MODEL, Answer(text='{"urgent": "no"}'))
        await (await prepare_decider(call, [URGENT], MODEL)).decide(text, from_file=True)
        assert (await call.store.usage.totals()).session.local_total.file_tokens == estimate_tokens(text)


async def test_at_most_work_parallel_requests_are_out_at_once(simulator: Simulator):
    held = [Answer(text=["A"], chances=[{"A": 1.0}], hold=name) for name in ("first", *["go"] * 11)]
    simulator.script(MODEL, *held)
    questions = [URGENT, ANGRY, ClosedQuestion(question="Is it long?")]
    async with call_context(simulator, work={"parallel": 2}) as call:
        decider = await prepare_decider(call, questions, MODEL)
        all_of_them = asyncio.gather(*(decider.decide(f"text {number}") for number in range(4)))
        # The first question of one text is out alone; once it is answered, its others are out two at a time.
        await until(lambda: len(asked_now(simulator)) == 1)
        await call.client.version()
        assert len(asked_now(simulator)) == 1
        simulator.release("first")
        await until(lambda: len(asked_now(simulator)) == 2)
        await call.client.version()
        assert len(asked_now(simulator)) == 2
        simulator.release("go")
        assert len(await all_of_them) == 4
    assert len(chats(simulator)) == 12


async def test_a_failing_question_ends_its_input_with_its_error(simulator: Simulator, call: CallContext):
    simulator.script(MODEL, YES, Answer(error="out of memory", status=500), YES, YES)
    decider = await prepare_decider(call, [URGENT, ANGRY], MODEL)
    failed, fine = await asyncio.gather(decider.decide("one"), decider.decide("two"), return_exceptions=True)
    assert "out of memory" in str(failed)
    assert isinstance(fine, dict) and set(fine) == {"urgent", "angry"}
