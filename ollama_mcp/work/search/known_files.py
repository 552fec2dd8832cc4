"""Files that were searched before and have not changed since: their passages are known without reading them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ollama_mcp import clock
from ollama_mcp.access import Purpose
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.media import NotText
from ollama_mcp.store.searched_files import Entry, SearchedFile
from ollama_mcp.work.files import Document, ReadResult, read_files
from ollama_mcp.work.files.line_ranges import WHOLE_FILE
from ollama_mcp.work.files.reading import ImageFile

if TYPE_CHECKING:
    from ollama_mcp.store import Store
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.files.specs import FileTarget
    from ollama_mcp.work.search.corpus import Corpus

# The texts of the last files in memory, so that a place that is found again is shown without reading its file.
_TEXT_CHARS = 64_000_000
_SECONDS_PER_DAY = 86_400


class FilesChanged(Exception):
    """Files changed while they were searched, so that passages of theirs are gone."""


class _Texts:
    """The last documents, by path and stamp."""

    def __init__(self) -> None:
        self._documents: OrderedDict[tuple[str, str], Document] = OrderedDict()
        self._chars = 0
        self.dropped_on = 0

    def get(self, path: str, stamp: str) -> Document | None:
        document = self._documents.get((path, stamp))
        if document is not None:
            self._documents.move_to_end((path, stamp))
        return document

    def put(self, stamp: str, document: Document) -> None:
        key = document.path, stamp
        if key in self._documents or len(document.text) > _TEXT_CHARS:
            return
        self._documents[key] = document
        self._chars += len(document.text)
        while self._chars > _TEXT_CHARS:
            _, oldest = self._documents.popitem(last=False)
            self._chars -= len(oldest.text)


_texts: WeakKeyDictionary[Store, _Texts] = WeakKeyDictionary()


class KnownFiles:
    """What is known of the files of one call.

    Args:
        call: The context of the call.
        corpus: Where their passages go.
    """

    def __init__(self, call: CallContext, corpus: Corpus) -> None:
        self._call, self._corpus = call, corpus
        self._cut = hashlib.blake2b(corpus.cut.encode(), digest_size=8).hexdigest()
        self._texts = _texts.setdefault(call.store, _Texts())
        self._stamps: dict[str, str] = {}
        self._known: dict[str, SearchedFile] = {}
        corpus.load = self.load

    async def settle(self, targets: Sequence[FileTarget]) -> Mapping[str, list[Document | OllamaMCPError]]:
        """What reading would give for the files that are known, by path; their texts are left empty."""
        whole = {
            one.path: one.is_from_pattern
            for one in targets
            if one.ranges == [WHOLE_FILE] and one.purpose is Purpose.TEXT and not one.is_url
        }
        self._stamps = await asyncio.to_thread(self._call.access.stamps, list(whole), Purpose.TEXT)
        known = await self._call.store.searched_files.get(self._cut, list(self._stamps))
        # Why a file that the call names is no text is said by reading it.
        self._known = {
            path: file
            for path, file in known.items()
            if file.stamp == self._stamps[path] and (file.kind == "text" or whole[path])
        }
        return {path: [_outcome(path, file)] for path, file in self._known.items()}

    def add(self) -> None:
        """Add the passages of the known files to the corpus; blocking, call it in a thread."""
        for path, file in self._known.items():
            self._corpus.add_known(path, file.entries)

    def new_documents(self, result: ReadResult) -> list[Document]:
        """The documents that were really read."""
        new = [document for document in result.documents if document.path not in self._known]
        for document in new:
            if document.path in self._stamps:
                self._texts.put(self._stamps[document.path], document)
        return new

    async def load(self, keys: Iterable[bytes]) -> None:
        """Put the texts of passages that are only known into the corpus.

        Raises:
            FilesChanged: They are no longer in their files.
        """
        corpus = self._corpus
        # A passage may be replaced by shorter ones meanwhile; then it is in neither.
        absent = [key for key in keys if key not in corpus.texts]
        paths = {places[0].path for key in absent if (places := corpus.places.get(key))}
        if not paths:
            return
        cached = {path: self._texts.get(path, self._stamps[path]) for path in paths}
        documents = [document for document in cached.values() if document is not None]
        for path in (path for path, document in cached.items() if document is None):
            try:
                result = await read_files(self._call.access, [path], self._call.settings)
            except OllamaMCPError:
                continue
            documents += result.documents
            for document in result.documents:
                self._texts.put(self._stamps[path], document)
        await asyncio.to_thread(corpus.restore, documents)
        if any(key in corpus.places and key not in corpus.texts for key in absent):
            await self._call.store.searched_files.forget(paths)
            raise FilesChanged

    async def remember(self, result: ReadResult) -> None:
        """Keep what is known now of the files that were read."""
        entries: dict[str, list[Entry]] = {}
        for key, places in self._corpus.places.items():
            for place in places:
                if place.text_index < 0:
                    entry = key, place.first_line, place.last_line, place.row
                    entries.setdefault(place.path, []).append(entry)
        new: dict[str, SearchedFile] = {}
        for document in self.new_documents(result):
            # What a model found too long is cut in another way than the file would be again.
            if (stamp := self._stamps.get(document.path)) and document.path not in self._corpus.halved:
                found = tuple(entries.get(document.path, ()))
                new[document.path] = SearchedFile(stamp, "text", document.notes, found)
        for path, kind in result.others.items():
            if path not in self._known and (stamp := self._stamps.get(path)):
                new[path] = SearchedFile(stamp, kind)
        await self._call.store.searched_files.put(self._cut, new)

    async def drop_gone(self) -> None:
        """Drop what is kept of folders that are gone; looked for once a day."""
        today = int(clock.now()) // _SECONDS_PER_DAY
        if self._texts.dropped_on == today:
            return
        self._texts.dropped_on = today
        folders = await self._call.store.searched_files.folders()
        gone = await asyncio.to_thread(lambda: [folder for folder in folders if not os.path.isdir(folder)])
        if gone:
            await self._call.store.searched_files.drop_folders(gone)


def _outcome(path: str, file: SearchedFile) -> Document | OllamaMCPError:
    match file.kind:
        case "image":
            return ImageFile("It is an image.")
        case "other":
            return NotText("It is not text.")
        case _:
            return Document(path, "", 1, 0, 0, "", "text", file.notes)
