"""The embedding model of a search: the prefixes that it expects, and vectors for queries and passages."""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ollama_mcp.errors import ContextOverflow, TooLong, UnsupportedByVersion, UnusableVector
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.work.embedding import embed, embed_each, pack_vectors
from ollama_mcp.work.parallel import parallel_requests
from ollama_mcp.work.search.corpus import MIN_CHARS, passage_key
from ollama_mcp.work.search.vector_index import BYTES_PER_NUMBER, load_stored

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.model_watch import ModelWatch
    from ollama_mcp.work.search.corpus import Corpus
    from ollama_mcp.work.search.vector_index import VectorIndex


class Prefixes(NamedTuple):
    """What the model expects before a query, and before a passage."""

    query: str = ""
    passage: str = ""


# Models are trained with these words and find noticeably worse without them; Ollama adds none. Source: the models' own
# cards on Hugging Face. Models that are not listed take none, such as all-minilm, bge-m3, granite-embedding and
# paraphrase-multilingual.
_SENTENCE = Prefixes("Represent this sentence for searching relevant passages: ")
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"

# The first pattern that matches counts, so specific names come before general ones.
_FAMILIES = tuple(
    (re.compile(pattern), prefixes)
    for pattern, prefixes in (
        (r"nomic-embed-text|nomic-bert", Prefixes("search_query: ", "search_document: ")),
        (r"embedding-?gemma", Prefixes("task: search result | query: ", "title: none | text: ")),
        (r"qwen3-embedding", Prefixes(f"{_INSTRUCT}Query:")),
        (r"mxbai-embed-large", _SENTENCE),
        (r"snowflake-arctic-embed(2|.*v2)", Prefixes("query: ")),
        (r"snowflake-arctic-embed", _SENTENCE),
        (r"bge-(small|base|large)-zh", Prefixes("为这个句子生成表示以用于检索相关文章\uff1a")),
        (r"bge-(small|base|large)", _SENTENCE),
        (r"e5-mistral|e5-.*instruct|gte-qwen2", Prefixes(f"{_INSTRUCT}Query: ")),
        (r"(^|\W)(multilingual-)?e5-(small|base|large)", Prefixes("query: ", "passage: ")),
    )
)
_ROUNDING = 0.01
# What a model file says about itself, for models with a name of the user's own.
_NAME_FIELDS = ("general.basename", "general.name", "general.architecture")


def prefixes_of(model: str, card: ModelCard) -> Prefixes:
    """Return the prefixes of a model, recognised by its name or by what its file says about itself."""
    for name in (model, *(str(card.model_info.get(key) or "") for key in _NAME_FIELDS)):
        plain = re.sub(r"[\s_]", "-", name.lower())
        for pattern, prefixes in _FAMILIES:
            if pattern.search(plain):
                return prefixes
    return Prefixes()


class Embedder:
    """Embeds with one model, several requests at a time; vectors go to the store once it is known to be their model.

    Args:
        call: The context of the call.
        model: The model.
        space: The space of the store that its vectors belong to.
        watch: Tells whether it is still the model of that space.

    Attributes:
        embedded: Number of passages that the model was asked for.
    """

    def __init__(self, call: CallContext, model: str, space: str, watch: ModelWatch) -> None:
        self._call, self._model, self._space, self._watch = call, model, space, watch
        self._unkept: list[tuple[bytes, bytes]] = []
        self._truncate: bool | None = False
        self._total, self._started = 0, 0.0
        self._failure: UnusableVector | None = None
        self.embedded = 0

    async def embed_query(self, text: str) -> bytes:
        """Return the vector of a query, prefix included; it is stored like any other.

        Raises:
            OllamaMCPError: It is too long, or the host or the model fails.
        """
        key = passage_key(text)
        stored = (await self._call.store.embeddings.get(self._space, [key])).get(key)
        # An empty vector marks a text that was found too long as a passage.
        if stored and _is_unit(stored):
            return stored
        if stored:
            await self._call.store.embeddings.drop(self._space, [key])
        try:
            (vector,) = await self._request([text])
        except ContextOverflow as error:
            raise TooLong(f"The query is too long for {self._model}.", next_step="Give a shorter one.") from error
        except UnusableVector as error:
            error.next_step = "This is about the query: word it differently, or use another embedding model."
            raise
        self._unkept.append((key, vector))
        return vector

    async def keep(self) -> None:
        """Store what is not stored yet, if the model is still the one of the space.

        Raises:
            ModelReplaced: It is another one.
        """
        unkept, self._unkept = self._unkept, []
        if unkept and await self._watch.check():
            await self._call.store.embeddings.put(self._space, unkept)

    async def embed_corpus(self, corpus: Corpus, into: VectorIndex) -> None:
        """Fill an index with the vectors of a corpus; passages that are too long for the model are halved.

        Raises:
            OllamaMCPError: The host or the model fails; vectors that arrived before are kept. Or it was replaced.
        """
        self._started = time.monotonic()
        missing = await load_stored(self._call.store.embeddings, self._space, corpus, list(corpus.places), into)
        try:
            while missing:
                self._total = self.embedded + len(missing)
                too_long = await self._embed(corpus, missing, into)
                into.halved += too_long
                halves = await asyncio.to_thread(corpus.halve, too_long)
                missing = await load_stored(self._call.store.embeddings, self._space, corpus, halves, into)
        finally:
            await self.keep()
        # Without any vector there is nothing to search: then it is the model that cannot be used.
        if self._failure is not None and not into.rows:
            raise self._failure

    async def _embed(self, corpus: Corpus, keys: Sequence[bytes], into: VectorIndex) -> list[bytes]:
        """Embed passages; return the keys of those that are too long, in their order."""
        size = self._call.settings.limits.embed_chunk
        # One iterator for all workers: each takes the next chunk when it is free.
        chunks = iter([keys[start : start + size] for start in range(0, len(keys), size)])
        too_long: set[bytes] = set()

        async def work() -> None:
            for chunk in chunks:
                too_long.update(await self._embed_chunk(corpus, chunk, into))

        parallel = await parallel_requests(self._call, self._model)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(parallel):
                    workers.create_task(work())
        except BaseExceptionGroup as failed:
            # The first is the cause; the others were cancelled by the group.
            raise failed.exceptions[0] from None
        return [key for key in keys if key in too_long]

    async def _embed_chunk(self, corpus: Corpus, keys: Sequence[bytes], into: VectorIndex) -> list[bytes]:
        """Embed passages in one request, or in several if one of them fails; return those that are too long."""
        by_text = {corpus.embedding_text(key): key for key in keys}

        async def request(texts: Sequence[str]) -> list[bytes]:
            return await self._request(texts, [text for text in texts if corpus.is_from_file(by_text[text])])

        too_long: list[bytes] = []
        usable: list[tuple[bytes, bytes]] = []
        for key, vector in zip(keys, await embed_each(list(by_text), request), strict=True):
            if isinstance(vector, bytes):
                usable.append((key, vector))
                into.add(key, vector)
            elif isinstance(vector, UnusableVector):
                self._failure = vector
                into.left_out.append(key)
            elif len(corpus.texts[key]) <= MIN_CHARS:
                raise vector
            else:
                too_long.append(key)
        # Those that are too long are remembered as such, so that the next call does not ask again.
        self._unkept += [*usable, *((key, b"") for key in too_long)]
        if self._watch.is_due(len(keys)):
            await self.keep()
        self.embedded += len(usable)
        await self._call.progress.update(self.embedded, self._progress_message, total=self._total)
        return too_long

    def _progress_message(self) -> str:
        rate = self.embedded / max(time.monotonic() - self._started, 1e-9)
        left = format_seconds((self._total - self.embedded) / rate)
        return f"embedded {self.embedded:,} of {self._total:,} passages, {rate:.3g}/s, {left} left"

    async def _request(self, texts: Sequence[str], file_texts: Sequence[str] = ()) -> list[bytes]:
        try:
            answer = await embed(self._call, self._model, texts, truncate=self._truncate, file_texts=file_texts)
        except UnsupportedByVersion:
            # Before v0.2.6 Ollama had no `truncate` and always cut silently.
            self._truncate = None
            answer = await embed(self._call, self._model, texts, truncate=self._truncate, file_texts=file_texts)
        return await asyncio.to_thread(pack_vectors, answer.embeddings, self._model, unit=True)


def _is_unit(vector: bytes) -> bool:
    """Whether a vector that was stored is of length one, as it was; else it is broken."""
    if len(vector) % BYTES_PER_NUMBER:
        return False
    return abs(sum(number * number for (number,) in struct.iter_unpack("<f", vector)) - 1) < _ROUNDING
