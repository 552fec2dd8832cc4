"""From a query to the nearest places: choose, read, cut, embed what is new, search."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument, OllamaMCPError, Unsupported
from ollama_mcp.formats.names import parse_name
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.hosts.cards import capabilities_of, default_options
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.cloud import keep_home
from ollama_mcp.work.rank.corpus import Corpus, Place
from ollama_mcp.work.rank.embedding import Embedder
from ollama_mcp.work.rank.prefixes import prefixes_of
from ollama_mcp.work.rank.searching import check_numpy, nearest
from ollama_mcp.work.rank.vectors import BYTES_OF_NUMBER, KEPT_BYTES, Kept, Vectors

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard
    from ollama_mcp.store import Store
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.readings import Reading

EXCERPT_CHARS = 160
_RECEIPTS = 3
# What most embedding models take at least; for a model whose card does not say.
_USUAL_WINDOW = 512

# By store, so that they live as long as a server and no other server finds them.
_kept: WeakKeyDictionary[Store, Kept] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Hit:
    """A place and how near it is: the cosine, 1 is the same meaning; `excerpt` is how the text there begins."""

    score: float
    place: Place
    excerpt: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """The nearest places, and what was done for them.

    Args:
        model: The model.
        hits: The nearest first.
        passages: Passages that were searched.
        embedded: Passages that were embedded for it; the vectors of the others were kept from before.
        notes: What should be known.
    """

    model: str
    hits: list[Hit]
    passages: int
    embedded: int
    notes: list[str]


async def rank(
    call: CallContext,
    query: str,
    *,
    files: Sequence[str] = (),
    texts: Sequence[str] = (),
    count: int = 10,
    model: str = "",
) -> Ranking:
    """Find what is nearest to a query.

    Args:
        call: The context of the call.
        query: What is looked for.
        files: Paths, globs and what else `ollama_mcp.work.files` takes.
        texts: Texts, beside the files.
        count: How many places; at most limits.listed.
        model: The embedding model, or "".

    Raises:
        OllamaMCPError: There is nothing to search or too much, the model cannot embed, or the host fails.
    """
    _check_arguments(query, files, texts, count)
    chosen = await choose(call, model, "embed")
    card = await call.hosts.card(chosen.model)
    _check_model(chosen.model, card)
    if files:
        await keep_home(call, chosen.model, "cloud_files")
    reading = await _read(call, files, can_do_without=bool(texts))
    prefixes = prefixes_of(chosen.model, card)
    corpus = Corpus(prefixes.passage, window=_window(call, card), most=call.settings.limits.passages)
    space = await _space(call, chosen.model)
    async with call.progress.phase(f"searching {len(reading.documents) + len(texts):,} texts with {chosen.model}"):
        key = await asyncio.to_thread(_fill, corpus, reading, texts, space)
        embedder = Embedder(call, chosen.model, space)
        wanted = await embedder.query(prefixes.query + query.strip())
        vectors = await _vectors(call, embedder, corpus, key, len(wanted) // BYTES_OF_NUMBER)
        most = call.settings.limits.listed
        found = await asyncio.to_thread(nearest, vectors, wanted, corpus, min(count, most))
    hits = [Hit(score, place, _excerpt(corpus.texts[hashed])) for score, place, hashed in found]
    notes = [*([chosen.note] if chosen.note else []), *_receipts(reading)]
    if count > most:
        notes.append(f"At most {most} places are listed (setting limits.listed).")
    return Ranking(chosen.model, hits, corpus.passages, embedder.embedded, notes)


def _check_arguments(query: str, files: Sequence[str], texts: Sequence[str], count: int) -> None:
    if not query.strip():
        raise InvalidArgument("The query is empty.", next_step="Say what to look for.")
    if not files and not texts:
        raise InvalidArgument("There is nothing to search.", next_step="Give files or texts.")
    if count < 1:
        raise InvalidArgument(f"k is {count}, so nothing would be found.", next_step="Give 1 or more.")


def _check_model(model: str, card: ModelCard) -> None:
    """Refuse a model that is not made for it.

    Servers before v0.30 embed with chat models too, and what comes of it finds next to nothing.
    """
    able = capabilities_of(card)
    if "completion" in able and "embedding" not in able:
        raise Unsupported(
            f"{model} is no embedding model; it has: {', '.join(able)}.",
            model=model,
            detail="does not support embeddings",
        )


async def _read(call: CallContext, files: Sequence[str], *, can_do_without: bool) -> Reading:
    from ollama_mcp.access import FolderNotAllowed
    from ollama_mcp.work.files import Reading, Unread, read_files

    if not files:
        return Reading()
    try:
        async with call.progress.phase(f"reading {len(files)} files"):
            reading = await read_files(call.access, files, call.settings)
    except OllamaMCPError as error:
        # A folder is a question for the user, who is asked by the error itself.
        if isinstance(error, FolderNotAllowed) or not can_do_without:
            raise
        return Reading(unread=[Unread(", ".join(files), f"[{error.kind}] {error.message}")])
    reading.unread.extend(Unread(path, "[invalid_argument] it is an image") for path in reading.images)
    return reading


def _window(call: CallContext, card: ModelCard) -> int:
    """The context in tokens: the model's own, or less where it or the settings say so."""
    asked: list[Any] = [
        card.context_length or _USUAL_WINDOW,
        {**default_options(card), **call.settings.defaults.options}.get("num_ctx"),
    ]
    return min(number for number in asked if isinstance(number, int) and number > 0)


async def _space(call: CallContext, model: str) -> str:
    """Where the vectors of a model are kept: another file behind the same name is another model."""
    if parse_name(model).is_cloud:
        return f"{parse_name(model).key} normalised"
    return f"{(await call.hosts.installed_model(model)).digest} normalised"


def _fill(corpus: Corpus, reading: Reading, texts: Sequence[str], space: str) -> bytes:
    corpus.fill(reading.documents, texts)
    check_numpy(len(corpus.texts))
    return corpus.key(space)


async def _vectors(call: CallContext, embedder: Embedder, corpus: Corpus, key: bytes, dimensions: int) -> Vectors:
    kept = _kept.setdefault(call.store, Kept(KEPT_BYTES))
    vectors = kept.get(key)
    if vectors is not None:
        await asyncio.to_thread(corpus.halve, vectors.halved)
        return vectors
    vectors = Vectors(dimensions)
    await embedder.fill(corpus, vectors)
    kept.put(key, vectors)
    return vectors


def _excerpt(text: str) -> str:
    line = " ".join(text[: 2 * EXCERPT_CHARS].split())
    return line if len(line) <= EXCERPT_CHARS else f"{line[: EXCERPT_CHARS - 1]}…"


def _receipts(reading: Reading) -> list[str]:
    """What was not read or only in part, and why: the first few, and the number of the others."""
    from ollama_mcp.work.readings import Reading as Part
    from ollama_mcp.work.readings import receipts

    lines = receipts(Part(unread=reading.unread[:_RECEIPTS]), estimate_tokens)
    rest = len(reading.unread) - _RECEIPTS
    lines += [f"not read: {rest:,} more"] if rest > 0 else []
    partly = [f"{quoted(read.path)}: {'; '.join(read.notes)}" for read in reading.documents if read.notes]
    rest = len(partly) - _RECEIPTS
    return [*lines, *partly[:_RECEIPTS], *([f"Like this: {rest:,} more files."] if rest > 0 else [])]
