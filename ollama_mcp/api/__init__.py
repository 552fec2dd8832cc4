"""Ollama's HTTP API: a typed client with streams that can be cancelled and errors that say what happened.

A name's module is imported when the name is first asked for, so a process that starts pays for what it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ollama_mcp.api.answers import ChatStream, ChunkStream, GenerateStream, ProgressStream
    from ollama_mcp.api.client import OllamaClient
    from ollama_mcp.api.events import (
        ChatChunk,
        ChatResponse,
        Chunk,
        GenerateChunk,
        GenerateResponse,
        ProgressEvent,
        Stats,
        ToolCall,
    )
    from ollama_mcp.api.exchange import Timeouts
    from ollama_mcp.api.requests import (
        ChatRequest,
        CreateRequest,
        DecisionRequest,
        EmbeddingsRequest,
        EmbedRequest,
        GenerateRequest,
        Message,
        Question,
    )
    from ollama_mcp.api.responses import (
        Account,
        ChoiceAnswer,
        CloudStatus,
        DecisionResponse,
        DecisionUsage,
        Details,
        EmbeddingsResponse,
        EmbedResponse,
        FetchedPage,
        ModelCard,
        ModelSummary,
        NoulAnswer,
        Recommendation,
        RunningModel,
        ScoreAnswer,
        SearchResult,
        ThinkingLevels,
    )
    from ollama_mcp.api.stream import Stream
    from ollama_mcp.api.versions import Feature, ServerVersion, parse_version

_HOMES = {
    "answers": "ChatStream ChunkStream GenerateStream ProgressStream",
    "client": "OllamaClient",
    "events": "ChatChunk ChatResponse Chunk GenerateChunk GenerateResponse ProgressEvent Stats ToolCall",
    "exchange": "Timeouts",
    "requests": (
        "ChatRequest CreateRequest DecisionRequest EmbeddingsRequest EmbedRequest GenerateRequest Message Question"
    ),
    "responses": (
        "Account ChoiceAnswer CloudStatus DecisionResponse DecisionUsage Details EmbeddingsResponse "
        "EmbedResponse FetchedPage ModelCard ModelSummary NoulAnswer Recommendation RunningModel "
        "ScoreAnswer SearchResult ThinkingLevels"
    ),
    "stream": "Stream",
    "versions": "Feature ServerVersion parse_version",
}

__all__ = [
    "Account",
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "ChatStream",
    "ChoiceAnswer",
    "Chunk",
    "ChunkStream",
    "CloudStatus",
    "CreateRequest",
    "DecisionRequest",
    "DecisionResponse",
    "DecisionUsage",
    "Details",
    "EmbedRequest",
    "EmbedResponse",
    "EmbeddingsRequest",
    "EmbeddingsResponse",
    "Feature",
    "FetchedPage",
    "GenerateChunk",
    "GenerateRequest",
    "GenerateResponse",
    "GenerateStream",
    "Message",
    "ModelCard",
    "ModelSummary",
    "NoulAnswer",
    "OllamaClient",
    "ProgressEvent",
    "ProgressStream",
    "Question",
    "Recommendation",
    "RunningModel",
    "ScoreAnswer",
    "SearchResult",
    "ServerVersion",
    "Stats",
    "Stream",
    "ThinkingLevels",
    "Timeouts",
    "ToolCall",
    "parse_version",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names.split():
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
