"""POST /v1/systemone: questions about a state, answered by a decision model. Documented, not recorded (v0.35.0).

The simulated model decides by which option shares the most words with the state.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.capabilities import capabilities
from ollama_mcp.simulator.embedding import embed
from ollama_mcp.simulator.encoding import Object, as_list, as_object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.settings import context_length, load_options, merged_options
from ollama_mcp.simulator.tokens import count_tokens

_MOST_BYTES = 65_536
_MOST_BYTES_WITH_IMAGES = 32 * 1024 * 1024
_MOST_QUESTIONS = 64
_MOST_CANDIDATES = 26
_SHARPNESS = 8.0
_REQUEST = decoding.struct(
    "SystemOneRequest",
    {
        "model": decoding.string,
        "state": decoding.anything,
        "questions": decoding.mapping,
        "images": decoding.list_of(decoding.image, "[]api.ImageData"),
        "videos": decoding.anything,
        "keep_alive": decoding.keep_alive,
    },
)


async def systemone(machine: Machine, request: Request, reply: Reply) -> None:
    """Answers to questions about a state."""
    body = _REQUEST(decoding.parse(request.body), "")
    # Measured before anything is looked up, so that a large body costs nothing.
    if len(request.body) > (_MOST_BYTES_WITH_IMAGES if body.get("images") else _MOST_BYTES):
        raise Failure(413, "request body must not exceed 64 KiB")
    if not body.get("model"):
        raise Failure(400, "model is required")
    questions = _checked(as_object(body.get("questions")))
    if body.get("videos"):
        raise Failure(400, "video inputs are not supported")
    model = machine.model(body["model"], pull_hint=True)
    able = capabilities(model, machine.generation)
    if "decision" not in able:
        text = f'model "{body["model"]}" is not supported by System One; use a local Nimble or Tev GGUF model'
        raise Failure(400, text)
    if body.get("images") and not ("vision" in able and machine.generation.since(0, 35, 1)):
        raise Failure(400, "this decision model does not support images")
    if not body.get("state") and "vision" not in able:
        raise Failure(400, "state must not be empty")
    state = _said(body.get("state"))
    options = merged_options(model, None, machine.generation)
    context = context_length(model, options)
    async with machine.scheduler.use(model, load_options(options, context), context, body.get("keep_alive")):
        answers = {name: _answer(state, name, question) for name, question in questions.items()}
    tokens = count_tokens(request.body.decode("utf-8", "replace"))
    reply.json({"model": body["model"], "answers": answers, "usage": {"input_tokens": tokens, "output_tokens": 0}})


def _checked(questions: Object) -> dict[str, Object]:
    if not 1 <= len(questions) <= _MOST_QUESTIONS:
        raise Failure(400, "questions must contain 1\u201364 fields")
    checked = {name: as_object(question) for name, question in questions.items()}
    for name, question in checked.items():
        _check(name, question)
    return checked


def _check(name: str, question: Object) -> None:
    kind, criteria = question.get("type"), question.get("criteria")
    if kind not in ("choice", "noul", "score"):
        raise Failure(400, f'question "{name}": type must be choice, noul, or score')
    if not isinstance(question.get("instructions"), str | dict | list) or not question["instructions"]:
        raise Failure(400, f'question "{name}": instructions must be a nonempty string, object, or array')
    if kind == "noul":
        for key in as_object(criteria):
            if key not in ("true", "false"):
                raise Failure(400, f'unknown noul criterion "{key}"')
        return
    if kind == "choice" and not isinstance(criteria, dict):
        raise Failure(400, "choice criteria must map option keys to descriptions or null")
    if kind == "score" and not isinstance(criteria, list):
        raise Failure(400, "score criteria must be an array of descriptions")
    if not 2 <= len(as_object(criteria) or as_list(criteria)) <= _MOST_CANDIDATES:
        raise Failure(400, f'question "{name}": criteria must contain 2\u201326 candidates')


def _answer(state: str, name: str, question: Object) -> Object:
    asked, criteria = f"{state} {_said(question['instructions'])}", question.get("criteria")
    match question["type"]:
        case "choice":
            texts = {key: _said(text) if text is not None else key for key, text in as_object(criteria).items()}
            shares = _shares(asked, [f"{key} {text}" for key, text in texts.items()])
            probabilities = dict(zip(texts, shares, strict=True))
            best = max(probabilities, key=lambda key: probabilities[key])
            return _with_confidence({"type": "choice", "choice": best}, probabilities)
        case "score":
            legend = {str(place): _said(text) for place, text in enumerate(as_list(criteria))}
            probabilities = dict(zip(legend, _shares(asked, list(legend.values())), strict=True))
            score = sum(int(place) * share for place, share in probabilities.items())
            return _with_confidence({"type": "score", "score": score, "legend": legend}, probabilities)
        case _:
            given = as_object(criteria)
            texts = [
                _said(given.get(word, default)) for word, default in (("true", f"yes {name}"), ("false", "no not"))
            ]
            return {"type": "noul", "noul": _shares(asked, texts)[0]}


def _with_confidence(answer: Object, probabilities: dict[str, float]) -> Object:
    """The answer with one minus the entropy of its probabilities, measured by the largest there could be."""
    entropy = -sum(share * math.log(share) for share in probabilities.values() if share > 0)
    confidence = max(0.0, 1 - entropy / math.log(len(probabilities)))
    return {**answer, "probabilities": probabilities, "confidence": confidence}


def _shares(asked: str, texts: list[str]) -> list[float]:
    """How near each text is to what was asked, as probabilities."""
    place = embed(asked, 256)
    near = [sum(one * other for one, other in zip(place, embed(text, 256), strict=True)) for text in texts]
    weights = [math.exp(_SHARPNESS * value) for value in near]
    return [weight / sum(weights) for weight in weights]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
