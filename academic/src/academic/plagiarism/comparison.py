"""Compares two documents of the same kind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from academic.plagiarism import programs, texts
from academic.plagiarism.tiling import Match, tiles
from academic.plagiarism.tokens import Token

Kind = Literal["text", "program"]

# What is alike by chance, or because of one subject or one textbook, stays below these. They lie
# halfway between honest and copied work in the pairs for tuning (tests/data/plagiarism).
_SUSPICIOUS: dict[Kind, float] = {"text": 0.45, "program": 0.5}
# Fewer characters in common than these prove nothing.
_FEWEST_CHARACTERS = 120

# So many words or symbols in a row from the prompt are a quotation of it.
_SHORTEST_QUOTATION = 5


@dataclass(frozen=True)
class Document:
    """What a student handed in: an English text, or a program in Python."""

    text: str
    kind: Kind


@dataclass(frozen=True)
class Passage:
    """A passage of `a` and the one of `b` that matches it: offsets in characters, ends excluded."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int


@dataclass(frozen=True)
class Comparison:
    """`similarity`, from 0 to 1, is the part of one document, the shorter, found in the other.

    What both have from the prompt does not count. `passages` are in the order of `a`, and
    overlap in neither document.
    """

    kind: Kind
    similarity: float
    passages: tuple[Passage, ...]


def compare(a: Document, b: Document, prompt: str) -> Comparison:
    """Compare two documents of one kind; `prompt` is what both were given, code included.

    Raises ValueError if they are of different kinds.
    """
    if a.kind != b.kind:
        raise ValueError(f"A {a.kind} and a {b.kind} cannot be compared.")
    language = texts if a.kind == "text" else programs
    given = language.tokens(prompt)
    in_a = _without_quotations(language.tokens(a.text), given)
    in_b = _without_quotations(language.tokens(b.text), given)
    found = _joined(language.matches(in_a, in_b))
    return Comparison(
        a.kind,
        _similarity(in_a, in_b, found),
        tuple(
            Passage(
                in_a[match.a_start].start,
                in_a[match.a_end - 1].end,
                in_b[match.b_start].start,
                in_b[match.b_end - 1].end,
            )
            for match in found
        ),
    )


def is_suspicious(comparison: Comparison) -> bool:
    """Whether somebody should look at the passages."""
    characters = sum(passage.a_end - passage.a_start for passage in comparison.passages)
    return (
        comparison.similarity >= _SUSPICIOUS[comparison.kind] and characters >= _FEWEST_CHARACTERS
    )


def _without_quotations(tokens: Sequence[Token], prompt: Sequence[Token]) -> list[Token]:
    """The tokens, those from the prompt without a key, so that they match nothing."""
    own = list(tokens)
    quotations = tiles(
        [token.text.casefold() for token in tokens],
        [token.text.casefold() for token in prompt],
        _SHORTEST_QUOTATION,
    )
    for match in quotations:
        for place in range(match.a_start, match.a_end):
            own[place] = replace(own[place], key=None)
    return own


def _joined(matches: Sequence[Match]) -> list[Match]:
    """The matches in the order of `a`, those that follow each other in both as one."""
    joined: list[Match] = []
    for match in sorted(matches, key=lambda match: match.a_start):
        last = joined[-1] if joined else None
        if last and (last.a_end, last.b_end) == (match.a_start, match.b_start):
            joined[-1] = replace(last, a_end=match.a_end, b_end=match.b_end)
        else:
            joined.append(match)
    return joined


def _similarity(a: Sequence[Token], b: Sequence[Token], matches: Sequence[Match]) -> float:
    own_a, own_b = _own(a), _own(b)
    common_a = sum(_own(a[match.a_start : match.a_end]) for match in matches)
    common_b = sum(_own(b[match.b_start : match.b_end]) for match in matches)
    shorter = min(own_a, own_b)
    if shorter == 0:
        return 0.0
    # Of two that are of one length the greater part, so that their order makes no difference.
    return max(
        common / own for own, common in ((own_a, common_a), (own_b, common_b)) if own == shorter
    )


def _own(tokens: Sequence[Token]) -> int:
    """How many of the tokens are not from the prompt."""
    return sum(token.key is not None for token in tokens)
