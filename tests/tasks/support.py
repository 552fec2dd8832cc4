"""What the tests of tasks share: a client of the SDK that declares the extension, and its requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

import pytest
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ErrorData, Request, Result
from pydantic import ConfigDict

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings

TASKS = "io.modelcontextprotocol/tasks"
MODERN = "2026-07-28"
MODEL = "llama3.2:3b"
COMPARE: dict[str, Any] = {"models": [MODEL, "qwen3:8b"], "prompt": "Hi"}
# The requests about a task, each with what it needs beside the id.
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("tasks/get", {}),
    ("tasks/update", {"inputResponses": {}}),
    ("tasks/cancel", {}),
]
# Every call that may become a task becomes one, unless it has its answer already.
AT_ONCE = {"grace_seconds": 0.0}


class Task(Result):
    """What creates a task."""

    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"]
    task_id: str
    status: str


class Claimed(ClientExtension):
    """Takes tasks for results of calls, and hands them to the test."""

    identifier = TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Task, resolve=_never)]


async def _never(task: Task, context: ClaimContext) -> CallToolResult:
    raise AssertionError("the tests take the task itself")


class AnyResult(Result):
    """Whatever an answer holds."""

    model_config = ConfigDict(extra="allow")


class TaskRequest(Request[Any, str]):
    """A request of the extension."""

    method: str
    params: Any
    name_param: ClassVar[str | None] = "taskId"


class UnnamedRequest(TaskRequest):
    """One whose id the client cannot send as a header."""

    name_param: ClassVar[str | None] = None


@asynccontextmanager
async def with_tasks(url: str, mode: str = MODERN, **settings: Any) -> AsyncGenerator[Client]:
    """A client that declares tasks, of a server in this process whose Ollama is at `url`; keywords are settings."""
    given = {"host": url, "store": {"path": ":memory:"}, "jobs": AT_ONCE, **settings}
    async with Client(OllamaServer(Settings.model_validate(given)), mode=mode, extensions=[Claimed()]) as client:
        yield client


async def task_of(client: Client, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The task that a call becomes."""
    result = await called(client, tool, arguments)
    assert isinstance(result, Task), result
    return as_wire(result)


async def called(client: Client, tool: str, arguments: Mapping[str, Any]) -> Result:
    """Whatever a call becomes."""
    return await client.session.call_tool(tool, dict(arguments), allow_claimed=True, allow_input_required=True)


async def asked(client: Client, method: str, task_id: Any, **more: Any) -> dict[str, Any]:
    """The answer to a request about a task."""
    kind = TaskRequest if isinstance(task_id, str) else UnnamedRequest
    request = kind(method=method, params={"taskId": task_id, **more})
    return as_wire(await client.session.send_request(request, AnyResult))


async def refused(client: Client, method: str, task_id: Any, **more: Any) -> ErrorData:
    """The error of a request about a task."""
    with pytest.raises(MCPError) as raised:
        await asked(client, method, task_id, **more)
    return raised.value.error


async def seen(client: Client, task_id: str, *statuses: str) -> dict[str, Any]:
    """The task once it has one of these statuses."""
    async with asyncio.timeout(60):
        while True:
            task = await asked(client, "tasks/get", task_id)
            if task["status"] in statuses:
                return task
            await asyncio.sleep(0.005)


def as_wire(result: Result) -> dict[str, Any]:
    """A result as it came, without what the SDK's server adds to each."""
    fields = result.model_dump(by_alias=True, mode="json", exclude_unset=True)
    fields.pop("_meta", None)
    return fields
