"""Ollama's HTTP API: a typed client with cancellable streams and errors that explain themselves.

A name's module is imported at its first use, so that starting a process does not pay for what it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from ollama_mcp.api.host_config import ClientTimeouts
    from ollama_mcp.api.inference_streams import ChatStream, ChunkStream, GenerateStream
    from ollama_mcp.api.read_only import ReadOnlyGuard
    from ollama_mcp.api.requests import (
        ChatMessage,
        ChatRequest,
        CreateRequest,
        DecisionQuestion,
        DecisionRequest,
        EmbeddingsRequest,
        EmbedRequest,
        GenerateRequest,
    )
    from ollama_mcp.api.responses import (
        Account,
        ChoiceAnswer,
        CloudStatus,
        DecisionResponse,
        DecisionUsage,
        EmbeddingsResponse,
        EmbedResponse,
        FetchedPage,
        ModelCard,
        ModelMetadata,
        ModelSummary,
        NoulAnswer,
        Recommendation,
        RunningModel,
        ScoreAnswer,
        SearchResult,
        ThinkingLevels,
    )
    from ollama_mcp.api.stream import ProgressStream, Stream
    from ollama_mcp.api.versions import Feature, ServerVersion, parse_version

_MODULES = {
    "client": "OllamaClient",
    "events": "ChatChunk ChatResponse Chunk GenerateChunk GenerateResponse ProgressEvent Stats ToolCall",
    "host_config": "ClientTimeouts",
    "inference_streams": "ChatStream ChunkStream GenerateStream",
    "read_only": "ReadOnlyGuard",
    "requests": (
        "ChatMessage ChatRequest CreateRequest DecisionQuestion DecisionRequest EmbeddingsRequest EmbedRequest "
        "GenerateRequest"
    ),
    "responses": (
        "Account ChoiceAnswer CloudStatus DecisionResponse DecisionUsage EmbeddingsResponse EmbedResponse FetchedPage "
        "ModelCard ModelMetadata ModelSummary NoulAnswer Recommendation RunningModel ScoreAnswer SearchResult "
        "ThinkingLevels"
    ),
    "stream": "ProgressStream Stream",
    "versions": "Feature ServerVersion parse_version",
}

__all__ = [
    "Account",
    "ChatChunk",
    "ChatMessage",
    "ChatRequest",
    "ChatResponse",
    "ChatStream",
    "ChoiceAnswer",
    "Chunk",
    "ChunkStream",
    "ClientTimeouts",
    "CloudStatus",
    "CreateRequest",
    "DecisionQuestion",
    "DecisionRequest",
    "DecisionResponse",
    "DecisionUsage",
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
    "ModelCard",
    "ModelMetadata",
    "ModelSummary",
    "NoulAnswer",
    "OllamaClient",
    "ProgressEvent",
    "ProgressStream",
    "ReadOnlyGuard",
    "Recommendation",
    "RunningModel",
    "ScoreAnswer",
    "SearchResult",
    "ServerVersion",
    "Stats",
    "Stream",
    "ThinkingLevels",
    "ToolCall",
    "parse_version",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names.split():
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
