"""English texts as what they say, in other words and another order as well."""

import heapq
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from academic.english import FUNCTION_WORDS, sentences
from academic.plagiarism.tiling import Match, tiles
from academic.plagiarism.tokens import Token

# So many words in a row are no chance.
_SHORTEST_RUN = 7
# Two sentences say the same if the shorter shares so much of its content words, and so many.
_SAME_SENTENCE = 0.6
_FEWEST_SHARED = 4
# Every two sentences are compared, and of those like one the most alike kept: a text of a thousand
# like sentences must not take minutes and gigabytes. Beyond these only equal runs count.
_MOST_SENTENCES = 1000
_MOST_ALIKE = 4


def tokens(text: str) -> list[Token]:
    """The words of a text, in whatever form they are."""
    return [
        Token(word.text, word.stem, word.start, word.end, number)
        for number, sentence in enumerate(sentences(text))
        for word in sentence
    ]


def matches(a: Sequence[Token], b: Sequence[Token]) -> list[Match]:
    """Sentences that say the same, then runs of equal words in what is left."""
    found = _same_sentences(a, b)
    left_a: list[str | None] = [token.key for token in a]
    left_b: list[str | None] = [token.key for token in b]
    for match in found:
        left_a[match.a_start : match.a_end] = [None] * (match.a_end - match.a_start)
        left_b[match.b_start : match.b_end] = [None] * (match.b_end - match.b_start)
    return [*found, *tiles(left_a, left_b, _SHORTEST_RUN)]


def _same_sentences(a: Sequence[Token], b: Sequence[Token]) -> list[Match]:
    """Pairs of sentences, the most alike first, each in one pair."""
    ranked = []
    in_b = _sentences(b)
    for content_a, places_a in _sentences(a).items():
        alike = []
        for content_b, places_b in in_b.items():
            shared = len(content_a & content_b)
            share = shared / min(len(content_a), len(content_b))
            if shared >= _FEWEST_SHARED and share >= _SAME_SENTENCE:
                alike.append((share * shared, places_b))
        for rank, places_b in heapq.nlargest(_MOST_ALIKE, alike):
            ranked.append((rank, Match(*places_a, *places_b)))
    found: list[Match] = []
    used_a, used_b = set(), set()
    for _, match in sorted(ranked, key=itemgetter(0), reverse=True):
        if match.a_start not in used_a and match.b_start not in used_b:
            found.append(match)
            used_a.add(match.a_start)
            used_b.add(match.b_start)
    return found


def _sentences(tokens: Sequence[Token]) -> dict[frozenset[str], tuple[int, int]]:
    """The content words of each sentence that has enough, and its places: start and end.

    Of sentences that say the same only the first is there.
    """
    found: dict[frozenset[str], tuple[int, int]] = {}
    for _, group in groupby(enumerate(tokens), key=lambda pair: pair[1].sentence):
        own = list(group)
        if not any(token.text.casefold() in FUNCTION_WORDS for _, token in own):
            continue  # a list of terms, which every text on its subject has somewhere
        content = frozenset(
            token.key for _, token in own if token.key and token.text not in FUNCTION_WORDS
        )
        if len(content) >= _FEWEST_SHARED and len(found) < _MOST_SENTENCES:
            found.setdefault(content, (own[0][0], own[-1][0] + 1))
    return found
