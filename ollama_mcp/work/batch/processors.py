"""The ways to work on the rows of a batch: a prompt, an embedding, or questions with fixed answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ollama_mcp.errors import (
    BadAnswer,
    Busy,
    Forbidden,
    Interrupted,
    InvalidArgument,
    ModelNotFound,
    NoAnswer,
    OllamaMCPError,
    RunnerFailed,
    ServerError,
    Timeout,
    Unauthorized,
    Unreachable,
    Unsupported,
    UnsupportedByVersion,
)
from ollama_mcp.formats.options import split_options
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.batch.rows import MAX_JSON_DEPTH, InputRow, Record, RowSource, exceeds_max_depth
from ollama_mcp.work.batch.sources import FileListSource
from ollama_mcp.work.batch.spec import BatchSpec
from ollama_mcp.work.batch.template import Template
from ollama_mcp.work.chat.attachments import prepare_images
from ollama_mcp.work.chat.result import MISSING
from ollama_mcp.work.embedding import embed, pack_vectors

if TYPE_CHECKING:
    from ollama_mcp.api import EmbedResponse
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.choosing import ModelChoice
    from ollama_mcp.work.decide import Decider

# Errors that say something about the host, not about the row.
_NO_HOST = (Unreachable, Timeout, Busy)
# A runner may die of one row; where it dies of one after another, it is the host's failure too.
HOST_FAILURES = (*_NO_HOST, RunnerFailed)
# Errors that a second attempt may not meet again.
RETRYABLE = (*HOST_FAILURES, Interrupted, ServerError, BadAnswer, NoAnswer)
# Errors that every other row would meet as well: the batch stops.
_FATAL = (ModelNotFound, Unsupported, Unauthorized, Forbidden, UnsupportedByVersion)

# Requests in a row of which the runner dies, after which it is not one text that kills it.
MAX_CRASHES = 3


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What a row came to.

    Args:
        row: The row.
        data: What the checkpoint keeps: an encoded `Record`, or a packed vector.
        error: The error, where it failed.
        tokens: Tokens that were read and written.
    """

    row: InputRow
    data: bytes
    error: OllamaMCPError | None = None
    tokens: tuple[int, int] = (0, 0)


class RowProcessor(Protocol):
    """Works on rows; several tasks use one at the same time.

    Attributes:
        model: The model that is asked.
    """

    model: str

    @property
    def notes(self) -> list[str]:
        """What should be known about the results; complete once all rows are done."""
        ...

    @property
    def rows_per_request(self) -> int:
        """How many rows `process` takes at a time."""
        ...

    async def process(self, rows: Sequence[InputRow]) -> list[RowOutcome]:
        """Work on some rows; an error of one row is part of its outcome.

        Raises:
            OllamaMCPError: Every other row would fail like this too.
        """
        ...


class RowLoader:
    """Gives what the model needs of a row; files that are rows are read here."""

    def __init__(self, call: CallContext, source: RowSource) -> None:
        self._call, self._source = call, source

    async def load(self, row: InputRow) -> tuple[InputRow, list[str]]:
        """The row with its text, and the paths of its images.

        Raises:
            OllamaMCPError: It cannot be used; it says why.
        """
        if row.problem:
            where = f"Line {row.location['line']}" if "line" in row.location else "The row"
            raise InvalidArgument(f"{where} cannot be used: {row.problem}.")
        if not isinstance(self._source, FileListSource):
            return row, []
        from ollama_mcp.work.files import read_files

        reading = await read_files(self._call.access, [str(row.columns["path"])], self._call.settings)
        # After reading: a change during it would mix old and new content.
        self._source.check_file(row)
        text = "\n\n".join(document.text for document in reading.documents)
        return replace(row, columns={**row.columns, "text": text}), reading.images


class _SingleRowProcessor(ABC):
    """Works on one row per request."""

    rows_per_request = 1

    def __init__(self, call: CallContext, model: str, source: RowSource, template: Template) -> None:
        self._call, self.model, self._template = call, model, template
        self._loader = RowLoader(call, source)
        self._from_files = source.from_files

    async def process(self, rows: Sequence[InputRow]) -> list[RowOutcome]:
        """See `RowProcessor`."""
        return [await self._process_row(row) for row in rows]

    async def _process_row(self, row: InputRow) -> RowOutcome:
        try:
            return await self._answer(*await self._loader.load(row))
        except OllamaMCPError as error:
            return _failed(row, error)

    @abstractmethod
    async def _answer(self, row: InputRow, image_paths: list[str]) -> RowOutcome:
        """Ask the model about a row."""


class PromptProcessor(_SingleRowProcessor):
    """Fills the template with each row and sends it to a chat model.

    Args:
        call: The context of the call.
        spec: The arguments of the batch.
        source: Where the rows come from.
        choice: The model.

    Raises:
        InvalidArgument: The template names what the input does not have.
    """

    def __init__(self, call: CallContext, spec: BatchSpec, source: RowSource, choice: ModelChoice) -> None:
        super().__init__(call, choice.model, source, Template(spec.prompt, source.columns))
        self._spec = spec
        self.notes = [choice.note] if choice.note else []

    async def _answer(self, row: InputRow, image_paths: list[str]) -> RowOutcome:
        from ollama_mcp.api import ChatMessage, ChatRequest
        from ollama_mcp.work.chat.request import InferenceRequest, prepare
        from ollama_mcp.work.chat.run import run

        spec = self._spec
        prompt = self._template.fill(row, append=not image_paths)
        request = InferenceRequest(
            "chat",
            self.model,
            spec.format,
            spec.think,
            spec.options,
            images=image_paths,
            remedy="Shorten the row, or name a model with a longer context.",
            file_tokens=estimate_tokens(row.text) if self._from_files and not image_paths else 0,
        )
        prepared = await prepare(self._call, request, [spec.system, prompt])
        if prepared.fit.grows_for_answer:
            note = next(note for note in prepared.notes if note.startswith("num_predict "))
            self.notes += [note] if note not in self.notes else []
        if prepared.format_note and prepared.format_note not in self.notes:
            self.notes.append(prepared.format_note)
        messages = [ChatMessage(role="system", content=spec.system)] if spec.system else []
        messages.append(ChatMessage(role="user", content=prompt, images=prepared.images or None))
        keep_alive = self._call.keep_alive(None)
        chat = ChatRequest(model=prepared.model, messages=messages, keep_alive=keep_alive, **prepared.fields)
        result = await run(self._call, chat, prepared, quiet=True)
        # Notes from before the answer are the same for each row, and would only repeat.
        notes = tuple(note for note in result.notes if note not in prepared.notes)
        tokens = int(result.usage.get("prompt_tokens", 0)), int(result.usage.get("tokens", 0))
        output = result.text if result.value is MISSING else result.value
        if exceeds_max_depth(output):
            raise BadAnswer(f"The answer is nested deeper than {MAX_JSON_DEPTH} levels.", model=prepared.model)
        return RowOutcome(row, Record(output, notes, *tokens).encode(), tokens=tokens)


class EmbeddingProcessor:
    """Turns rows into packed vectors (32-bit floats, little-endian), several rows per request.

    Args:
        call: The context of the call.
        spec: The arguments of the batch.
        source: Where the rows come from.
        choice: The model.

    Raises:
        InvalidArgument: The template has no placeholder, or names what the input does not have.
    """

    def __init__(self, call: CallContext, spec: BatchSpec, source: RowSource, choice: ModelChoice) -> None:
        self._call, self._spec, self.model = call, spec, choice.model
        self.notes = [choice.note] if choice.note else []
        self._template = Template(spec.prompt or "{text}", source.columns, needs_placeholder=True)
        self._loader = RowLoader(call, source)
        self._from_files = source.from_files
        self.rows_per_request = call.settings.limits.embed_chunk

    async def process(self, rows: Sequence[InputRow]) -> list[RowOutcome]:
        """See `RowProcessor`."""
        usable: list[tuple[InputRow, str]] = []
        outcomes: list[RowOutcome] = []
        for row in rows:
            try:
                loaded, _ = await self._loader.load(row)
                usable.append((loaded, self._template.fill(loaded)))
            except OllamaMCPError as error:
                outcomes.append(_failed(row, error))
        return [*outcomes, *await self._embed_rows(usable)]

    async def _embed_rows(self, texts: list[tuple[InputRow, str]]) -> list[RowOutcome]:
        """Embed texts together; where one of them may be the cause of a failure, each by itself."""
        if not texts:
            return []
        try:
            answer, vectors = await self._embed([text for _, text in texts])
        except OllamaMCPError as error:
            # A host that is gone or a model that cannot embed fails for each text alike.
            if len(texts) == 1 or isinstance(error, (*_NO_HOST, *_FATAL)):
                return [_failed(row, error) for row, _ in texts]
            return await self._embed_singly(texts)
        # Ollama counts the request, not each text: whole shares that add up to its count.
        share, remainder = divmod(answer.prompt_eval_count or 0, len(texts))
        return [
            RowOutcome(row, vector, tokens=(share + (index < remainder), 0))
            for index, ((row, _), vector) in enumerate(zip(texts, vectors, strict=True))
        ]

    async def _embed_singly(self, texts: list[tuple[InputRow, str]]) -> list[RowOutcome]:
        """Embed each text by itself; one that the runner dies of again and again is not asked for each of the rest."""
        outcomes: list[RowOutcome] = []
        for place, pair in enumerate(texts):
            outcomes += await self._embed_rows([pair])
            last = [outcome.error for outcome in outcomes[-MAX_CRASHES:]]
            if len(last) == MAX_CRASHES and all(isinstance(error, RunnerFailed) for error in last):
                error = last[-1]
                assert error is not None
                return [*outcomes, *(_failed(row, error) for row, _ in texts[place + 1 :])]
        return outcomes

    async def _embed(self, texts: list[str]) -> tuple[EmbedResponse, list[bytes]]:
        options = self._spec.options
        # Ollama cuts a long text unless told not to; here that is an error of its row, not a vector of its beginning.
        truncate = split_options(self._call.settings.defaults.options, options)[1].get("truncate", False)
        file_texts = texts if self._from_files else ()
        answer = await embed(self._call, self.model, texts, truncate=truncate, options=options, file_texts=file_texts)
        return answer, await asyncio.to_thread(pack_vectors, answer.embeddings, self.model)


class DecisionProcessor(_SingleRowProcessor):
    """Answers the questions about each row, as ollama_decide does.

    Args:
        call: The context of the call.
        prompt: Template of the text that the questions are about; "" for the whole row.
        source: Where the rows come from.
        decider: Answers the questions.

    Raises:
        InvalidArgument: The template has no placeholder, or names what the input does not have.
    """

    def __init__(self, call: CallContext, prompt: str, source: RowSource, decider: Decider) -> None:
        super().__init__(
            call, decider.model, source, Template(prompt or "{text}", source.columns, needs_placeholder=True)
        )
        self._decider = decider

    @property
    def notes(self) -> list[str]:
        """See `RowProcessor`: only after the last row it is known how often the model answered without a letter."""
        return self._decider.notes

    async def _answer(self, row: InputRow, image_paths: list[str]) -> RowOutcome:
        images = await prepare_images(self._call, image_paths, self.model, []) if image_paths else []
        text = "" if images else self._template.fill(row)
        verdicts = await self._decider.decide(text, images, from_file=self._from_files)
        return RowOutcome(row, Record({name: verdict.as_json() for name, verdict in verdicts.items()}).encode())


def _failed(row: InputRow, error: OllamaMCPError) -> RowOutcome:
    """The outcome of a row that failed.

    Raises:
        OllamaMCPError: The error itself, where every other row would meet it as well.
    """
    if isinstance(error, _FATAL):
        raise error
    return RowOutcome(row, Record.from_error(error).encode(), error)
