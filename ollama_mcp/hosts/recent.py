"""A dict that forgets, for what is kept by a name that a client chooses."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class RecentDict(dict[K, V]):
    """Keeps the entries that were set last; set them by `d[key] = value` only.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        # A dict keeps the order of insertion.
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > self._most:
            del self[next(iter(self))]
