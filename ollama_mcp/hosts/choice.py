"""Which of several hosts a request goes to: the one that is expected to finish it first."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

# Hosts whose expected finish is this near to the best are equal.
_EQUAL = 1.25
DEFAULT_REQUEST_SECONDS = 5.0
_BYTES_PER_LOADED_SECOND = 1e9
_SHORTEST_LOAD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a request may expect of a host.

    Attributes:
        backlog: Seconds of work that are ahead of it there.
        request: Seconds that it takes itself.
        load: Seconds until the model is loaded; 0 where it is.
    """

    backlog: float
    request: float
    load: float

    @property
    def begin(self) -> float:
        """Seconds until its work is expected to begin."""
        return self.backlog + self.load

    @property
    def finish(self) -> float:
        """Seconds until it is expected to be done."""
        return self.begin + self.request


def choose(outlooks: Sequence[Outlook]) -> int:
    """The place of the host to use.

    Of those that are equal it is the one that begins sooner. Where more than two are, two of them are compared at
    random: many calls that choose at the same moment by the same figures would all choose the same.
    """
    best = min(outlook.finish for outlook in outlooks)
    equal = [place for place, outlook in enumerate(outlooks) if outlook.finish <= best * _EQUAL]
    first, *others = random.sample(equal, min(2, len(equal)))
    return min([first, *others], key=lambda place: (outlooks[place].begin, outlooks[place].finish))


def estimated_load(size: int) -> float:
    """Seconds to load a model of that many bytes, where nobody has seen it."""
    return max(_SHORTEST_LOAD_SECONDS, size / _BYTES_PER_LOADED_SECOND)
