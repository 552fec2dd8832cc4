"""What was observed of models on this machine: the error of token estimates, and whether they fit the GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.store.writes import WriteBehind, transaction

if TYPE_CHECKING:
    from ollama_mcp.store.database import Database
    from ollama_mcp.store.sql import Connection

MIN_ESTIMATE = 50
MIN_RATIO, MAX_RATIO = 0.2, 5.0
# From the tenth sample on, each new one weighs a tenth: models do not change, but the texts given to them do.
_MIN_WEIGHT = 0.1
# After a few samples each new one counts only as this factor away, so that one outlier cannot outweigh the others.
_SETTLED_SAMPLES, _MAX_STEP = 4, 1.5

_READ = "SELECT digest, ratio, samples, on_gpu FROM models"
# Several servers write: a value that this one does not know must not erase another's.
_WRITE = """INSERT INTO models (digest, ratio, samples, on_gpu) VALUES (?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET
        ratio = coalesce(excluded.ratio, models.ratio),
        samples = CASE WHEN excluded.samples > models.samples THEN excluded.samples ELSE models.samples END,
        on_gpu = coalesce(excluded.on_gpu, models.on_gpu)"""

_Row = tuple[str, float | None, int, int | None]


@dataclass(slots=True)
class _Observations:
    ratio: float | None = None
    samples: int = 0
    on_gpu: bool | None = None


class ModelStats:
    """Observations by a model's digest (SHA-256, hex).

    All are read with the first use; afterwards no call waits for the disk.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._models: dict[str, _Observations] | None = None
        self._changed: set[str] = set()
        self._writer = WriteBehind(self._write)

    async def token_ratio(self, digest: str) -> float | None:
        """Return how many real tokens one estimated token stands for; None without a sample."""
        model = (await self._loaded()).get(_bare(digest))
        return model.ratio if model is not None else None

    async def record_token_estimate(self, digest: str, estimated: int, real: int) -> None:
        """Record an estimated and the real number of tokens; estimates below `MIN_ESTIMATE` say too little."""
        if estimated < MIN_ESTIMATE or real <= 0:
            return
        model = (await self._loaded()).setdefault(_bare(digest), _Observations())
        sample = min(max(real / estimated, MIN_RATIO), MAX_RATIO)
        model.ratio = _moving_average(model.ratio, sample, model.samples)
        model.samples += 1
        self._mark_changed(digest)

    async def on_gpu(self, digest: str) -> bool | None:
        """Return whether the model last ran entirely on the GPU; None if it was never seen running."""
        model = (await self._loaded()).get(_bare(digest))
        return model.on_gpu if model is not None else None

    async def record_gpu_placement(self, digest: str, wholly: bool) -> None:
        """Record whether a running model is entirely in the GPU's memory."""
        model = (await self._loaded()).setdefault(_bare(digest), _Observations())
        if model.on_gpu != wholly:
            model.on_gpu = wholly
            self._mark_changed(digest)

    async def gpu_placements(self) -> dict[str, bool]:
        """Return whether each model that was seen running was entirely on the GPU, by digest."""
        models = await self._loaded()
        return {digest: model.on_gpu for digest, model in models.items() if model.on_gpu is not None}

    async def aclose(self) -> None:
        """Write the last observations."""
        await self._writer.flush()

    async def _loaded(self) -> dict[str, _Observations]:
        if self._models is None:
            models = await self._database.run_or_default(_read, {})
            # Of two concurrent reads the first one's result may have been changed by now.
            if self._models is None:
                self._models = models
        return self._models

    def _mark_changed(self, digest: str) -> None:
        self._changed.add(_bare(digest))
        self._writer.schedule()

    async def _write(self) -> None:
        if not self._changed or self._models is None:
            return
        changed, self._changed = self._changed, set()
        rows: list[_Row] = []
        # In one order everywhere, so that two processes never wait for each other's rows.
        for digest in sorted(changed):
            model = self._models[digest]
            rows.append((digest, model.ratio, model.samples, model.on_gpu))
        if not await self._database.run_or_default(lambda connection: _put(connection, rows), False):
            self._changed |= changed


def _bare(digest: str) -> str:
    # With and without the name of its hash, a digest means the same model.
    return digest.removeprefix("sha256:").lower()


def _moving_average(ratio: float | None, sample: float, samples: int) -> float:
    """Return the geometric moving average: twice as many and half as many tokens are equally far off."""
    if ratio is None:
        return sample
    if samples >= _SETTLED_SAMPLES:
        sample = min(max(sample, ratio / _MAX_STEP), ratio * _MAX_STEP)
    return ratio * (sample / ratio) ** max(1 / (samples + 1), _MIN_WEIGHT)


def _read(connection: Connection) -> dict[str, _Observations]:
    rows: list[_Row] = connection.execute(_READ).fetchall()
    return {
        digest: _Observations(ratio, samples, None if on_gpu is None else bool(on_gpu))
        for digest, ratio, samples, on_gpu in rows
    }


def _put(connection: Connection, rows: list[_Row]) -> bool:
    with transaction(connection):
        connection.executemany(_WRITE, rows)
    return True
