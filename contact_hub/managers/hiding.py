"""Small groups are not told: fewer than five of anything might be somebody."""

from __future__ import annotations

from collections.abc import Collection, Mapping

FEWEST = 5


def few(n: int) -> bool:
    """Whether so many are told by nothing. Nobody is no group, and is told."""
    return 0 < n < FEWEST


def hidden(
    *parts: Mapping[str, int], beyond: Collection[str] = (), told_elsewhere: Collection[str] = ()
) -> frozenset[str]:
    """The groups that are not told, of groups whose total is.

    `parts` are the parts that each group falls into, as with a share: those who are in it and the rest. A
    group is not told where any part of it is few, nor where it is `beyond` telling anyway. Then, because
    whoever knows the total could work out one that is missing, or how many the missing ones are together,
    the next smallest, until of each part that is few somewhere at least two groups are missing and they are
    at least five together. Groups that are `told_elsewhere` too are the last that are added.
    """
    shut = {group for part in parts for group, n in part.items() if few(n)} | set(beyond)
    for part in parts:
        if not any(few(n) for n in part.values()):
            continue
        others = sorted(
            (group in told_elsewhere, n, group) for group, n in part.items() if n and group not in shut
        )
        while others and not _covers([part.get(group, 0) for group in shut]):
            shut.add(others.pop(0)[2])
    return frozenset(shut)


def _covers(missing: list[int]) -> bool:
    return sum(n > 0 for n in missing) >= 2 and sum(missing) >= FEWEST
