"""A search from query to places: read the files, search by words and by meaning, make one order of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import DiskError, InvalidArgument, ModelNotFound
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.formats.words import identifier_share
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.files import ReadResult, UnreadFile, read_files, read_optional_files, receipts
from ollama_mcp.work.files.reading import ReadLimits
from ollama_mcp.work.progress import counted
from ollama_mcp.work.search.corpus import Corpus, Place
from ollama_mcp.work.search.duplicates import fold
from ollama_mcp.work.search.excerpts import chars_for, excerpt_of
from ollama_mcp.work.search.fusion import MEANING, WORDS, Found, best_places, fuse
from ollama_mcp.work.search.judging import MAX_JUDGED, judge
from ollama_mcp.work.search.known_files import FilesChanged, KnownFiles
from ollama_mcp.work.search.meaning import (
    DEFAULT_CONTEXT_LENGTH,
    EmbeddingModel,
    Nearest,
    embedding_model,
    search_meaning,
)
from ollama_mcp.work.search.words import prepare_words, search_words

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext

_MAX_RECEIPTS = 3
# Of a search whose files change meanwhile.
_ATTEMPTS = 3
# Of each search, what the fusion sees: a place far down in both is not what was asked for.
_DEPTH = 100
# How much words count beside meaning, by the share of names among them. A name is what it is: what holds it goes
# before what only resembles it. Measured with `bench/search.py`.
_WORDS_WEIGHT, _WITH_NAMES, _NAMES_ALONE = 1.0, 3.0, 20.0

SearchMode = Literal["auto", "words", "meaning"]


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """A place that was found.

    Args:
        score: In one call comparable: of both searches from 0 to 1 by rank, of words BM25, of meaning the cosine.
        place: Where it is.
        section: The headings above it, or the definition that it is in; "" where there is none.
        excerpt: The part of it with the most words of the query, on one line.
        matched: The words of the query as they stand in the excerpt.
        by: What found it: "words", "meaning", or both; and "judged", whose score is the probability that it fits.
        copies: How many more places were found with nearly the same text, which are not listed.
    """

    score: float
    place: Place
    section: str
    excerpt: str
    matched: list[str]
    by: str
    copies: int = 0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The outcome of a search.

    Args:
        model: The embedding model; "" where words alone were searched.
        places: The best first.
        passages: Number of passages that were searched.
        embedded: Number of those that were embedded now; the vectors of the others were stored before.
        notes: What the agent should know.
    """

    model: str
    places: list[FoundPlace]
    passages: int
    embedded: int
    notes: list[str]


async def search(
    call: CallContext,
    query: str,
    *,
    files: Sequence[str] = (),
    texts: Sequence[str] = (),
    count: int = 10,
    model: str = "",
    mode: SearchMode = "auto",
    rerank: bool = False,
) -> SearchResult:
    """Find the places in files and texts that a query is about.

    Args:
        call: The context of the call.
        query: What to look for.
        files: Paths, globs and so on, as `read_files` takes them.
        texts: Texts, in addition to the files.
        count: Number of places; at most limits.listed.
        model: The embedding model, or "".
        mode: words (any of the query's), meaning (nearest vectors), or auto: both, or words where no model can embed.
        rerank: Whether a model judges the best places one by one.

    Raises:
        OllamaMCPError: There is nothing to search or too much, the model cannot embed, or the host fails.
    """
    _check_arguments(query, files, texts)
    notes: list[str] = []
    chosen = await _embedding_model(call, model, mode, notes)
    if files and chosen is not None:
        await check_cloud_policy(call, chosen.name, "cloud_files")
    for _ in range(_ATTEMPTS):
        with suppress(FilesChanged):
            return await _search_files(call, query, files, texts, count, chosen, mode, notes, rerank=rerank)
    raise DiskError("The files changed while they were searched.", next_step="Search again when they are written.")


async def _search_files(
    call: CallContext,
    query: str,
    files: Sequence[str],
    texts: Sequence[str],
    count: int,
    chosen: EmbeddingModel | None,
    mode: SearchMode,
    about_model: Sequence[str],
    *,
    rerank: bool,
) -> SearchResult:
    corpus = Corpus(
        chosen.prefixes.passage if chosen else "",
        context_length=chosen.context_length if chosen else DEFAULT_CONTEXT_LENGTH,
        max_passages=call.settings.limits.passages,
    )
    known, notes = KnownFiles(call, corpus), list(about_model)
    result = await _read_files(call, files, known, required=not texts)
    sources = counted(len(result.documents) + len(texts), "text")
    async with call.progress.phase(f"searching {sources} with {chosen.name if chosen else 'words'}"):
        await asyncio.to_thread(known.add)
        await asyncio.to_thread(corpus.add, known.new_documents(result), texts)
        listed = min(count, call.settings.limits.listed)
        found, rarity, embedded, about = await _search(call, chosen, query, corpus, mode, max(listed, _DEPTH))
        if rerank:
            found = [*found, *_others(corpus, found)]
        await corpus.load(one.key for one in found)
        found = await asyncio.to_thread(fold, found, corpus, max(listed, MAX_JUDGED) if rerank else listed)
        if rerank and found:
            found, judged = await judge(call, query, found, corpus)
            about += judged
    await known.remember(result)
    places = await asyncio.to_thread(_found_places, corpus, found[:listed], rarity)
    notes += [*_unread_notes(result), *about]
    if count > listed:
        notes.append(f"At most {listed} places are listed (setting limits.listed).")
    return SearchResult(chosen.name if chosen else "", places, corpus.passages, embedded, notes)


def _others(corpus: Corpus, found: Sequence[Found]) -> list[Found]:
    """The places that no search found: of a few texts, all are judged."""
    if corpus.passages > MAX_JUDGED:
        return []
    known = {one.place for one in found}
    return [one for one in best_places(corpus, ((0.0, key) for key in corpus.places), "") if one.place not in known]


async def _embedding_model(call: CallContext, name: str, mode: SearchMode, notes: list[str]) -> EmbeddingModel | None:
    """The model to search by meaning; None where words alone are searched, and says in `notes` why."""
    if mode == "words":
        return None
    try:
        chosen = await embedding_model(call, name)
    except ModelNotFound as error:
        if mode == "meaning" or name or call.settings.defaults.embed:
            raise
        notes.append(f"Words alone were searched, since no model here can embed. {error.next_step}")
        return None
    notes += [chosen.note] if chosen.note else []
    return chosen


async def _search(
    call: CallContext, model: EmbeddingModel | None, query: str, corpus: Corpus, mode: SearchMode, count: int
) -> tuple[list[Found], dict[str, float], int, list[str]]:
    """The places in their order, how rare each word is, how many passages were embedded, and what should be known."""
    # By meaning first: passages that are too long for the model are halved, and these are the places then.
    near = await _search_meaning(call, model, query, corpus, mode, count) if model is not None else None
    if near is not None and mode == "meaning":
        return near.found, {}, near.embedded, near.notes
    by_words, rarity = await search_words(call, query, corpus, count)
    if near is None:
        return by_words, rarity, 0, [] if by_words else ["No passage holds any word of the query."]
    found = fuse([by_words, near.found], {WORDS: _weight(query), MEANING: 1.0})
    return found, rarity, near.embedded, near.notes


async def _search_meaning(
    call: CallContext, model: EmbeddingModel, query: str, corpus: Corpus, mode: SearchMode, count: int
) -> Nearest:
    if mode == "meaning":
        return await search_meaning(call, model, query, corpus, count)
    try:
        async with asyncio.TaskGroup() as group:
            # While the host embeds there is time for the words.
            group.create_task(prepare_words(call, corpus))
            near = group.create_task(search_meaning(call, model, query, corpus, count))
    except BaseExceptionGroup as failed:
        # The first is the cause; the other was cancelled by the group.
        raise failed.exceptions[0] from None
    return near.result()


def _weight(query: str) -> float:
    share = identifier_share(query)
    return _NAMES_ALONE if share == 1 else _WITH_NAMES if share else _WORDS_WEIGHT


def _check_arguments(query: str, files: Sequence[str], texts: Sequence[str]) -> None:
    if not query.strip():
        raise InvalidArgument("The query is empty.", next_step="Say what to look for.")
    if not files and not texts:
        raise InvalidArgument("There is nothing to search.", next_step="Give files or texts.")


async def _read_files(call: CallContext, files: Sequence[str], known: KnownFiles, *, required: bool) -> ReadResult:
    if not files:
        return ReadResult()
    await known.drop_gone()
    names = ("limits.search_files", "limits.search_bytes")
    limits = ReadLimits(call.settings.limits.search_files, call.settings.limits.search_bytes, names)
    read = read_files if required else read_optional_files
    async with call.progress.phase(f"reading {counted(len(files), 'file')}"):
        result = await read(call.access, files, call.settings, limits=limits, settle=known.settle)
    result.unread.extend(UnreadFile(path, "[invalid_argument] an image; Ollama embeds text") for path in result.images)
    return result


def _found_places(corpus: Corpus, found: Sequence[Found], rarity: Mapping[str, float]) -> list[FoundPlace]:
    chars = chars_for(len(found))
    excerpts = [excerpt_of(corpus.texts[one.key], rarity, chars) for one in found]
    return [
        FoundPlace(one.score, one.place, _section(corpus, one), excerpt.text, excerpt.matched, one.by, one.copies)
        for one, excerpt in zip(found, excerpts, strict=True)
    ]


def _section(corpus: Corpus, found: Found) -> str:
    # The columns of a table would stand at each of its rows.
    return "" if found.place.row else corpus.headings.get(found.key, "")


def _unread_notes(result: ReadResult) -> list[str]:
    """Notes on files that were not read, or only in part, with the reason: the first few, and how many more."""
    lines = receipts(ReadResult(unread=result.unread[:_MAX_RECEIPTS]), estimate_tokens)
    rest = len(result.unread) - _MAX_RECEIPTS
    lines += [f"not read: {rest:,} more"] if rest > 0 else []
    partial = [f"{quoted(read.path)}: {'; '.join(read.notes)}" for read in result.documents if read.notes]
    rest = len(partial) - _MAX_RECEIPTS
    return [*lines, *partial[:_MAX_RECEIPTS], *([f"Read only in part: {rest:,} more files."] if rest > 0 else [])]
