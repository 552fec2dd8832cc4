"""POST /v1/systemone: a decision model answers questions about a state. Documented, not recorded (v0.35.0).

The simulated model prefers the option that shares the most words with the state.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ollama_mcp.simulator import go_json, request_fields
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import Object, as_list, as_object
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.language import count_tokens
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.request_fields import context_length, load_options, merge_options
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.routes.embeddings import text_vector
from ollama_mcp.simulator.store import capabilities

_MAX_BYTES = 65_536
_MAX_BYTES_WITH_IMAGES = 32 * 1024 * 1024
_MAX_QUESTIONS = 64
_MAX_CANDIDATES = 26
# Inverse temperature of the softmax over the similarities.
_SHARPNESS = 8.0
_REQUEST = go_json.struct(
    "SystemOneRequest",
    {
        "model": go_json.string,
        "state": go_json.anything,
        "questions": go_json.mapping,
        "images": go_json.list_of(go_json.base64_bytes, "[]api.ImageData"),
        "videos": go_json.anything,
        "keep_alive": request_fields.keep_alive,
    },
)


async def systemone(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Answer questions about a state."""
    body = _REQUEST(go_json.parse(request.body), "")
    # Checked before any other work, so that a large body is cheap.
    if len(request.body) > (_MAX_BYTES_WITH_IMAGES if body.get("images") else _MAX_BYTES):
        raise ErrorResponse(413, "request body must not exceed 64 KiB")
    if not body.get("model"):
        raise ErrorResponse(400, "model is required")
    questions = _check_questions(as_object(body.get("questions")))
    if body.get("videos"):
        raise ErrorResponse(400, "video inputs are not supported")
    model = machine.installed_model(body["model"], pull_hint=True)
    supported = capabilities(model, machine.generation)
    if "decision" not in supported:
        text = f'model "{body["model"]}" is not supported by System One; use a local Nimble or Tev GGUF model'
        raise ErrorResponse(400, text)
    if body.get("images") and not ("vision" in supported and machine.generation.since(0, 35, 1)):
        raise ErrorResponse(400, "this decision model does not support images")
    if not body.get("state") and "vision" not in supported:
        raise ErrorResponse(400, "state must not be empty")
    state = _as_text(body.get("state"))
    options = merge_options(model, None, machine.generation)
    context = context_length(model, options)
    async with machine.scheduler.use(model, load_options(options, context), context, body.get("keep_alive")):
        answers = {name: _answer(state, name, question) for name, question in questions.items()}
    tokens = count_tokens(request.body.decode("utf-8", "replace"))
    response.json({"model": body["model"], "answers": answers, "usage": {"input_tokens": tokens, "output_tokens": 0}})


def _check_questions(questions: Object) -> dict[str, Object]:
    if not 1 <= len(questions) <= _MAX_QUESTIONS:
        raise ErrorResponse(400, "questions must contain 1\u201364 fields")
    checked = {name: as_object(question) for name, question in questions.items()}
    for name, question in checked.items():
        _check_question(name, question)
    return checked


def _check_question(name: str, question: Object) -> None:
    kind, criteria = question.get("type"), question.get("criteria")
    if kind not in ("choice", "noul", "score"):
        raise ErrorResponse(400, f'question "{name}": type must be choice, noul, or score')
    if not isinstance(question.get("instructions"), str | dict | list) or not question["instructions"]:
        raise ErrorResponse(400, f'question "{name}": instructions must be a nonempty string, object, or array')
    if kind == "noul":
        for key in as_object(criteria):
            if key not in ("true", "false"):
                raise ErrorResponse(400, f'unknown noul criterion "{key}"')
        return
    if kind == "choice" and not isinstance(criteria, dict):
        raise ErrorResponse(400, "choice criteria must map option keys to descriptions or null")
    if kind == "score" and not isinstance(criteria, list):
        raise ErrorResponse(400, "score criteria must be an array of descriptions")
    if not 2 <= len(as_object(criteria) or as_list(criteria)) <= _MAX_CANDIDATES:
        raise ErrorResponse(400, f'question "{name}": criteria must contain 2\u201326 candidates')


def _answer(state: str, name: str, question: Object) -> Object:
    asked, criteria = f"{state} {_as_text(question['instructions'])}", question.get("criteria")
    match question["type"]:
        case "choice":
            texts = {key: _as_text(text) if text is not None else key for key, text in as_object(criteria).items()}
            values = _probabilities(asked, [f"{key} {text}" for key, text in texts.items()])
            probabilities = dict(zip(texts, values, strict=True))
            best = max(probabilities, key=lambda key: probabilities[key])
            return _with_confidence({"type": "choice", "choice": best}, probabilities)
        case "score":
            legend = {str(index): _as_text(text) for index, text in enumerate(as_list(criteria))}
            probabilities = dict(zip(legend, _probabilities(asked, list(legend.values())), strict=True))
            score = sum(int(level) * probability for level, probability in probabilities.items())
            return _with_confidence({"type": "score", "score": score, "legend": legend}, probabilities)
        case _:
            descriptions = as_object(criteria)
            texts = [
                _as_text(descriptions.get(word, default))
                for word, default in (("true", f"yes {name}"), ("false", "no not"))
            ]
            return {"type": "noul", "noul": _probabilities(asked, texts)[0]}


def _with_confidence(answer: Object, probabilities: dict[str, float]) -> Object:
    """The answer with its probabilities and the confidence, which is one minus their normalized entropy."""
    entropy = -sum(value * math.log(value) for value in probabilities.values() if value > 0)
    confidence = max(0.0, 1 - entropy / math.log(len(probabilities)))
    return {**answer, "probabilities": probabilities, "confidence": confidence}


def _probabilities(asked: str, texts: list[str]) -> list[float]:
    """The similarity of each text to the question, as probabilities that sum to one."""
    question = text_vector(asked, 256)
    similarities = [
        sum(one * other for one, other in zip(question, text_vector(text, 256), strict=True)) for text in texts
    ]
    weights = [math.exp(_SHARPNESS * value) for value in similarities]
    return [weight / sum(weights) for weight in weights]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
