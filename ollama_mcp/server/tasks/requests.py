"""Answers tasks/get, tasks/update and tasks/cancel.

All of them raise MCPError: -32021 where the request does not declare the extension, -32020 where its header names
another task, -32602 for a task that is not there or is another client's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types import HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS

from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.server.caller import TASKS_EXTENSION, Caller, caller_of
from ollama_mcp.server.tasks.shapes import detailed_task

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.server.job import Job


async def get(server: OllamaServer, context: ServerRequestContext[Any, Any], task_id: str) -> dict[str, Any]:
    """The task as it is now."""
    job, caller = await _requested(server, context, task_id)
    return detailed_task(server, job, caller)


async def update(
    server: OllamaServer, context: ServerRequestContext[Any, Any], task_id: str, responses: Mapping[str, Any]
) -> dict[str, Any]:
    """Take the user's answers; those to no open question are ignored."""
    job, _ = await _requested(server, context, task_id)
    if job.consent.inputs is not None:
        try:
            job.consent.inputs.answer(responses)
        except InvalidArgument as error:
            raise MCPError(INVALID_PARAMS, str(error)) from None
    return {}


async def cancel(server: OllamaServer, context: ServerRequestContext[Any, Any], task_id: str) -> dict[str, Any]:
    """Stop the work; for a task that has ended this changes nothing."""
    job, _ = await _requested(server, context, task_id)
    await server.jobs.cancel(job)
    return {}


def caller_behind(server: OllamaServer, context: ServerRequestContext[Any, Any]) -> Caller:
    """The client behind a request that needs the extension."""
    require_client_extension(context, TASKS_EXTENSION)
    return caller_of(context, server.ollama_settings, has_progress=False)


async def _requested(server: OllamaServer, context: ServerRequestContext[Any, Any], task_id: str) -> tuple[Job, Caller]:
    """The job that a request names, and the client behind it."""
    caller = caller_behind(server, context)
    request = context.request if server.ollama_settings.transport == "http" else None
    # What routed the request here may have gone by the header.
    if request is not None and decode_header_value(request.headers.get(MCP_NAME_HEADER)) != task_id:
        raise MCPError(HEADER_MISMATCH, f"{MCP_NAME_HEADER} header does not match the request body's 'taskId'")
    try:
        return await server.jobs.get(task_id, caller), caller
    except InvalidArgument as error:
        raise MCPError(INVALID_PARAMS, str(error)) from None
    except DiskError as error:
        raise MCPError(INTERNAL_ERROR, str(error)) from None
