"""What is too long for a model's context, worked through in pieces: each answered, the answers combined."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument, OllamaMCPError, TooLong
from ollama_mcp.formats.names import parse_name
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work import citing, fitting
from ollama_mcp.work.asking import Question, last_of_user, send, with_words
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.passages import split
from ollama_mcp.work.readings import Document, as_block

if TYPE_CHECKING:
    from ollama_mcp.api import Message
    from ollama_mcp.work.answers import Answer
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.inference import Wish

MOST_PIECES = 200
# What a piece may answer, in tokens; more would only have to be combined again.
_PIECE_ANSWER = 700
_SMALLEST_PIECE = 100
_SMALLEST_PART = 200
# Where a long message holds its request: mostly first or last.
_EDGE_CHARS = 600
_MESSAGE = "the message"
_LABEL_TOKENS = 8
_CUT = "cut, for it grew too long; ask for less, or for fewer files at once."
_WAY_OUT = "Shorten the request, or name a model with a longer context."

_PIECE = (
    "You see part {number} of {count} of the material. Answer from this part alone, briefly, with the names, figures "
    "and places that it rests on; say 'nothing here' where the part has nothing of use.\n\n{words}"
)
_COMBINE = (
    "Below are {count} answers to one request, each from one part of the material, in its order. Make one answer of "
    "them; drop 'nothing here'; add nothing that they do not say.\n\n{answers}\n\nThe request: {words}"
)


@dataclass(frozen=True, slots=True)
class _Job:
    """A question that is worked through in pieces: its words, the tokens of a piece, of its answer, of thinking."""

    question: Question
    words: str
    room: int
    answer: int
    thinking: int


async def in_pieces(call: CallContext, question: Question, documents: Sequence[Document]) -> Answer:
    """Answer a question whose material does not fit into the context.

    Args:
        call: The context of the call.
        question: The question; without files the user's last message is what is split.
        documents: What was read.

    Raises:
        TooLong: What cannot be split leaves no room, or there would be too many pieces.
        InvalidArgument: The question asks for what only one answer can give.
        OllamaMCPError: A piece failed twice; `partial` holds the answers so far.
    """
    if question.tools or question.wish.images or question.wish.audio:
        raise InvalidArgument(
            "too_long='split' works on text; tools, images and audio cannot be split.",
            next_step="Leave them out, or send less text with them.",
        )
    chosen = await choose(call, question.wish.model, question.wish.task)
    question = replace(question, wish=replace(question.wish, model=chosen.model, way_out=_WAY_OUT))
    job, pieces = await _planned(call, question, documents)
    try:
        answers = await _answered(call, job, pieces)
    except TooLong:
        # The model's own count was larger than estimated, and is known now.
        job, pieces = await _planned(call, question, documents)
        answers = await _answered(call, job, pieces)
    combined, steps = await _combined(call, job, [found.text for found in answers])
    size = sum(estimate_tokens(part.text) for piece in pieces for part in piece) // len(pieces)
    note = f"Read in {len(pieces)} pieces of about {size:,} tokens; what spans pieces may be missed."
    combined.notes = [*([chosen.note] if chosen.note else []), note, *_said([*answers, *steps]), *combined.notes]
    combined.usage = _added([found.usage for found in (*answers, *steps, combined)])
    if question.cite:
        quotes = [citing.Citation(**source) for found in answers for source in found.sources]
        return citing.with_citations(combined, quotes)
    return combined


async def _planned(
    call: CallContext, question: Question, documents: Sequence[Document]
) -> tuple[_Job, list[list[Document]]]:
    """The pieces, and what goes with each of them."""
    words = last_of_user(question.turns).content
    if not documents:
        size = len(words.encode(errors="replace"))
        documents = [Document(_MESSAGE, words, 1, words.count("\n") + 1, size, "utf-8", "text")]
        words = (
            f"The request stands in a long message, mostly at its beginning or its end.\nIt begins: "
            f"{words[:_EDGE_CHARS]}\nIt ends: {words[-_EDGE_CHARS:]}"
        )
    largest = (question.wish.options or {}).get("num_ctx") or await _largest(call, question.wish.model)
    answer = _answer_tokens(question, largest)
    thinking = await _thinking_tokens(call, question.wish, largest)
    ratio = await fitting.known_ratio(call, question.wish.model)
    margin = fitting.SURE if ratio else fitting.UNSURE
    others = sum(estimate_tokens(turn.content) for turn in with_words(question.turns, words))
    others += estimate_tokens(_PIECE) + (estimate_tokens(citing.INSTRUCTION) if question.cite else 0)
    room = round((largest - answer - thinking - 2 * fitting.TEMPLATE_TOKENS) / (margin * (ratio or 1.0))) - others
    if room < _SMALLEST_PIECE:
        raise TooLong(
            f"{question.wish.model} takes {largest:,} tokens here, which leaves no room for pieces of the material "
            f"beside {others:,} tokens of words and instructions.",
            next_step="Shorten the conversation or system prompt, or name a model with a longer context.",
        )
    pieces = _cut(documents, room)
    if len(pieces) > MOST_PIECES:
        raise TooLong(
            f"The material would be {len(pieces):,} pieces of about {room:,} tokens; at most {MOST_PIECES} are worked "
            "through in one call.",
            next_step="Give fewer files or line ranges, raise limits.num_ctx, or use ollama_batch.",
        )
    return _Job(question, words, room, answer, thinking), pieces


def _answer_tokens(question: Question, largest: int) -> int:
    """What a piece may answer, without the thinking that nobody can keep a model from."""
    wanted = (question.wish.options or {}).get("num_predict")
    most = min(_PIECE_ANSWER, largest // 4)
    return min(wanted, most) if isinstance(wanted, int) and wanted > 0 else most


async def _thinking_tokens(call: CallContext, wish: Wish, largest: int) -> int:
    """What a piece may think, where the model cannot be kept from it and the caller left the budget open."""
    if wish.think is False or "num_predict" in (wish.options or {}):
        return 0
    if not parse_name(wish.model).is_cloud:
        levels = await call.hosts.thinking(wish.model)
        if not levels.thinks or (wish.think is None and levels.lowest is False):
            return 0
    return min(fitting.THINKING_TOKENS, largest // 4)


async def _largest(call: CallContext, model: str) -> int:
    if parse_name(model).is_cloud:
        return (await call.hosts.card(model)).context_length or call.settings.limits.num_ctx
    return await fitting.largest(call, model)


def _cut(documents: Sequence[Document], room: int) -> list[list[Document]]:
    """The material in pieces of at most `room` tokens; small files share a piece, no file is torn without need."""
    pieces: list[list[Document]] = []
    left = 0
    for document in documents:
        for part in _parts(document, room):
            tokens = estimate_tokens(as_block(part, numbered=True))
            if not pieces or tokens > left:
                pieces.append([])
                left = room
            pieces[-1].append(part)
            left -= tokens
    return pieces


def _parts(document: Document, room: int) -> list[Document]:
    tokens = estimate_tokens(as_block(document, numbered=True))
    if tokens <= room:
        return [document]
    # The block's own marks and line numbers count too, so the share is taken of the whole.
    chars = max(_SMALLEST_PART, round(0.85 * len(document.text) * room / tokens))
    parts = [
        replace(document, text=part.text, first_line=part.first_line, last_line=part.last_line)
        for part in split(document, chars=chars)
    ]
    if chars == _SMALLEST_PART:
        return parts
    # Where the text is denser than on average (other scripts, short lines) a part is still too large.
    return [smaller for part in parts for smaller in _parts(part, room)]


async def _answered(call: CallContext, job: _Job, pieces: Sequence[Sequence[Document]]) -> list[Answer]:
    """The answers to all pieces, in their order."""
    found: dict[int, Answer] = {}
    gate = asyncio.Semaphore(call.settings.work.parallel)
    small = await _small(call, job)

    async def one(number: int) -> None:
        async with gate:
            found[number] = await _piece(call, small, job.words, number, pieces)
        await call.progress.update(len(found), lambda: f"piece {len(found)} of {len(pieces)} answered", len(pieces) + 1)

    async with call.progress.phase(f"reading in {len(pieces)} pieces"):
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(len(pieces)):
                    group.create_task(one(number))
        except* OllamaMCPError as failed:
            first = failed.exceptions[0]
            assert isinstance(first, OllamaMCPError)
            first.partial = "\n\n".join(found[number].text for number in sorted(found))
            raise first from None
    return [found[number] for number in range(len(pieces))]


async def _small(call: CallContext, job: _Job) -> Question:
    """The question as a piece is asked it: a short answer in words, without thinking aloud where that can be had."""
    wish = job.question.wish
    think = wish.think
    if think is None and not parse_name(wish.model).is_cloud:
        think = (await call.hosts.thinking(wish.model)).lowest
    options = {**(wish.options or {}), "num_predict": job.answer + job.thinking}
    form = citing.schema_of(None) if job.question.cite else None
    return replace(job.question, wish=replace(wish, format=form, think=think, options=options, include=()))


async def _piece(
    call: CallContext, small: Question, words: str, number: int, pieces: Sequence[Sequence[Document]]
) -> Answer:
    """The answer to one piece; asked once more where it fails."""
    piece = pieces[number]
    parts = [as_block(document, numbered=small.cite) for document in piece]
    parts += [citing.INSTRUCTION] if small.cite else []
    parts.append(_PIECE.format(number=number + 1, count=len(pieces), words=words))
    turns = with_words(small.turns, "\n\n".join(parts))
    try:
        found = await send(call, small, turns, quiet=True)
    except OllamaMCPError:
        found = await send(call, small, turns, quiet=True)
    if not small.cite:
        return found
    notes = found.notes
    found = await asyncio.to_thread(citing.cited, found, piece, typed=False)
    # The quotes of all pieces are told together in the end.
    return replace(found, notes=notes)


async def _combined(call: CallContext, job: _Job, answers: Sequence[str]) -> tuple[Answer, list[Answer]]:
    """One answer of many, and those in between where they do not fit together either."""
    steps: list[Answer] = []
    small = replace(await _small(call, job), cite=False)
    small = replace(small, wish=replace(small.wish, format=None))
    while len(groups := _grouped(answers, job.room)) > 1:
        joined = [await send(call, small, _combining(job, group), quiet=True) for group in groups]
        if len(joined) == len(answers):
            raise TooLong(
                f"The {len(answers)} answers to the pieces do not fit together into {job.room:,} tokens.",
                next_step="Ask for less, or raise limits.num_ctx.",
            )
        steps += joined
        answers = [found.text for found in joined]
    return await send(call, job.question, _combining(job, groups[0])), steps


def _said(answers: Sequence[Answer]) -> list[str]:
    """The notes of pieces, each once with how often it came: a piece that was cut is missing from the whole."""
    counts = Counter(
        _CUT if note.startswith("Cut at num_predict=") else note for found in answers for note in found.notes
    )
    return [f"{count} of {len(answers)} answers to pieces: {note}" for note, count in counts.items()]


def _grouped(answers: Sequence[str], room: int) -> list[list[str]]:
    groups: list[list[str]] = []
    left = 0
    for text in answers:
        tokens = estimate_tokens(text) + _LABEL_TOKENS
        if not groups or tokens > left:
            groups.append([])
            left = room
        groups[-1].append(text)
        left -= tokens
    return groups


def _combining(job: _Job, answers: Sequence[str]) -> list[Message]:
    shown = "\n\n".join(f"Part {number}:\n{text}" for number, text in enumerate(answers, 1))
    return with_words(job.question.turns, _COMBINE.format(count=len(answers), answers=shown, words=job.words))


def _added(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Token counts and seconds of all requests together."""
    names = dict.fromkeys(name for known in figures for name in known)
    return {name: round(sum(known.get(name, 0) for known in figures), 3) for name in names}
