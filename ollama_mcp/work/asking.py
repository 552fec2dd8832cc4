"""A question to a model, with files: read here, put before the words, and worked through in pieces where too long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument, TooLong
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work import citing
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.cloud import keep_home
from ollama_mcp.work.inference import Prepared, Wish, answer, prepare

if TYPE_CHECKING:
    from ollama_mcp.api import Message
    from ollama_mcp.work.answers import Answer
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.readings import Reading


@dataclass(frozen=True, slots=True)
class Question:
    """What ollama_chat asks.

    Args:
        wish: Model, format, options and the rest that chat and generate share; `images` holds those of the messages
            first, in their order, then those of the call.
        turns: The conversation; the last message of the user is what the files go with.
        shown: How many images each message has of its own, from the last one backwards as many as there are.
        files: Specifications of files, as `work.files` takes them.
        tools: Functions that the model may ask for, as Ollama takes them.
        keep_alive: How long the model stays loaded, or None.
        cite: Whether the answer is to be backed by quotes from the files.
        split: Whether what is too long is worked through in pieces.
    """

    wish: Wish
    turns: list[Message]
    shown: Sequence[int]
    files: Sequence[str] = ()
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keep_alive: float | str | None = None
    cite: bool = False
    split: bool = False


async def ask(call: CallContext, question: Question) -> Answer:
    """Read the files, ask, and say what was read.

    Raises:
        OllamaMCPError: No file could be read, a rule forbids it, the prompt cannot fit, or the model failed.
    """
    if not question.files:
        return await _asked(call, question, None)
    from ollama_mcp.work.files import read_files
    from ollama_mcp.work.readings import receipts

    async with call.progress.phase(f"reading {len(question.files)} files"):
        reading = await read_files(call.access, question.files, call.settings)
    sees = bool(question.wish.images or reading.images)
    chosen = await choose(call, question.wish.model, question.wish.task, vision=sees)
    await keep_home(call, chosen.model, "cloud_files")
    tokens = sum(estimate_tokens(document.text) for document in reading.documents)
    images = [*question.wish.images, *reading.images]
    wish = replace(question.wish, model=chosen.model, images=images, file_tokens=tokens)
    found = await _asked(call, replace(question, wish=wish), reading)
    found.notes = [*([chosen.note] if chosen.note else []), *found.notes, *receipts(reading, estimate_tokens)]
    if not found.sources:
        found.sources = [
            {"path": read.path, "lines": f"{read.first_line}-{read.last_line}"} for read in reading.documents
        ]
    return found


async def prepared_turns(
    call: CallContext, question: Question, turns: Sequence[Message]
) -> tuple[Prepared, list[Message]]:
    """The wish made ready, and the turns with their images in place."""
    copies = [turn.model_copy() for turn in turns]
    shared = await prepare(call, question.wish, [turn.content for turn in copies])
    _place(shared.images, copies, question.shown)
    return shared, copies


async def send(call: CallContext, question: Question, turns: Sequence[Message], *, quiet: bool = False) -> Answer:
    """Ask what the turns say, as the question wants it asked."""
    from ollama_mcp.api import ChatRequest

    shared, placed = await prepared_turns(call, question, turns)
    request = ChatRequest(
        model=shared.model,
        messages=placed,
        tools=question.tools or None,
        keep_alive=call.keep_alive(question.keep_alive),
        **shared.fields,
    )
    return await answer(call, request, shared, quiet=quiet)


def with_words(turns: Sequence[Message], words: str) -> list[Message]:
    """The conversation with other words in the user's last message."""
    last = last_of_user(turns)
    return [turn.model_copy(update={"content": words}) if turn is last else turn for turn in turns]


def last_of_user(turns: Sequence[Message]) -> Message:
    """The user's last message, which files, images and sounds go with.

    Raises:
        InvalidArgument: There is none.
    """
    last = next((turn for turn in reversed(turns) if turn.role == "user"), None)
    if last is None:
        raise InvalidArgument(
            "files, images and audio need a message of role 'user' to go with.", next_step="Add one to messages."
        )
    return last


async def _asked(call: CallContext, question: Question, reading: Reading | None) -> Answer:
    documents = reading.documents if reading is not None else []
    wish = question.wish
    if question.cite:
        if not documents:
            raise InvalidArgument("cite needs files to quote from.", next_step="Give files, or leave cite out.")
        wish = replace(wish, format=citing.schema_of(wish.format))
    try:
        found = await send(call, replace(question, wish=wish), _with_files(question, reading))
    except TooLong:
        if not question.split:
            raise
        from ollama_mcp.work.splitting import in_pieces

        return await in_pieces(call, question, documents)
    if not question.cite:
        return found
    # A quote is looked for in all that was read.
    return await asyncio.to_thread(citing.cited, found, documents, typed=question.wish.format is not None)


def _with_files(question: Question, reading: Reading | None) -> list[Message]:
    """The conversation with the files before the words: a prompt that begins alike is read from Ollama's cache."""
    if reading is None:
        return question.turns
    from ollama_mcp.work.readings import as_block

    words = last_of_user(question.turns).content
    parts = [as_block(document, numbered=question.cite) for document in reading.documents]
    parts += [citing.INSTRUCTION] if question.cite else []
    return with_words(question.turns, "\n\n".join([*parts, words]))


def _place(prepared: Sequence[str], turns: Sequence[Message], shown: Sequence[int]) -> None:
    """Give each message its images, and the call's own images and sounds to the last message of the user."""
    left = list(prepared)
    for turn, count in zip(turns[len(turns) - len(shown) :], shown, strict=True):
        turn.images = left[:count] or None
        del left[:count]
    if left:
        last = last_of_user(turns)
        last.images = [*(last.images or []), *left]
