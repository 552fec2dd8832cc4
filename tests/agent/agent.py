"""An agent as hosts make it: it sees of a result what its host shows, and each call costs it a turn."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from mcp import Client

from tests.support import texts

# Most hosts show the model structuredContent where there is some; a few show only the text. On errors all show text.
Host = Literal["structured", "text"]


@dataclass
class Agent:
    """A scripted agent.

    Args:
        client: Its connection.
        host: What its host shows it of a result.
        calls: Names of the tools that it has called.
    """

    client: Client
    host: Host
    calls: list[str] = field(default_factory=list[str])

    async def call(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must work; what the agent sees of the result."""
        seen, failed = await self._call(tool, arguments)
        assert not failed, seen
        return seen

    async def fails(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail; what the agent sees of the error."""
        seen, failed = await self._call(tool, arguments)
        assert failed, seen
        return seen

    async def _call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        self.calls.append(tool)
        result = await self.client.call_tool(tool, arguments)
        if self.host == "structured" and result.structured_content is not None:
            return json.dumps(result.structured_content, ensure_ascii=False), False
        return "\n".join(texts(result)), bool(result.is_error)


def found(pattern: str, seen: str) -> str:
    """The first group of a pattern in what the agent sees."""
    match = re.search(pattern, seen)
    assert match is not None, f"{pattern} in {seen}"
    return match[1]


def first_model(seen: str) -> str:
    """The first model of a list, in either form."""
    return found(r'(?:"name": "|\n)([a-z0-9.-]+:[\w.-]+)', seen)
