"""The user's yes by a form, in both eras of the protocol."""

import asyncio
from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitResult

from ollama_mcp._command import command
from ollama_mcp.server import elicitation
from ollama_mcp.simulator import Answer, Simulator
from tests.confirmation.user import DISMISSED, NO, YES, User, until, with_user
from tests.support import connected, data, error, text

MODEL = "llama3.2:3b"
ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
DESTROYING: list[tuple[str, dict[str, Any], str]] = [
    ("ollama_delete_model", {"model": MODEL}, "/api/delete"),
    ("ollama_copy_model", {"source": MODEL, "destination": "gemma3:4b"}, "/api/copy"),
    ("ollama_create_model", {"model": "gemma3:4b", "from": MODEL, "system": "s"}, "/api/create"),
    ("ollama_push_model", {"model": "me/mine"}, "/api/push"),
]
TOOLS = pytest.mark.parametrize(("tool", "arguments", "path"), DESTROYING, ids=[tool for tool, _, _ in DESTROYING])


async def _make_own(client: Client, tool: str) -> None:
    """Make the model that can be pushed: one in the user's own namespace."""
    if tool == "ollama_push_model":
        await client.call_tool("ollama_copy_model", {"source": MODEL, "destination": "me/mine"})


def _paths(simulator: Simulator) -> list[str]:
    return [seen.path for seen in simulator.requests]


@ERAS
@TOOLS
async def test_what_the_user_agrees_to_is_done(
    simulator: Simulator, mode: str, tool: str, arguments: dict[str, Any], path: str
):
    user = User(YES)
    async with with_user(simulator.url, user, mode=mode) as client:
        await _make_own(client, tool)
        result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    assert _paths(simulator).count(path) == 1
    assert len(user.forms) == 1


@ERAS
@TOOLS
@pytest.mark.parametrize("confirm", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        NO,
        DISMISSED,
        ElicitResult(action="decline", content={"confirm": True}),
    ],
    ids=["no", "dismissed", "contradiction"],
)
async def test_anything_but_yes_does_nothing_whatever_the_argument_says(
    simulator: Simulator,
    mode: str,
    tool: str,
    arguments: dict[str, Any],
    path: str,
    answer: ElicitResult,
    confirm: bool,
):
    user = User(answer)
    async with with_user(simulator.url, user, mode=mode) as client:
        await _make_own(client, tool)
        # Publishing takes no `confirm` where it could not count.
        given = arguments if tool == "ollama_push_model" else {**arguments, "confirm": confirm}
        error(await client.call_tool(tool, given), "declined")
    assert path not in _paths(simulator)
    assert len(user.forms) == 1


@ERAS
async def test_the_form_is_flat_and_says_first_what_would_happen(simulator: Simulator, mode: str):
    user = User(NO)
    async with with_user(simulator.url, user, mode=mode) as client:
        await client.call_tool("ollama_delete_model", {"model": MODEL})
    (form,) = user.forms
    assert form.message.startswith(f"This deletes {MODEL} (2.0 GB") and "\n" not in form.message
    assert form.message.endswith(". Delete it?")
    assert form.requested_schema == {"type": "object", "properties": {}}


@ERAS
@pytest.mark.parametrize("content", [None, {}, {"confirm": True}, {"confirm": False}])
async def test_accepting_the_form_is_the_yes(simulator: Simulator, mode: str, content: dict[str, Any] | None):
    user = User(ElicitResult(action="accept", content=content))
    async with with_user(simulator.url, user, mode=mode) as client:
        assert not (await client.call_tool("ollama_delete_model", {"model": MODEL})).is_error
    assert _paths(simulator).count("/api/delete") == 1


@ERAS
@pytest.mark.parametrize(
    ("answer", "what", "way_on"),
    [
        (NO, "The form was declined", "do not try again unless they ask"),
        (DISMISSED, "The form was dismissed without an answer", "Ask the user, and call again if they agree."),
    ],
    ids=["declined", "dismissed"],
)
async def test_what_became_of_the_form_is_told_with_a_way_on_that_works(
    simulator: Simulator, mode: str, answer: ElicitResult, what: str, way_on: str
):
    async with with_user(simulator.url, User(answer), mode=mode) as client:
        said = error(await client.call_tool("ollama_delete_model", {"model": MODEL}), "declined")
    assert what in said and way_on in said and "user did not agree" not in said
    assert "the user can set policy.delete to 'confirm'" in said
    async with with_user(simulator.url, User(answer), mode=mode, policy={"delete": "confirm"}) as client:
        error(await client.call_tool("ollama_delete_model", {"model": MODEL}), "needs_confirmation")
        assert not (await client.call_tool("ollama_delete_model", {"model": MODEL, "confirm": True})).is_error


@ERAS
async def test_each_call_is_asked_anew(simulator: Simulator, mode: str):
    user = User(YES, NO)
    async with with_user(simulator.url, user, mode=mode) as client:
        assert not (await client.call_tool("ollama_delete_model", {"model": MODEL})).is_error
        await client.call_tool("ollama_copy_model", {"source": "gemma3:4b", "destination": MODEL})
        error(await client.call_tool("ollama_delete_model", {"model": MODEL}), "declined")
    assert len(user.forms) == 2


@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        ("legacy", NO),
        ("legacy", DISMISSED),
        # Since 2026-07-28 a client that fails at a question does not make the call again.
        ("legacy", RuntimeError("no screen")),
        ("2026-07-28", NO),
        ("2026-07-28", DISMISSED),
    ],
)
async def test_a_host_that_refuses_forms_by_itself_counts_as_one_that_cannot_ask(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, mode: str, answer: ElicitResult | Exception
):
    monkeypatch.setattr(elicitation, "HOST_SECONDS", 60.0)
    user = User(answer)
    async with with_user(simulator.url, user, mode=mode) as client:
        said = error(await client.call_tool("ollama_delete_model", {"model": MODEL}), "needs_confirmation")
        assert "The host answered the form itself: no user saw it" in said and f"This deletes {MODEL}" in said
        assert "If the user agrees" in said and "confirm=true" in said
        # The yes is for this model as it is now, and for nothing else.
        other = await client.call_tool("ollama_delete_model", {"model": "gemma3:4b", "confirm": True})
        assert "no user saw it" not in error(other, "needs_confirmation")
        assert "/api/delete" not in _paths(simulator)
        assert not (await client.call_tool("ollama_delete_model", {"model": MODEL, "confirm": True})).is_error
        # What needs a user stays closed.
        error(await client.call_tool("ollama_push_model", {"model": "gemma3:4b"}), "not_allowed")
    assert _paths(simulator).count("/api/delete") == 1 and "/api/push" not in _paths(simulator)
    assert len(user.forms) == 1


@ERAS
async def test_a_yes_is_a_yes_however_soon_it_comes(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, mode: str):
    monkeypatch.setattr(elicitation, "HOST_SECONDS", 60.0)
    async with with_user(simulator.url, User(YES), mode=mode) as client:
        assert not (await client.call_tool("ollama_delete_model", {"model": MODEL})).is_error


async def test_a_client_that_fails_at_the_form_has_said_no(simulator: Simulator):
    async with with_user(simulator.url, User(RuntimeError("no screen"))) as client:
        said = error(await client.call_tool("ollama_delete_model", {"model": MODEL}), "declined")
    assert "got no answer" in said and "policy.delete" in said
    assert "/api/delete" not in _paths(simulator)


async def test_a_form_that_nobody_answers_ends(simulator: Simulator):
    async with with_user(simulator.url, User(), policy={"answer_seconds": 0.1}) as client:
        error(await client.call_tool("ollama_delete_model", {"model": MODEL}), "declined")
    assert "/api/delete" not in _paths(simulator)


async def test_a_call_cancelled_at_its_form_does_nothing_and_leaves_nothing(simulator: Simulator):
    user = User()
    before = asyncio.all_tasks()
    async with with_user(simulator.url, user) as client:
        call = asyncio.create_task(client.call_tool("ollama_delete_model", {"model": MODEL}))
        await user.asked.wait()
        call.cancel()
        names = {model["name"] for model in data(await client.call_tool("ollama_list_models", {}))["models"]}
    assert MODEL in names
    assert asyncio.all_tasks() - before <= {call}
    assert "/api/delete" not in _paths(simulator)


async def test_a_client_that_leaves_while_it_is_asked_has_not_agreed(simulator: Simulator):
    user = User()
    async with with_user(simulator.url, user) as client:
        call = asyncio.create_task(client.call_tool("ollama_delete_model", {"model": MODEL}))
        await user.asked.wait()
    await asyncio.gather(call, return_exceptions=True)
    assert "/api/delete" not in _paths(simulator)


@ERAS
@pytest.mark.parametrize("way", ["allow", "confirm", "deny"])
@pytest.mark.parametrize(
    ("action", "tool", "arguments", "path"),
    [(tool.split("_")[1].replace("copy", "overwrite"), tool, given, path) for tool, given, path in DESTROYING],
    ids=["delete", "copy", "create", "push"],
)
async def test_a_setting_for_each_action_says_how_the_yes_is_had(
    simulator: Simulator, mode: str, way: str, action: str, tool: str, arguments: dict[str, Any], path: str
):
    user = User(NO)
    action = action.replace("create", "overwrite")
    async with with_user(simulator.url, user, mode=mode, policy={action: way}) as client:
        await _make_own(client, tool)
        result = await client.call_tool(tool, arguments)
        if way == "deny":
            assert f"policy.{action}" in error(result, "not_allowed")
        elif way == "confirm":
            error(result, "needs_confirmation")
            result = await client.call_tool(tool, {**arguments, "confirm": True})
    assert not user.forms
    assert (path in _paths(simulator)) == (way != "deny") == (not result.is_error)


async def test_without_a_form_a_push_names_the_setting_that_would_allow_it(simulator: Simulator):
    async with connected(simulator.url) as client:
        words = error(await client.call_tool("ollama_push_model", {"model": MODEL}), "not_allowed")
        hidden = await client.call_tool("ollama_push_model", {"model": MODEL, "confirm": True})
        assert "policy.push to 'confirm'" in error(hidden, "invalid_argument")
    assert "policy.push" in words and "'confirm' or 'allow'" in words
    assert command("config show") in words
    assert not simulator.requests


@ERAS
async def test_unloading_a_model_under_another_call_is_a_question_and_otherwise_not(simulator: Simulator, mode: str):
    gate = asyncio.Event()
    simulator.script(MODEL, Answer(text="done", hold=gate))
    user = User(NO, YES)
    async with with_user(simulator.url, user, mode=mode) as client:
        call = asyncio.create_task(client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}))
        await until(lambda: "/api/chat" in _paths(simulator))
        error(await client.call_tool("ollama_unload_model", {"model": MODEL}), "declined")
        assert not call.done()
        unloading = asyncio.create_task(client.call_tool("ollama_unload_model", {"model": MODEL}))
        await until(lambda: len(user.forms) == 2)
        gate.set()
        assert text(await call) == "done"
        assert not (await unloading).is_error
        assert not (await client.call_tool("ollama_unload_model", {"model": MODEL})).is_error
    assert len(user.forms) == 2
    assert MODEL in user.questions[0]
