"""Small groups are not told: fewer than five of anything might be somebody."""

from __future__ import annotations

from collections.abc import Mapping

FEWEST = 5


def hidden(counts: Mapping[str, int]) -> frozenset[str]:
    """The groups whose count is not told, of groups whose total is.

    First those with fewer than five. Then, because whoever knows the total could work out one that is
    missing, or how many the missing ones are together, the next smallest, until at least two are missing
    and they are at least five together. An empty group is nobody, and is told.
    """
    few = {group for group, n in counts.items() if 0 < n < FEWEST}
    others = sorted((n, group) for group, n in counts.items() if n >= FEWEST)
    while few and others and (len(few) < 2 or sum(counts[group] for group in few) < FEWEST):
        few.add(others.pop(0)[1])
    return frozenset(few)
