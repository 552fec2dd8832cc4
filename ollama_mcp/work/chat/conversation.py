"""ollama_chat's whole task: read the files, ask, check the citations; in pieces where the text is too long."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, TooLong
from ollama_mcp.work.chat.run import send
from ollama_mcp.work.progress import counted

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.chat.request import Conversation
    from ollama_mcp.work.chat.result import Answer
    from ollama_mcp.work.files.documents import Document


async def answer(call: CallContext, conversation: Conversation) -> Answer:
    """Answer a conversation about files, with citations, or in pieces; any other only has to be sent.

    Raises:
        OllamaMCPError: No file could be read, a rule forbids it, the prompt does not fit, or the model failed.
    """
    if conversation.files:
        return await _answer_over_files(call, conversation)
    if conversation.cite:
        raise InvalidArgument("cite needs files to quote from.", next_step="Provide files, or leave cite out.")
    try:
        return await send(call, conversation)
    except TooLong:
        return await _answer_in_pieces(call, conversation, [])


async def _answer_over_files(call: CallContext, conversation: Conversation) -> Answer:
    """Read the files, put them before the words, ask, and note what was read."""
    from ollama_mcp.formats.tokens import estimate_tokens
    from ollama_mcp.work.choosing import choose
    from ollama_mcp.work.cloud_policy import check_cloud_policy
    from ollama_mcp.work.files.documents import receipts
    from ollama_mcp.work.files.reading import read_files

    async with call.progress.phase(f"reading {counted(len(conversation.files), 'file')}"):
        reading = await read_files(call.access, conversation.files, call.settings)
    documents = reading.documents
    has_images = bool(conversation.images or reading.images)
    # Chosen here already, since the cloud policy must hold before a byte of a file goes into a prompt.
    chosen = await choose(call, conversation.model, conversation.task, vision=has_images)
    await check_cloud_policy(call, chosen.model, "cloud_files")
    conversation = replace(
        conversation,
        model=chosen.model,
        images=[*conversation.images, *reading.images],
        file_tokens=sum(estimate_tokens(document.text) for document in documents),
    )
    if conversation.cite and not documents:
        raise InvalidArgument("cite needs files to quote from.", next_step="Provide files, or leave cite out.")
    try:
        answer = await _send_documents(call, conversation, documents)
    except TooLong:
        if not conversation.split:
            raise
        answer = await _answer_in_pieces(call, conversation, documents)
    answer.notes = [*([chosen.note] if chosen.note else []), *answer.notes, *receipts(reading, estimate_tokens)]
    if not answer.sources:
        answer.sources = [{"path": read.path, "lines": f"{read.first_line}-{read.last_line}"} for read in documents]
    return answer


async def _send_documents(call: CallContext, conversation: Conversation, documents: list[Document]) -> Answer:
    """Ask with the documents in the prompt; with `cite`, look each quote up in them."""
    from ollama_mcp.work.chat import citations
    from ollama_mcp.work.files.documents import prompt_block

    # The files stand before the words: Ollama reads a prompt that begins alike from its cache.
    parts = [prompt_block(document, numbered=conversation.cite) for document in documents]
    if not conversation.cite:
        text = "\n\n".join([*parts, conversation.last_user_message.content])
        return await send(call, conversation.with_user_text(text))
    text = "\n\n".join([*parts, citations.INSTRUCTION, conversation.last_user_message.content])
    asked = replace(
        conversation.with_user_text(text),
        format=citations.quote_schema(conversation.format),
        quote_tokens=citations.QUOTE_TOKENS,
    )
    answer = await send(call, asked)
    typed = conversation.format is not None
    return await asyncio.to_thread(citations.check_answer, answer, documents, typed=typed)


async def _answer_in_pieces(call: CallContext, conversation: Conversation, documents: list[Document]) -> Answer:
    from ollama_mcp.work.chat.splitting import answer_in_pieces

    return await answer_in_pieces(call, conversation, documents)
