"""The models that can judge a passage: a reranker, else a decision model or any chat model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ollama_mcp.work.parallel import parallel_requests
from ollama_mcp.work.search.rerankers import Reranker, find_reranker, template_of

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.decide import Decider
    from ollama_mcp.work.search.rerankers import Template

_NAME = "judged"
_QUESTION = "Does the passage answer what is searched for, or is it about just that?"


class Judge(Protocol):
    """A model that judges.

    Attributes:
        model: The model.
        method: reranker (by its own template), or as of `Decider`.
    """

    @property
    def model(self) -> str: ...

    @property
    def method(self) -> str: ...

    async def chance(self, query: str, text: str, *, from_file: bool = False) -> float | None:
        """The probability that a passage fits a query; None where the model gave none.

        Raises:
            OllamaMCPError: The prompt does not fit, or the host or the answer failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class DecidingJudge:
    """A decision or chat model, asked as ollama_decide asks it."""

    decider: Decider

    @property
    def model(self) -> str:
        """The model."""
        return self.decider.model

    @property
    def method(self) -> str:
        """How it is asked."""
        return self.decider.method

    async def chance(self, query: str, text: str, *, from_file: bool = False) -> float | None:
        """See `Judge`."""
        subject = f"Searched for: {query.strip()}\n\nPassage:\n{text}"
        verdict = (await self.decider.decide(subject, from_file=from_file, only_probabilities=True)).get(_NAME)
        return None if verdict is None or verdict.probabilities is None else verdict.probabilities["yes"]


async def find_judges(call: CallContext) -> AsyncIterator[Judge]:
    """Yield the models to try, the best first: the configured one, or an installed reranker and then another model.

    Raises:
        ModelNotFound: There is no other model.
        OllamaMCPError: The configured one cannot be asked, or the host fails.
    """
    named = call.settings.defaults.rerank
    if named:
        template = template_of(named, await call.hosts.card(named))
        found = (named, template) if template is not None else None
    else:
        found = await find_reranker(call)
    if found is not None:
        yield await _reranker(call, *found)
        if named:
            return
    from ollama_mcp.work.decide import ClosedQuestion, prepare_decider

    yield DecidingJudge(await prepare_decider(call, [ClosedQuestion(question=_QUESTION, name=_NAME)], named))


async def _reranker(call: CallContext, model: str, template: Template) -> Reranker:
    thinking = await call.hosts.thinking_support(model)
    disable = thinking.supported and thinking.lowest is False
    return Reranker(call, model, template, disable, asyncio.Semaphore(await parallel_requests(call, model)))
