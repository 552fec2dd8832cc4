"""Copies of a store as it was before a newer version changed its schema: kept for a while, beside it."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

# A version that is to be left again is left soon; what the copy holds is not kept longer than a batch.
KEPT_DAYS = 30
_SECONDS_PER_DAY = 86_400
_ENDING = re.compile(r"\.version-\d+(\.part)?$")


def back_up(path: str, version: int) -> None:
    """Copy the store, readable by its user only.

    Raises:
        sqlite3.Error: It cannot be read, or the copy cannot be written.
        OSError: The copy cannot be created.
    """
    target = f"{path}.version-{version}"
    part = f"{target}.part"
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def backups(path: Path) -> list[Path]:
    """The copies of a store."""
    return [file for file in path.parent.glob(f"{path.name}.version-*") if _ENDING.search(file.name)]


def drop_old_backups(path: Path) -> None:
    """Remove the copies that are older than a month."""
    with suppress(OSError):
        for file in backups(path):
            if file.stat().st_mtime < time.time() - KEPT_DAYS * _SECONDS_PER_DAY:
                file.unlink()
