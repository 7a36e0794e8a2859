"""The runs that two sequences have in common, wherever in each they stand.

Wise: String Similarity via Greedy String Tiling and Running Karp-Rabin Matching, 1993.
"""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

Key = str | None

# Of what is repeated more often only the first places begin a run, which goes on beyond them: a
# thousand times the same word would take a million steps.
_MAX_PLACES = 16


@dataclass(frozen=True)
class Match:
    """Places `a_start` to `a_end` of one sequence match `b_start` to `b_end` of the other."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int


def tiles(a: Sequence[Key], b: Sequence[Key], shortest: int) -> list[Match]:
    """Equal runs of at least `shortest` items, the longest first, none overlapping another.

    An item that is None equals nothing.
    """
    free_a, free_b = [True] * len(a), [True] * len(b)
    found = []
    heap = [(-length, at_a, at_b) for at_a, at_b, length in _longest_runs(a, b, shortest)]
    heapq.heapify(heap)
    while heap:
        negative, at_a, at_b = heapq.heappop(heap)
        steps = range(-negative)
        free = [step for step in steps if free_a[at_a + step] and free_b[at_b + step]]
        if len(free) == len(steps):
            found.append(Match(at_a, at_a + len(steps), at_b, at_b + len(steps)))
            free_a[at_a : at_a + len(steps)] = [False] * len(steps)
            free_b[at_b : at_b + len(steps)] = [False] * len(steps)
            continue
        # What a longer run has left of it.
        for _, stretch in groupby(enumerate(free), key=lambda pair: pair[1] - pair[0]):
            rest = [step for _, step in stretch]
            if len(rest) >= shortest:
                heapq.heappush(heap, (-len(rest), at_a + rest[0], at_b + rest[0]))
    return found


def _longest_runs(a: Sequence[Key], b: Sequence[Key], shortest: int) -> list[tuple[int, int, int]]:
    """Common runs and their lengths, each as long as it can be to its right."""
    in_a, in_b = _places(a, shortest), _places(b, shortest)
    pairs = sorted(
        (at_a, at_b)
        for gram in in_a.keys() & in_b.keys()
        for at_a in in_a[gram]
        for at_b in in_b[gram]
    )
    runs = []
    # Of each offset between the two, where its last run ended.
    ends: dict[int, int] = {}
    for at_a, at_b in pairs:
        if at_a >= ends.get(at_a - at_b, 0):
            length = _length(a, b, at_a, at_b)
            ends[at_a - at_b] = at_a + length
            runs.append((at_a, at_b, length))
    return runs


def _places(keys: Sequence[Key], length: int) -> dict[tuple[Key, ...], list[int]]:
    """The first places where each gram of this length stands."""
    places = defaultdict(list)
    for place in range(len(keys) - length + 1):
        places[tuple(keys[place : place + length])].append(place)
    return {gram: found[:_MAX_PLACES] for gram, found in places.items() if None not in gram}


def _length(a: Sequence[Key], b: Sequence[Key], at_a: int, at_b: int) -> int:
    length = 0
    while (
        at_a + length < len(a)
        and at_b + length < len(b)
        and _equal(a[at_a + length], b[at_b + length])
    ):
        length += 1
    return length


def _equal(one: Key, other: Key) -> bool:
    return one is not None and one == other
