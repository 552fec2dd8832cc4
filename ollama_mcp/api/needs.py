"""Which features a request needs, and what happens where the server's version lacks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_mcp.api.requests import ChatRequest, CreateRequest, DecisionRequest, EmbedRequest, GenerateRequest
from ollama_mcp.api.versions import Feature

if TYPE_CHECKING:
    from ollama_mcp.api.requests import Inference, Request


def needed(request: Request) -> list[Feature]:
    """Features that an older server would silently ignore, so its version must be asked before; mostly none."""
    if isinstance(request, GenerateRequest | ChatRequest):
        return _of_inference(request)
    if isinstance(request, EmbedRequest):
        return [Feature.DIMENSIONS] if request.dimensions is not None else []
    if isinstance(request, CreateRequest):
        return _of_create(request)
    if isinstance(request, DecisionRequest) and request.images:
        return [Feature.SYSTEMONE_IMAGES]
    return []


def _of_inference(request: Inference) -> list[Feature]:
    features: list[Feature] = []
    if request.think is not None and request.think is not False:
        features.append(Feature.THINK if request.think is True else Feature.THINK_LEVEL)
    if isinstance(request.format, dict):
        features.append(Feature.FORMAT_SCHEMA)
    if request.truncate is not None or request.shift is not None:
        features.append(Feature.TRUNCATE_SHIFT)
    if request.logprobs or request.top_logprobs:
        features.append(Feature.LOGPROBS)
    return features


def _of_create(request: CreateRequest) -> list[Feature]:
    asked = (
        (Feature.CREATE, request.modelfile is None),
        (Feature.CREATE_RENDERER, request.renderer or request.parser or request.remote_host or request.info),
        (Feature.CREATE_REQUIRES, request.requires),
        (Feature.CREATE_DRAFT, request.draft_files or request.draft_quantize),
        (Feature.CREATE_CAPABILITIES, request.capabilities),
    )
    return [feature for feature, wanted in asked if wanted]
