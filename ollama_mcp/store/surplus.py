"""What has to go where more is kept than may be: of whoever has most, so that nobody's goes for what others keep."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def surplus(kept: Sequence[tuple[Hashable, int]], count: int, size: int) -> list[int]:
    """The places of what goes: the oldest of whoever has most, by number or by size; the newest of all stays.

    Args:
        kept: Whose each one is and its size, the newest first.
        count: How many may stay.
        size: The size that these may have together.
    """
    places: dict[Hashable, list[int]] = {}
    sizes: dict[Hashable, int] = {}
    for place, (owner, one) in enumerate(kept):
        places.setdefault(owner, []).append(place)
        sizes[owner] = sizes.get(owner, 0) + one
    gone: list[int] = []
    number, whole = len(kept), sum(sizes.values())
    while number > count or whole > size:
        able = [owner for owner, own in places.items() if own and own[-1]]
        if not able:
            break
        most = {owner: len(places[owner]) if number > count else sizes[owner] for owner in able}
        owner = max(able, key=lambda one: (most[one], places[one][-1]))
        place = places[owner].pop()
        gone.append(place)
        number, whole = number - 1, whole - kept[place][1]
        sizes[owner] -= kept[place][1]
    return gone
