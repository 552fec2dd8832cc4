"""Questions to the user: before a call is a task by the result of the call, later by the task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Fault, Simulator
from tests.confirmation.user import User
from tests.support import error, texts, until
from tests.tasks.support import AT_ONCE, MODERN, Claimed, Task, as_wire, asked, called, refused, seen, task_of

PULL = {"model": "smollm2:135m"}
YES: dict[str, Any] = {"action": "accept", "content": {}}
NOTHING: list[dict[str, Any]] = [{}, {"unknown": YES}, {"": {"ignored": True}}]
WRONG: list[Any] = [7, None, [], {}, {"action": "perhaps"}]


class asking:
    """A client that declares tasks and shows forms, of a server that asks before it downloads more than 0.1 GB."""

    def __init__(self, simulator: Simulator, **settings: Any) -> None:
        given = {
            "host": simulator.url,
            "store": {"path": ":memory:"},
            "limits": {"pull_confirm_gb": 0.1},
            "jobs": AT_ONCE,
            **settings,
        }
        server = OllamaServer(Settings.model_validate(given))
        # By the user of the session nothing is asked here: all questions come as results or from tasks.
        self.client = Client(server, mode=MODERN, extensions=[Claimed()], elicitation_callback=User())

    async def __aenter__(self) -> Client:
        return await self.client.__aenter__()

    async def __aexit__(self, *args: Any) -> None:
        await self.client.__aexit__(*args)


@pytest.fixture
def late_size(simulator: Simulator) -> None:
    """The size of a download becomes known after its call has become a task."""
    simulator.faults.add(Fault("delay", path="/api/pull", seconds=0.5))


def is_installed(simulator: Simulator) -> bool:
    return simulator.store.find("smollm2:135m") is not None


@pytest.mark.usefixtures("late_size")
async def test_a_question_of_a_task_is_answered_by_an_update(simulator: Simulator):
    async with asking(simulator) as client:
        name = (await task_of(client, "ollama_pull_model", PULL))["taskId"]
        waiting = await seen(client, name, "input_required")
        ((key, request),) = waiting["inputRequests"].items()
        assert request["method"] == "elicitation/create"
        assert request["params"]["message"].endswith("Download it?")
        assert waiting["lastUpdatedAt"] > waiting["createdAt"]
        assert (await asked(client, "tasks/get", name))["inputRequests"] == {key: request}
        # What answers no open question is ignored.
        for nothing in NOTHING:
            assert await asked(client, "tasks/update", name, inputResponses=nothing) == {"resultType": "complete"}
        for wrong in WRONG:
            assert (await refused(client, "tasks/update", name, inputResponses={key: wrong})).code == -32602
        assert (await asked(client, "tasks/get", name))["status"] == "input_required"
        assert not is_installed(simulator)
        answered = await asked(client, "tasks/update", name, inputResponses={key: YES, "unknown": YES})
        assert answered == {"resultType": "complete"}
        done = await seen(client, name, "completed")
        result = CallToolResult.model_validate(done["result"])
        assert not result.is_error, texts(result)
        # An answer counts once.
        assert await asked(client, "tasks/update", name, inputResponses={key: YES}) == {"resultType": "complete"}
        assert await asked(client, "tasks/get", name) == done
    assert is_installed(simulator)


@pytest.mark.usefixtures("late_size")
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_no_ends_the_task_with_an_error_as_its_result(simulator: Simulator, action: str):
    async with asking(simulator) as client:
        name = (await task_of(client, "ollama_pull_model", PULL))["taskId"]
        (key,) = (await seen(client, name, "input_required"))["inputRequests"]
        await asked(client, "tasks/update", name, inputResponses={key: {"action": action}})
        done = await seen(client, name, "completed")
        error(CallToolResult.model_validate(done["result"]), "declined")
    assert not is_installed(simulator)


@pytest.mark.usefixtures("late_size")
async def test_a_question_that_nobody_answers_ends_with_its_time(simulator: Simulator):
    async with asking(simulator, policy={"answer_seconds": 0.1}) as client:
        name = (await task_of(client, "ollama_pull_model", PULL))["taskId"]
        done = await seen(client, name, "completed")
        assert "no answer" in error(CallToolResult.model_validate(done["result"]), "declined")


@pytest.mark.usefixtures("late_size")
async def test_a_task_that_waits_for_its_user_can_be_cancelled(simulator: Simulator):
    async with asking(simulator) as client:
        name = (await task_of(client, "ollama_pull_model", PULL))["taskId"]
        (key,) = (await seen(client, name, "input_required"))["inputRequests"]
        assert await asked(client, "tasks/cancel", name) == {"resultType": "complete"}
        assert (await seen(client, name, "cancelled")).get("inputRequests") is None
        assert await asked(client, "tasks/update", name, inputResponses={key: YES}) == {"resultType": "complete"}
        await until(lambda: not simulator.in_flight)
    assert not is_installed(simulator)


@pytest.mark.usefixtures("late_size")
async def test_an_answer_before_the_task_holds_for_it(simulator: Simulator):
    """A background call asks first, and what it then becomes does not ask again."""
    arguments = {**PULL, "background": True}
    async with asking(simulator) as client:
        question = await called(client, "ollama_pull_model", arguments)
        assert isinstance(question, InputRequiredResult) and question.input_requests
        assert "taskId" not in as_wire(question)
        task = await client.session.call_tool(
            "ollama_pull_model",
            arguments,
            input_responses=dict.fromkeys(question.input_requests, ElicitResult(action="accept", content={})),
            request_state=question.request_state,
            allow_input_required=True,
            allow_claimed=True,
        )
        assert isinstance(task, Task)
        assert not as_wire(task).keys() & {"requestState", "inputRequests"}
        assert "result" in await seen(client, task.task_id, "completed", "input_required")
    assert is_installed(simulator)


@pytest.mark.usefixtures("late_size")
async def test_a_client_without_forms_is_told_to_confirm(simulator: Simulator):
    given = {"host": simulator.url, "store": {"path": ":memory:"}, "limits": {"pull_confirm_gb": 0.1}, "jobs": AT_ONCE}
    async with Client(OllamaServer(Settings.model_validate(given)), mode=MODERN, extensions=[Claimed()]) as client:
        name = (await task_of(client, "ollama_pull_model", PULL))["taskId"]
        done = await seen(client, name, "completed", "input_required")
        error(CallToolResult.model_validate(done["result"]), "needs_confirmation")


async def test_a_folder_that_may_not_be_read_becomes_a_question_of_the_task(simulator: Simulator, tmp_path: Path):
    (tmp_path / "mails.csv").write_text("text\none\ntwo\n", encoding="utf-8")
    simulator.faults.add(Fault("delay", path="/api/tags", seconds=0.3))
    arguments = {"model": "llama3.2:3b", "prompt": "Shorten: {text}", "input": str(tmp_path / "mails.csv")}
    async with asking(simulator) as client:
        first = await called(client, "ollama_batch", arguments)
        if isinstance(first, InputRequiredResult):
            pytest.skip("the folder was asked for before the call was a task")
        name = as_wire(first)["taskId"]
        assert name.startswith("batch-mails-csv-")
        ((key, request),) = (await seen(client, name, "input_required"))["inputRequests"].items()
        assert str(tmp_path.name) in request["params"]["message"]
        await asked(client, "tasks/update", name, inputResponses={key: YES})
        done = await seen(client, name, "completed", "input_required")
        assert done["result"]["structuredContent"]["done"] == 2
