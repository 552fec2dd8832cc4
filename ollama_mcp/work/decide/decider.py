"""The decider: which model answers the questions of a call and by which method, settled once for all inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ollama_mcp.errors import InvalidArgument, Unsupported, UnsupportedByVersion
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.hosts.model_cards import capabilities_of
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.decide.logprob_decider import MAX_TOP_LOGPROBS, LogprobDecider, decide_by_schema
from ollama_mcp.work.decide.questions import ClosedQuestion, check_questions
from ollama_mcp.work.decide.session import ModelSession, Subject
from ollama_mcp.work.decide.system_one_decider import SystemOneDecider
from ollama_mcp.work.parallel import DEFAULT_PARALLEL, parallel_requests

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.decide.verdicts import Verdict

DecisionMethod = Literal["decision", "logprobs", "schema"]


class Decider:
    """Answers the same questions about any number of inputs; made by `prepare_decider`.

    Several inputs may be decided at the same time; the requests to Ollama stay within `work.parallel`.

    Attributes:
        model: The model that answers.
        method: decision (a decision model), logprobs (a chat model's probabilities of letters), or schema (a chat
            model's answer without probabilities).
    """

    def __init__(
        self,
        session: ModelSession,
        method: DecisionMethod,
        questions: Sequence[ClosedQuestion],
        logprobs: LogprobDecider,
        notes: list[str],
    ) -> None:
        self.model, self.method = session.model, method
        self._session, self._questions, self._logprobs = session, questions, logprobs
        self._notes = notes
        self._letterless = 0

    @property
    def notes(self) -> list[str]:
        """What should be known about all verdicts so far."""
        if not self._letterless:
            return list(self._notes)
        return [
            *self._notes,
            f"{self.model} answered without an option's letter {self._letterless:,} times; those questions were asked "
            "again by schema, without probabilities.",
        ]

    async def decide(
        self, text: str, images: Sequence[str] = (), *, from_file: bool = False, only_probabilities: bool = False
    ) -> dict[str, Verdict]:
        """Answer the questions about one input.

        Args:
            text: The text; "" beside images.
            images: Images as base64, as `ollama_mcp.work.chat.attachments.prepare_images` gives them.
            from_file: Whether the text was read from a file, so that the agent never saw it.
            only_probabilities: Whether a question that is not answered with a letter is left out, and not asked again
                by schema.

        Returns:
            A verdict for each question, by its name, in the order of the questions.

        Raises:
            OllamaMCPError: The input is empty or does not fit, or the host or the answer failed.
        """
        if not text.strip() and not images:
            raise InvalidArgument("There is no text to judge.", next_step="Give a text with a word in it.")
        subject = Subject(text if text.strip() else "", images, estimate_tokens(text) if from_file else 0)
        if self.method == "decision":
            return await SystemOneDecider(self._session, self._logprobs.shuffle).decide(subject, self._questions)
        by_letter = [
            question
            for question in self._questions
            if self.method == "logprobs" and len(question.options) <= MAX_TOP_LOGPROBS
        ]
        verdicts = await self._logprobs.decide(subject, by_letter)
        if only_probabilities:
            return verdicts
        self._letterless += len(by_letter) - len(verdicts)
        if left := [question for question in self._questions if question.name not in verdicts]:
            verdicts |= await decide_by_schema(self._session, subject.already_counted if by_letter else subject, left)
        return {question.name: verdicts[question.name] for question in self._questions}


async def prepare_decider(
    call: CallContext,
    questions: Sequence[ClosedQuestion],
    model: str,
    *,
    images: bool = False,
    shuffle: bool = False,
    options: dict[str, Any] | None = None,
    keep_alive: float | str | None = None,
    unmeasured: int = DEFAULT_PARALLEL,
) -> Decider:
    """Check the questions, choose a model and the method, before anything is asked.

    Args:
        call: The context of the call.
        questions: What is asked about each input.
        model: The model's name, or "".
        images: Whether there will be images.
        shuffle: Whether to ask with the options in several orders and take the mean, against a model's preference for
            the first: up to five times the requests.
        options: Model options.
        keep_alive: As Ollama takes it.
        unmeasured: How many requests are sent at a time where `work.parallel` is "auto" and nothing is measured yet.

    Raises:
        OllamaMCPError: A question is wrong, or the model cannot do it; nothing was asked.
    """
    check_questions(questions, call.settings.limits.questions)
    chosen = await choose(call, model, "decide", vision=images)
    if images:
        from ollama_mcp.work.chat.attachments import prepare_images

        # With no images it only checks whether this model may be given some.
        await prepare_images(call, (), chosen.model, [])
    notes = [chosen.note] if chosen.note else []
    method, disable_thinking = await _choose_method(call, chosen.model, questions, notes, images=images)
    if options and method == "decision":
        notes.append("options were not used: decision models take none.")
    if shuffle and method == "schema":
        notes.append("shuffle changed nothing: there are no probabilities to average.")
    semaphore = asyncio.Semaphore(await parallel_requests(call, chosen.model, unmeasured))
    session = ModelSession(call, chosen.model, options, call.keep_alive(keep_alive), semaphore)
    logprobs = LogprobDecider(session, disable_thinking, shuffle, asyncio.Lock())
    return Decider(session, method, questions, logprobs, notes)


async def _choose_method(
    call: CallContext, model: str, questions: Sequence[ClosedQuestion], notes: list[str], *, images: bool
) -> tuple[DecisionMethod, bool]:
    """The method, and whether the model has to be told not to think; says in `notes` why there are no probabilities."""
    from ollama_mcp.api import Feature

    capabilities = capabilities_of(await call.hosts.card(model))
    version = await call.client.server_version()
    if "decision" in capabilities and version.supports(Feature.SYSTEMONE):
        if images and not version.supports(Feature.SYSTEMONE_IMAGES):
            raise UnsupportedByVersion(
                f"Decision models take images since Ollama {Feature.SYSTEMONE_IMAGES.since_text}, not in {version}.",
                model=model,
                next_step="Update Ollama, or name a chat model with 'vision'.",
            )
        return "decision", False
    if "completion" not in capabilities:
        raise Unsupported(
            f"{model} can neither decide nor chat; it has: {', '.join(capabilities) or 'no known capability'}.",
            model=model,
            detail="does not support completion",
        )
    if not version.supports(Feature.LOGPROBS):
        notes.append(
            f"Ollama {version} gives no log-probabilities ({Feature.LOGPROBS.since_text} does), so there are no "
            "probabilities."
        )
        return "schema", False
    thinking = await call.hosts.thinking_support(model)
    # The few tokens that are written would be thoughts, not the letter.
    if thinking.supported and thinking.lowest is not False:
        notes.append(f"{model} always thinks, so it was asked by schema: there are no probabilities.")
        return "schema", False
    if large := [question.name for question in questions if len(question.options) > MAX_TOP_LOGPROBS]:
        notes.append(f"More than {MAX_TOP_LOGPROBS} options have no probabilities this way: {', '.join(large)}.")
        if len(large) == len(questions):
            return "schema", False
    return "logprobs", thinking.supported
