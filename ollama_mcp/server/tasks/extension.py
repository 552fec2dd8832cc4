"""The Tasks extension as the MCP SDK takes it: what is declared, and the methods that it adds.

It is made at every start, so what answers a method is imported with the first request for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcp.server.extension import Extension, MethodBinding
from mcp.types import RequestParams, SubscriptionsListenRequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ConfigDict

from ollama_mcp.server.caller import TASKS_EXTENSION
from ollama_mcp.server.sdk import lowlevel_server

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.context import HandlerResult

    from ollama_mcp.server.app import OllamaServer

_VERSIONS = frozenset(MODERN_PROTOCOL_VERSIONS)


class TaskParams(RequestParams):
    """What tasks/get and tasks/cancel take."""

    model_config = ConfigDict(defer_build=True)

    task_id: str


class UpdateTaskParams(TaskParams):
    """What tasks/update takes: the answer to each question, by the question's key."""

    input_responses: dict[str, Any]


class TasksExtension(Extension):
    """Serves the jobs of a server as tasks.

    Args:
        server: The server; its jobs are looked up with each request.
    """

    identifier = TASKS_EXTENSION

    def __init__(self, server: OllamaServer) -> None:
        self._server = server

    def methods(self) -> Sequence[MethodBinding]:
        """The three methods; earlier versions of the protocol do not have them."""
        return (
            MethodBinding("tasks/get", TaskParams, self._get, _VERSIONS),
            MethodBinding("tasks/update", UpdateTaskParams, self._update, _VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, _VERSIONS),
        )

    async def _get(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        from ollama_mcp.server.tasks import requests

        return await requests.get(self._server, context, params.task_id)

    async def _update(self, context: ServerRequestContext[Any, Any], params: UpdateTaskParams) -> dict[str, Any]:
        from ollama_mcp.server.tasks import requests

        return await requests.update(self._server, context, params.task_id, params.input_responses)

    async def _cancel(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        from ollama_mcp.server.tasks import requests

        return await requests.cancel(self._server, context, params.task_id)


def serve_task_subscriptions(server: OllamaServer) -> None:
    """Let subscriptions/listen take `taskIds`; other requests for it go to the handler of the SDK."""
    core = lowlevel_server(server)
    standard = core.get_request_handler("subscriptions/listen")
    assert standard is not None

    async def listen(
        context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> HandlerResult:
        if "taskIds" not in (params.notifications.model_extra or {}):
            return await standard.handler(context, params)
        from ollama_mcp.server.tasks.subscriptions import listen_to_tasks

        return await listen_to_tasks(server, context, params)

    core.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, listen)
