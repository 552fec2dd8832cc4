"""Models trained to judge whether a passage answers a query, each asked by the template of its own card."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ollama_mcp.errors import NoAnswer, OllamaMCPError
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.choosing import ModelRequirements, list_candidates, rank_candidates

if TYPE_CHECKING:
    import asyncio

    from ollama_mcp.api import ModelCard, ModelSummary
    from ollama_mcp.work.call_context import CallContext

_TOP_LOGPROBS = 20
# Cards that are read to recognise a model whose name says nothing.
_MAX_CARDS = 16
_NAME_FIELDS = ("general.basename", "general.name")
# What a tokenizer of these families takes for a mark of its template; a passage must not end its own part.
_MARKS = re.compile(r"<(?=\||/?(?:think|bos|eos|pad|unk|start_of_turn|end_of_turn)>)")


class Template(NamedTuple):
    """How the models of a family are asked.

    Attributes:
        text: The prompt, with `{query}` and `{passage}`.
        yes: The token of a passage that fits, in lower case.
        no: That of one that does not.
    """

    text: str
    yes: str
    no: str


# From the models' cards on Hugging Face: Qwen/Qwen3-Reranker-0.6B, mixedbread-ai/mxbai-rerank-base-v2 (and its
# repository), BAAI/bge-reranker-v2-gemma. Each was trained with these words; with others its scores mean little.
# Rerankers that are encoders (bge-reranker-v2-m3, jina-reranker) are not among them: Ollama cannot run their heads.
_FAMILIES = (
    (
        re.compile(r"qwen3-reranker"),
        "qwen3",
        Template(
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
            'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: '
            "Given a web search query, retrieve relevant passages that answer the query\n<Query>: {query}\n"
            "<Document>: {passage}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
            "yes",
            "no",
        ),
    ),
    (
        re.compile(r"mxbai-rerank-(base|large)-v2"),
        "qwen2",
        Template(
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nquery: {query}\ndocument: {passage}\nYou are a search relevance expert who evaluates "
            "how well documents match search queries. For each query-document pair, carefully analyze the semantic "
            "relationship between them, then provide your binary relevance judgment (0 for not relevant, 1 for "
            "relevant).\nRelevance:<|im_end|>\n<|im_start|>assistant\n",
            "1",
            "0",
        ),
    ),
    (
        re.compile(r"bge-reranker-v2-gemma"),
        "gemma",
        Template(
            "A: {query}\nB: {passage}\nGiven a query A and a passage B, determine whether the passage contains an "
            "answer to the query by providing a prediction of either 'Yes' or 'No'.",
            "yes",
            "no",
        ),
    ),
)
_MODEL_FAMILIES = frozenset(family for _, family, _ in _FAMILIES)


def template_of(name: str, card: ModelCard | None = None) -> Template | None:
    """The template of a reranker, recognised by its name or by what its file says about itself; None for others."""
    names = [name, *(str(card.model_info.get(key) or "") for key in _NAME_FIELDS)] if card is not None else [name]
    for known in names:
        plain = re.sub(r"[\s_]", "-", known.lower())
        for pattern, _, template in _FAMILIES:
            if pattern.search(plain):
                return template
    return None


async def find_reranker(call: CallContext) -> tuple[str, Template] | None:
    """The installed reranker that suits this machine best, and how it is asked; None where there is none."""
    installed = await call.hosts.usable()
    templates = {model.name: found for model in installed if (found := template_of(model.name)) is not None}
    if not templates:
        templates = await _by_card(call, [model for model in installed if model.details.family in _MODEL_FAMILIES])
    candidates = await list_candidates(call, [model for model in installed if model.name in templates])
    ranked = rank_candidates(candidates, ModelRequirements("decide", largest_gb=call.settings.work.largest_gb))
    return (ranked[0].name, templates[ranked[0].name]) if ranked else None


async def _by_card(call: CallContext, models: list[ModelSummary]) -> dict[str, Template]:
    found: dict[str, Template] = {}
    for model in models[:_MAX_CARDS]:
        try:
            template = template_of(model.name, await call.hosts.card(model.name))
        except OllamaMCPError:
            # Deleted meanwhile, or not for whoever asks.
            continue
        if template is not None:
            found[model.name] = template
    return found


@dataclass(frozen=True, slots=True)
class Reranker:
    """A model that is asked by its own template.

    Args:
        call: The context of the call.
        model: The model.
        template: How it is asked.
        disable_thinking: Whether it has to be told not to think.
        semaphore: Limits the requests that are sent at the same time.
    """

    call: CallContext
    model: str
    template: Template
    disable_thinking: bool
    semaphore: asyncio.Semaphore
    method = "reranker"

    async def chance(self, query: str, text: str, *, from_file: bool = False) -> float | None:
        """The probability that a passage fits; None where the model gave none.

        Raises:
            OllamaMCPError: The prompt does not fit, or the host or the answer failed.
        """
        from ollama_mcp.api import GenerateRequest
        from ollama_mcp.work.chat.request import InferenceRequest, prepare
        from ollama_mcp.work.chat.run import run

        prompt = self.template.text.format(query=_plain(query), passage=_plain(text))
        inference = InferenceRequest(
            "decide",
            self.model,
            think=False if self.disable_thinking else None,
            options={"temperature": 0, "num_predict": 1, "top_logprobs": _TOP_LOGPROBS},
            file_tokens=estimate_tokens(text) if from_file else 0,
        )
        async with self.semaphore:
            prepared = await prepare(self.call, inference, [prompt])
            request = GenerateRequest(
                model=prepared.model,
                prompt=prompt,
                raw=True,
                keep_alive=self.call.keep_alive(None),
                **prepared.fields,
            )
            try:
                answer = await run(self.call, request, prepared, quiet=True)
            except NoAnswer:
                return None
        return yes_chance(answer.logprobs or [], self.template)


def yes_chance(logprobs: list[dict[str, Any]], template: Template) -> float | None:
    """The probability of yes against no at the first position of an answer; None where neither is there."""
    if not logprobs:
        return None
    tops: list[dict[str, Any]] = [logprobs[0], *(logprobs[0].get("top_logprobs") or [])]
    # The chosen token is usually among the top ones as well; each counts once.
    weights = {template.yes: 0.0, template.no: 0.0}
    for token, logprob in {str(top.get("token", "")): top.get("logprob") for top in tops}.items():
        word = token.strip(" \t\r\n\u2581\u0120").lower()
        if word in weights and isinstance(logprob, int | float) and math.isfinite(logprob):
            weights[word] += math.exp(min(0.0, logprob))
    total = sum(weights.values())
    return weights[template.yes] / total if total > 0 else None


def _plain(text: str) -> str:
    return _MARKS.sub("< ", text.strip())
