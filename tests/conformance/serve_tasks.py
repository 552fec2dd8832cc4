"""Serves our own server with the tools of the suite's scenarios of tasks over HTTP: `serve_tasks.py PORT`."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import require_client_extension
from mcp.types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.caller import TASKS_EXTENSION
from ollama_mcp.server.transports.http import serve_http
from ollama_mcp.settings import Settings

_NAME = ElicitRequest(
    params=ElicitRequestFormParams(
        message="What is your name?",
        requested_schema={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    )
)


class Server(OllamaServer):
    """Our server; two tools of the suite do what none of ours does."""

    async def answer_call(self, context: Any, params: CallToolRequestParams, report: Any = None) -> Any:
        """Refuse a call that needs a task where there can be none, and ask for a value before a call is a task."""
        if params.name == "failing_job":
            require_client_extension(context, TASKS_EXTENSION)
        if params.name == "test_tool_with_task":
            answer = (params.input_responses or {}).get("user_name")
            if not isinstance(answer, ElicitResult):
                return InputRequiredResult(input_requests={"user_name": _NAME})
            params = params.model_copy(update={"arguments": {"name": (answer.content or {})["name"]}})
        return await super().answer_call(context, params, report)


async def _ready() -> bool:
    return True


def _tell(url: str) -> None:
    sys.stderr.write(f"listening {url}\n")


async def _main(port: int) -> None:
    logging.disable()
    settings = Settings.model_validate(
        {
            # Nothing listens there: these tools need no Ollama.
            "host": "http://127.0.0.1:9",
            "transport": "http",
            "store": {"path": ":memory:"},
            "tools": {"folders": [str(Path(__file__).with_name("task_tools"))]},
            "jobs": {"grace_seconds": 0.0},
        }
    )
    await serve_http(
        Server(settings),
        kind="http",
        host="127.0.0.1",
        port=port,
        uds=None,
        stateless=False,
        settings=settings.http,
        ready=_ready,
        listening=_tell,
    )


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
