"""A text in pieces, of which some are marked."""

from collections.abc import Iterable
from typing import NamedTuple


class Piece(NamedTuple):
    text: str
    number: int
    """Of the passage, from 1; 0 where it is none."""


def marked(text: str, passages: Iterable[tuple[int, int]]) -> list[Piece]:
    """All of `text`, cut where a passage begins or ends; passages that overlap are joined."""
    pieces, at = [], 0
    for begin, end, number in sorted(
        (begin, end, number) for number, (begin, end) in enumerate(passages, 1)
    ):
        if end <= at:
            continue
        if begin > at:
            pieces.append(Piece(text[at:begin], 0))
        pieces.append(Piece(text[max(at, begin) : end], number))
        at = end
    if text[at:]:
        pieces.append(Piece(text[at:], 0))
    return pieces
