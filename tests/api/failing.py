"""A call that must fail, and what every such error holds to."""

from __future__ import annotations

import pytest

from ollama_mcp.api import ClientTimeouts, OllamaClient
from ollama_mcp.errors import ApiError


async def failure(url: str, limits: ClientTimeouts | None = None, *, ca_file: str | None = None) -> ApiError:
    async with OllamaClient(url, timeouts=limits or ClientTimeouts(), ca_file=ca_file) as client:
        with pytest.raises(ApiError) as caught:
            await client.tags()
    assert client.requests_in_flight == 0
    assert len(str(caught.value)) <= 400
    return caught.value
