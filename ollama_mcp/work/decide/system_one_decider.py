"""Questions to a decision model: all in one request, with the probabilities that it gives (POST /v1/systemone)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import BadAnswer, TooLong
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.work.decide.verdicts import Verdict, mean_of, normalized, verdict_of

if TYPE_CHECKING:
    from ollama_mcp.api import DecisionQuestion, DecisionRequest, DecisionResponse
    from ollama_mcp.work.decide.questions import ClosedQuestion
    from ollama_mcp.work.decide.session import ModelSession, Subject

# Contract of POST /v1/systemone.
MAX_BYTES, MAX_BYTES_WITH_IMAGES = 65_536, 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SystemOneDecider:
    """Answers questions by a decision model.

    Args:
        session: How the model is asked.
        shuffle: Whether choices are asked with their labels in several orders, and the mean taken. Levels have an
            order of their own, and the API shows yes and no in none.
    """

    session: ModelSession
    shuffle: bool

    async def decide(self, subject: Subject, questions: Sequence[ClosedQuestion]) -> dict[str, Verdict]:
        """Verdicts by name of the question.

        Raises:
            OllamaMCPError: The request does not fit, or the host or the answer failed.
        """
        orders = {
            question.name: question.orders(shuffle=self.shuffle and question.type == "choice") for question in questions
        }
        results: dict[str, list[tuple[list[float], float | None]]] = {question.name: [] for question in questions}
        for turn in range(max(map(len, orders.values()))):
            asked = [question for question in questions if turn < len(orders[question.name])]
            response = await self._ask(
                subject if turn == 0 else subject.already_counted,
                {question.name: _as_request(question, orders[question.name][turn]) for question in asked},
            )
            for question in asked:
                results[question.name].append(_probabilities(question, response, self.session.model))
        return {question.name: _verdict(question, results[question.name]) for question in questions}

    async def _ask(self, subject: Subject, questions: dict[str, DecisionQuestion]) -> DecisionResponse:
        from ollama_mcp.api import DecisionRequest

        session, call = self.session, self.session.call
        request = DecisionRequest(
            model=session.model,
            state=subject.text or None,
            questions=questions,
            images=list(subject.images) or None,
            keep_alive=session.keep_alive,
        )
        _check_size(request, subject)
        async with session.semaphore:
            start = time.monotonic()
            with call.in_use.track(session.model):
                response = await call.client.systemone(request)
        call.habits.record_answer(session.model)
        call.store.usage.count(
            session.model,
            cloud=parse_name(session.model).is_cloud,
            prompt_tokens=response.usage.input_tokens,
            tokens=response.usage.output_tokens,
            file_tokens=subject.file_tokens,
            seconds=time.monotonic() - start,
        )
        return response


def _check_size(request: DecisionRequest, subject: Subject) -> None:
    """Refuse a body that is too large: Ollama would, before it looks at anything else."""
    limit = MAX_BYTES_WITH_IMAGES if subject.images else MAX_BYTES
    size = len(subject.text) + request.estimated_size()
    # A text that is too long by itself need not be encoded to know that.
    if size <= limit and (size := len(request.encode())) <= limit:
        return
    raise TooLong(
        f"The text and the questions have {size:,} bytes, but {request.model} takes at most {limit:,} (a limit of "
        "Ollama's decision models).",
        next_step="Give a part of it ('a.txt:1-200'), or name a chat model, which takes longer texts.",
    )


def _as_request(question: ClosedQuestion, order: list[int]) -> DecisionQuestion:
    from ollama_mcp.api import DecisionQuestion

    labels = list(question.options)
    criteria: dict[str, Any] | list[Any] | None = None
    if question.type == "choice":
        criteria = {labels[place]: question.options[labels[place]] or None for place in order}
    elif question.type == "score":
        criteria = [labels[place] for place in order]
    # The API's name for yes or no.
    kind = "noul" if question.type == "yes_no" else question.type
    return DecisionQuestion(type=kind, instructions=question.question, criteria=criteria)


def _probabilities(
    question: ClosedQuestion, response: DecisionResponse, model: str
) -> tuple[list[float], float | None]:
    """Probabilities in the order of the options, and the server's confidence where it gives one."""
    from ollama_mcp.api import ChoiceAnswer, NoulAnswer

    options = list(question.options)
    answer = response.answers.get(question.name)
    if isinstance(answer, NoulAnswer) and question.type == "yes_no" and 0 <= answer.noul <= 1:
        return [answer.noul, 1 - answer.noul], None
    if answer is not None and not isinstance(answer, NoulAnswer) and answer.type == question.type:
        keys = options if isinstance(answer, ChoiceAnswer) else [str(place) for place in range(len(options))]
        if any(answer.probabilities.get(key, 0.0) > 0 for key in keys):
            return normalized(answer.probabilities, keys), answer.confidence
    raise BadAnswer(
        f"{model} gave no probabilities for the question {question.name[:60]!r}.",
        model=model,
        next_step="Try once more, or name a chat model.",
    )


def _verdict(question: ClosedQuestion, results: list[tuple[list[float], float | None]]) -> Verdict:
    if len(results) == 1:
        probabilities, confidence = results[0]
        return verdict_of(question, probabilities, confidence=confidence)
    # The confidences that the server gave are of single orders, not of the mean.
    return verdict_of(question, mean_of([probabilities for probabilities, _ in results]))
