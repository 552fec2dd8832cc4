"""Splits a text that is too long for a model's context into pieces, asks about each, and combines the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument, OllamaMCPError, TooLong
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.chat import citations, context_window
from ollama_mcp.work.chat.result import CUT_AT_BUDGET
from ollama_mcp.work.chat.run import send
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.files.documents import Document, prompt_block
from ollama_mcp.work.files.passages import split_document
from ollama_mcp.work.model_watch import ModelWatch
from ollama_mcp.work.parallel import parallel_requests

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.chat.request import Conversation
    from ollama_mcp.work.chat.result import Answer

MOST_PIECES = 200
# What a piece may answer, in tokens; more would only have to be combined again.
_PIECE_ANSWER = 700
_SMALLEST_PIECE = 100
_SMALLEST_PART = 200
# Where a long message holds its request: mostly first or last.
_EDGE_CHARS = 600
_MESSAGE = "the message"
_LABEL_TOKENS = 8
_CUT = "cut because it grew too long; ask for less{files}."
_REPLACED = "The answer would rest on two models. Make the same call again."
_REMEDY = "Shorten the request, or name a model with a longer context."

_PIECE = (
    "You see part {number} of {count} of the material. Answer from this part alone, briefly, with the names, figures "
    "and places that it rests on; say 'nothing here' where the part has nothing of use.\n\n{words}"
)
_COMBINE = (
    "Below are {count} answers to one request, each from one part of the material, in its order. Make one answer of "
    "them; drop 'nothing here'; add nothing that they do not say.\n\n{answers}\n\nThe request: {words}"
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a conversation is processed in pieces.

    Args:
        conversation: What was asked.
        request: The words of the user's request, without the material.
        piece_tokens: The most tokens of a piece.
        answer_tokens: The most tokens of the answer to a piece.
        thinking_tokens: Tokens that a model needs beside, which cannot be kept from thinking.
    """

    conversation: Conversation
    request: str
    piece_tokens: int
    answer_tokens: int
    thinking_tokens: int
    quote_tokens: int


async def answer_in_pieces(call: CallContext, conversation: Conversation, documents: Sequence[Document]) -> Answer:
    """Answer a question whose material does not fit into the context.

    Args:
        call: The context of the call.
        conversation: The question; without files the user's last message is what is split.
        documents: What was read.

    Raises:
        TooLong: What cannot be split leaves no room, or there would be too many pieces.
        InvalidArgument: The question asks for what only one answer can give.
        OllamaMCPError: A piece failed twice; `partial` holds the answers so far.
    """
    if conversation.tools or conversation.images or conversation.audio:
        raise InvalidArgument(
            "too_long='split' works on text; tools, images and audio cannot be split.",
            next_step="Leave them out, or send less text with them.",
        )
    chosen = await choose(call, conversation.model, conversation.task)
    conversation = replace(conversation, model=chosen.model, remedy=_REMEDY)
    watch = await ModelWatch.begin(call, chosen.model, _REPLACED)
    plan, pieces = await _plan(call, conversation, documents)
    try:
        answers = await _answer_pieces(call, plan, pieces, watch)
    except TooLong:
        # The model's own count was larger than estimated, and is known now.
        plan, pieces = await _plan(call, conversation, documents)
        answers = await _answer_pieces(call, plan, pieces, watch)
    await watch.check()
    combined, steps = await _combine(call, plan, [found.text for found in answers])
    await watch.check()
    size = sum(estimate_tokens(part.text) for piece in pieces for part in piece) // len(pieces)
    note = f"Read in {len(pieces)} pieces of about {size:,} tokens; what spans pieces may be missed."
    files = ", or for fewer files at once" if len(documents) > 1 else ""
    piece_notes = _piece_notes(answers, "answers to pieces", files) + _piece_notes(
        steps, "steps that combined them", files
    )
    combined.notes = [*([chosen.note] if chosen.note else []), note, *piece_notes, *combined.notes]
    combined.usage = _total_usage([found.usage for found in (*answers, *steps, combined)])
    if conversation.cite:
        quotes = [citations.Citation(**source) for found in answers for source in found.sources]
        return citations.with_citations(combined, quotes)
    return combined


async def _plan(
    call: CallContext, conversation: Conversation, documents: Sequence[Document]
) -> tuple[_Plan, list[list[Document]]]:
    """The pieces, and what goes with each of them."""
    words = conversation.last_user_message.content
    if not documents:
        size = len(words.encode(errors="replace"))
        documents = [Document(_MESSAGE, words, 1, words.count("\n") + 1, size, "utf-8", "text")]
        words = (
            f"The request is part of a long message, mostly at its beginning or its end.\nIt begins: "
            f"{words[:_EDGE_CHARS]}\nIt ends: {words[-_EDGE_CHARS:]}"
        )
    largest = (conversation.options or {}).get("num_ctx") or await _largest(call, conversation.model)
    answer = _answer_tokens(conversation, largest)
    thinking = await _thinking_tokens(call, conversation, largest)
    quotes = min(citations.QUOTE_TOKENS, largest // 8) if conversation.cite else 0
    ratio = await context_window.token_ratio(call, conversation.model)
    margin = context_window.KNOWN_RATIO_MARGIN if ratio else context_window.UNKNOWN_RATIO_MARGIN
    others = sum(estimate_tokens(message.content) for message in conversation.with_user_text(words).messages)
    others += estimate_tokens(_PIECE) + (estimate_tokens(citations.INSTRUCTION) if conversation.cite else 0)
    room = (
        round((largest - answer - thinking - quotes - 2 * context_window.TEMPLATE_TOKENS) / (margin * (ratio or 1.0)))
        - others
    )
    if room < _SMALLEST_PIECE:
        raise TooLong(
            f"{conversation.model} takes {largest:,} tokens here, which leaves no room for pieces of the material "
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
    return _Plan(conversation, words, room, answer, thinking, quotes), pieces


def _answer_tokens(conversation: Conversation, largest: int) -> int:
    """What a piece may answer, without the thinking that nobody can keep a model from."""
    wanted = (conversation.options or {}).get("num_predict")
    most = min(_PIECE_ANSWER, largest // 4)
    return min(wanted, most) if isinstance(wanted, int) and wanted > 0 else most


async def _thinking_tokens(call: CallContext, conversation: Conversation, largest: int) -> int:
    """What a piece may think, where the model cannot be kept from it and the caller left the budget open."""
    if conversation.think is False or "num_predict" in (conversation.options or {}):
        return 0
    if not parse_name(conversation.model).is_cloud:
        levels = await call.hosts.thinking_support(conversation.model)
        if not levels.supported or (conversation.think is None and levels.lowest is False):
            return 0
    return min(context_window.THINKING_TOKENS, largest // 4)


async def _largest(call: CallContext, model: str) -> int:
    if parse_name(model).is_cloud:
        return (await call.hosts.card(model)).context_length or call.settings.limits.num_ctx
    return await context_window.largest_context(call, model)


def _cut(documents: Sequence[Document], room: int) -> list[list[Document]]:
    """The material in pieces of at most `room` tokens; small files share a piece, no file is torn without need."""
    pieces: list[list[Document]] = []
    left = 0
    for document in documents:
        for part in _parts(document, room):
            tokens = estimate_tokens(prompt_block(part, numbered=True))
            if not pieces or tokens > left:
                pieces.append([])
                left = room
            pieces[-1].append(part)
            left -= tokens
    return pieces


def _parts(document: Document, room: int) -> list[Document]:
    tokens = estimate_tokens(prompt_block(document, numbered=True))
    if tokens <= room:
        return [document]
    # The block's own marks and line numbers count too, so the share is taken of the whole.
    chars = max(_SMALLEST_PART, round(0.85 * len(document.text) * room / tokens))
    parts = [
        replace(document, text=part.text, first_line=part.first_line, last_line=part.last_line)
        for part in split_document(document, chars=chars)
    ]
    if chars == _SMALLEST_PART:
        return parts
    # Where the text is denser than on average (other scripts, short lines) a part is still too large.
    return [smaller for part in parts for smaller in _parts(part, room)]


async def _answer_pieces(
    call: CallContext, plan: _Plan, pieces: Sequence[Sequence[Document]], watch: ModelWatch
) -> list[Answer]:
    """The answers to all pieces, in their order."""
    found: dict[int, Answer] = {}
    gate = asyncio.Semaphore(await parallel_requests(call, plan.conversation.model))
    small = await _piece_request(call, plan)

    async def one(number: int) -> None:
        async with gate:
            found[number] = await _answer_piece(call, small, plan.request, number, pieces)
            if watch.is_due(1):
                await watch.check()
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


async def _piece_request(call: CallContext, plan: _Plan) -> Conversation:
    """The question as a piece is asked it: a short answer in words, without thinking aloud where that can be had."""
    conversation = plan.conversation
    think = conversation.think
    if think is None and not parse_name(conversation.model).is_cloud:
        think = (await call.hosts.thinking_support(conversation.model)).lowest
    options = {**(conversation.options or {}), "num_predict": plan.answer_tokens + plan.thinking_tokens}
    form = citations.quote_schema(None) if plan.conversation.cite else None
    return replace(conversation, format=form, think=think, options=options, include=(), quote_tokens=plan.quote_tokens)


async def _answer_piece(
    call: CallContext, small: Conversation, words: str, number: int, pieces: Sequence[Sequence[Document]]
) -> Answer:
    """The answer to one piece; asked once more where it fails."""
    piece = pieces[number]
    parts = [prompt_block(document, numbered=small.cite) for document in piece]
    parts += [citations.INSTRUCTION] if small.cite else []
    parts.append(_PIECE.format(number=number + 1, count=len(pieces), words=words))
    asked = small.with_user_text("\n\n".join(parts))
    try:
        found = await send(call, asked, quiet=True)
    except OllamaMCPError:
        # A fault of the host often passes; the answers to the other pieces are worth a second try.
        found = await send(call, asked, quiet=True)
    if not small.cite:
        return found
    notes = found.notes
    found = await asyncio.to_thread(citations.check_answer, found, piece, typed=False)
    # The quotes of all pieces are told together in the end.
    return replace(found, notes=notes)


async def _combine(call: CallContext, plan: _Plan, answers: Sequence[str]) -> tuple[Answer, list[Answer]]:
    """One answer made of many, and the intermediate answers where they do not fit together at once."""
    steps: list[Answer] = []
    small = replace(await _piece_request(call, plan), cite=False, format=None)
    while len(groups := _group(answers, plan.piece_tokens)) > 1:
        joined: list[Answer] = []
        async with call.progress.phase(f"combining {len(answers)} answers"):
            for group in groups:
                joined.append(await send(call, _combination(small, plan, group), quiet=True))
                await call.progress.say(f"combined {len(joined)} of {len(groups)} groups of answers, then these")
        if len(joined) == len(answers):
            raise TooLong(
                f"The {len(answers)} answers to the pieces do not fit together into {plan.piece_tokens:,} tokens.",
                next_step="Ask for less, or raise limits.num_ctx.",
            )
        steps += joined
        answers = [found.text for found in joined]
    return await send(call, _combination(plan.conversation, plan, groups[0])), steps


def _piece_notes(answers: Sequence[Answer], what: str, files: str) -> list[str]:
    """The notes of pieces, each once with how often it came: a piece that was cut is missing from the whole."""
    cut = _CUT.format(files=files)
    counts = Counter(cut if note.startswith(CUT_AT_BUDGET) else note for found in answers for note in found.notes)
    return [f"{count} of {len(answers)} {what}: {note}" for note, count in counts.items()]


def _group(answers: Sequence[str], room: int) -> list[list[str]]:
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


def _combination(conversation: Conversation, plan: _Plan, answers: Sequence[str]) -> Conversation:
    shown = "\n\n".join(f"Part {number}:\n{text}" for number, text in enumerate(answers, 1))
    return conversation.with_user_text(_COMBINE.format(count=len(answers), answers=shown, words=plan.request))


def _total_usage(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Token counts and seconds of all requests together."""
    names = dict.fromkeys(name for known in figures for name in known)
    return {name: round(sum(known.get(name, 0) for known in figures), 3) for name in names}
