"""Tells sentences of a text from what only looks like them."""

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from academic.english import Word, sentences

_FEWEST_WORDS = 4
_MOST_WORDS = 60
# Of all words of a sentence those of grammar; a list has hardly any.
_LEAST_GRAMMAR = 0.15
_MOST_GRAMMAR = 0.8
# Of its other words those that are not repeated in it.
_LEAST_VARIETY = 0.6
# Of its other words those that an earlier sentence has as well.
_MOST_REPEATED = 0.8
# Shorter frames are alike by chance.
_SHORTEST_FRAME = 6


@dataclass(frozen=True)
class Sentence:
    """A sentence that says something.

    `content` are the stems of its words beyond grammar, `frame` is what is left without them.
    """

    words: tuple[Word, ...]
    content: frozenset[str]
    frame: tuple[str, ...]


def prose(text: str) -> list[Sentence]:
    """The real sentences of a text, in order.

    Left out are lists, fragments, sentences of over 60 words, and those that repeat themselves, an
    earlier sentence or its frame: they can carry any number of terms and say nothing.
    """
    found: list[Sentence] = []
    frames: set[tuple[str, ...]] = set()
    with_stem: dict[str, list[Sentence]] = {}
    for words in sentences(text):
        sentence = Sentence(words, frozenset(_content(words)), _frame(words))
        # "The ... is about ... and ...", filled in once more, is a form and no sentence.
        filled_in = len(sentence.frame) >= _SHORTEST_FRAME and sentence.frame in frames
        if _is_sentence(sentence) and not filled_in and not _repeats(sentence, with_stem):
            found.append(sentence)
            frames.add(sentence.frame)
            for stem in sentence.content:
                with_stem.setdefault(stem, []).append(sentence)
    return found


def _is_sentence(sentence: Sentence) -> bool:
    words, content = sentence.words, list(_content(sentence.words))
    grammar = 1 - len(content) / len(words)
    return (
        _FEWEST_WORDS <= len(words) <= _MOST_WORDS
        and _LEAST_GRAMMAR <= grammar <= _MOST_GRAMMAR
        and len(sentence.content) >= _LEAST_VARIETY * len(content)
    )


def _repeats(sentence: Sentence, with_stem: Mapping[str, Sequence[Sentence]]) -> bool:
    """Whether an earlier sentence, found by any of its stems, says the same."""
    content = sentence.content
    most = _MOST_REPEATED * len(content)
    # Whatever shares more than `most` has one of any so many stems: of the rarest, to be quick.
    enough = len(content) - int(most)
    rarest = heapq.nsmallest(enough, content, key=lambda stem: len(with_stem.get(stem, ())))
    return any(
        len(content & other.content) > most for stem in rarest for other in with_stem.get(stem, ())
    )


def _frame(words: Collection[Word]) -> tuple[str, ...]:
    """Its words of grammar, with one gap for all that stands between two of them."""
    filled = (word.text if word.is_function_word else "" for word in words)
    return tuple(text for text, _ in groupby(filled))


def _content(words: Collection[Word]) -> Iterator[str]:
    return (word.stem for word in words if not word.is_function_word)
