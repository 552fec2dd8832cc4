"""What was learnt of models here: how far the estimate of tokens is off, and whether they fit the GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.store.database import transaction
from ollama_mcp.store.write_behind import WriteBehind

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ollama_mcp.store.database import Database

LEAST_ESTIMATE = 50
LOWEST_RATIO, HIGHEST_RATIO = 0.2, 5.0
# From the 10th sample on each new one weighs a tenth: models do not change, the texts given to them do.
_LEAST_WEIGHT = 0.1
# How far a sample counts once there are a few: one odd answer must not move what many have said.
_SETTLED, _LARGEST_STEP = 4, 1.5

_READ = "SELECT digest, ratio, samples, on_gpu FROM models"
_WRITE = """INSERT INTO models (digest, ratio, samples, on_gpu) VALUES (?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET
        ratio = coalesce(excluded.ratio, ratio), samples = max(excluded.samples, samples),
        on_gpu = coalesce(excluded.on_gpu, on_gpu)"""

_Row = tuple[str, float | None, int, int | None]


@dataclass(slots=True)
class _Note:
    ratio: float | None = None
    samples: int = 0
    on_gpu: bool | None = None


class ModelNotes:
    """Notes by a model's digest (SHA-256, hex). All are read once, and then had without waiting for the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._notes: dict[str, _Note] | None = None
        self._changed: set[str] = set()
        self._later = WriteBehind(self._write)

    async def token_ratio(self, digest: str) -> float | None:
        """How many real tokens one estimated token is; None where nothing was learnt yet."""
        note = (await self._known()).get(_plain(digest))
        return note.ratio if note is not None else None

    async def learn(self, digest: str, estimated: int, real: int) -> None:
        """Take note of an estimate and of what it was in truth, in tokens; short ones say too little and are left."""
        if estimated < LEAST_ESTIMATE or real <= 0:
            return
        note = (await self._known()).setdefault(_plain(digest), _Note())
        sample = min(max(real / estimated, LOWEST_RATIO), HIGHEST_RATIO)
        note.ratio = _moved(note.ratio, sample, note.samples)
        note.samples += 1
        self._change(digest)

    async def on_gpu(self, digest: str) -> bool | None:
        """Whether the model last ran wholly on the GPU; None where it was never seen."""
        note = (await self._known()).get(_plain(digest))
        return note.on_gpu if note is not None else None

    async def saw_on_gpu(self, digest: str, wholly: bool) -> None:
        """Take note of whether a running model is wholly in the GPU's memory."""
        note = (await self._known()).setdefault(_plain(digest), _Note())
        if note.on_gpu != wholly:
            note.on_gpu = wholly
            self._change(digest)

    async def known_on_gpu(self) -> dict[str, bool]:
        """All digests of which it is known whether the model runs wholly on the GPU."""
        return {digest: note.on_gpu for digest, note in (await self._known()).items() if note.on_gpu is not None}

    async def aclose(self) -> None:
        """Write what was learnt last."""
        await self._later.now()

    async def _known(self) -> dict[str, _Note]:
        if self._notes is None:
            notes = await self._database.try_to_run(_read, {})
            # Of two that read at once the first one's notes may hold something new by now.
            if self._notes is None:
                self._notes = notes
        return self._notes

    def _change(self, digest: str) -> None:
        self._changed.add(_plain(digest))
        self._later.soon()

    async def _write(self) -> None:
        if not self._changed or self._notes is None:
            return
        changed, self._changed = self._changed, set()
        rows: list[_Row] = []
        for digest in changed:
            note = self._notes[digest]
            rows.append((digest, note.ratio, note.samples, note.on_gpu))
        if not await self._database.try_to_run(lambda connection: _put(connection, rows), False):
            self._changed |= changed


def _plain(digest: str) -> str:
    return digest.removeprefix("sha256:").lower()


def _moved(ratio: float | None, sample: float, samples: int) -> float:
    """The moving average, by factors: twice as many and half as many tokens are equally far off."""
    if ratio is None:
        return sample
    if samples >= _SETTLED:
        sample = min(max(sample, ratio / _LARGEST_STEP), ratio * _LARGEST_STEP)
    return ratio * (sample / ratio) ** max(1 / (samples + 1), _LEAST_WEIGHT)


def _read(connection: Connection) -> dict[str, _Note]:
    rows: list[_Row] = connection.execute(_READ).fetchall()
    return {
        digest: _Note(ratio, samples, None if on_gpu is None else bool(on_gpu))
        for digest, ratio, samples, on_gpu in rows
    }


def _put(connection: Connection, rows: list[_Row]) -> bool:
    with transaction(connection):
        connection.executemany(_WRITE, rows)
    return True
