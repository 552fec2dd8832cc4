"""Serves subscriptions/listen where it asks for tasks: each change of a task's status, as tasks/get would tell it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, cast

from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY, ServerEvent, event_matches, event_to_notification
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    Notification,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.tasks.requests import caller_behind
from ollama_mcp.server.tasks.shapes import detailed_task

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.types import ServerNotification

    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.server.caller import Caller
    from ollama_mcp.server.job import Job

# As the SDK bounds its own streams: how many there are, and what one whose client reads nothing may leave unread.
_MAX_STREAMS = 1_024
_MAX_UNREAD = 1_024
# How often a task is looked at whose work goes on elsewhere.
_LOOK_SECONDS = 2.0

_Unsent = asyncio.Queue["ServerNotification | None"]


class TaskNotification(Notification[dict[str, Any], Literal["notifications/tasks"]]):
    """A task whose status has changed, in full."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


async def listen_to_tasks(
    server: OllamaServer, context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
) -> SubscriptionsListenResult:
    """Tell of tasks, and of the other kinds that are asked for, until the client leaves.

    Each task that the client may see is told at once as it is, so that no change before this is missed.

    Raises:
        MCPError: The request does not declare the extension (-32021), or has no list of ids (-32602).
    """
    caller = caller_behind(server, context)
    asked = params.notifications
    task_ids = (asked.model_extra or {}).get("taskIds")
    if not isinstance(task_ids, list) or not all(isinstance(one, str) for one in cast("list[object]", task_ids)):
        raise MCPError(INVALID_PARAMS, "taskIds must be a list of task ids")
    if context.request_id is None:
        raise MCPError(INVALID_REQUEST, "subscriptions/listen requires a request id")
    if server.updates.listeners >= _MAX_STREAMS:
        raise MCPError(INTERNAL_ERROR, "Subscription limit reached")
    known = [one for one in dict.fromkeys(cast("list[str]", task_ids)) if await _found(server, one, caller)]
    honored = SubscriptionFilter.model_validate(
        {name: value for name, value in asked.model_dump(by_alias=True).items() if value} | {"taskIds": known}
    )
    meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: context.request_id}
    uris = frozenset(honored.resource_subscriptions or ())
    unsent: _Unsent = asyncio.Queue()

    def deliver(event: ServerEvent) -> None:
        if event_matches(honored, uris, event) and (unread := unsent.qsize()) <= _MAX_UNREAD:
            # None ends a stream that nobody reads: the client asks again, and looks at what it missed.
            unsent.put_nowait(event_to_notification(event, meta) if unread < _MAX_UNREAD else None)

    unsubscribe = server.updates.subscribe(deliver)
    watching = [asyncio.create_task(_watch(server, one, caller, meta, unsent)) for one in known]
    try:
        acknowledged = SubscriptionsAcknowledgedNotificationParams(notifications=honored, _meta=meta)
        first = SubscriptionsAcknowledgedNotification(params=acknowledged)
        await context.session.send_notification(first, related_request_id=context.request_id)
        while (notification := await unsent.get()) is not None:
            await context.session.send_notification(notification, related_request_id=context.request_id)
    finally:
        unsubscribe()
        for task in watching:
            task.cancel()
    return SubscriptionsListenResult(_meta=meta)


async def _found(server: OllamaServer, task_id: str, caller: Caller) -> Job | None:
    try:
        return await server.jobs.get(task_id, caller)
    except InvalidArgument:
        return None


async def _watch(server: OllamaServer, task_id: str, caller: Caller, meta: dict[str, Any], unsent: _Unsent) -> None:
    """Tell a task as it is, then each time its status or its questions have changed, until it has ended."""
    told: tuple[Any, ...] = ()
    while (job := await _found(server, task_id, caller)) is not None:
        inputs = job.consent.inputs
        changed = inputs.changed if inputs is not None else asyncio.Event()
        task = detailed_task(server, job, caller)
        state = (task["status"], *task.get("inputRequests", ()))
        if state != told:
            told = state
            notification = TaskNotification(params={**task, "_meta": meta})
            unsent.put_nowait(cast("ServerNotification", notification))
        if task["status"] not in ("working", "input_required"):
            return
        ends = [asyncio.create_task(changed.wait())]
        try:
            await asyncio.wait(
                [*ends, *([job.task] if job.task else [])], timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED"
            )
        finally:
            ends[0].cancel()
