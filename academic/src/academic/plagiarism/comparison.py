"""Compares two documents of the same kind."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Document:
    """What a student handed in: an English text, or a program in Python."""

    text: str
    kind: Literal["text", "program"]


@dataclass(frozen=True)
class Passage:
    """A passage of `a` and the one of `b` that matches it: offsets in characters, ends excluded."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int


@dataclass(frozen=True)
class Comparison:
    """`similarity`, from 0 to 1, is the part of the shorter document found in the other one.

    What both have from the prompt does not count. `passages` are in the order of `a`, and
    overlap in neither document.
    """

    similarity: float
    passages: tuple[Passage, ...]


def compare(a: Document, b: Document, prompt: str) -> Comparison:
    """Compare two documents of one kind; `prompt` is what both were given, code included.

    Raises ValueError if they are of different kinds.
    """
    raise NotImplementedError


def is_suspicious(comparison: Comparison) -> bool:
    """Whether somebody should look at the passages."""
    raise NotImplementedError
