"""English texts as what they say, in other words and another order as well."""

from collections.abc import Sequence
from itertools import groupby

from academic.english import FUNCTION_WORDS, sentences
from academic.plagiarism.tiling import Match, tiles
from academic.plagiarism.tokens import Token

# So many words in a row are no chance.
_SHORTEST_RUN = 7
# Two sentences say the same if the shorter shares so much of its content words, and so many.
_SAME_SENTENCE = 0.6
_FEWEST_SHARED = 4


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
    for start_a, end_a, content_a in _sentences(a):
        for start_b, end_b, content_b in in_b:
            shared = len(content_a & content_b)
            share = shared / min(len(content_a), len(content_b))
            if shared >= _FEWEST_SHARED and share >= _SAME_SENTENCE:
                ranked.append((share * shared, Match(start_a, end_a, start_b, end_b)))
    found: list[Match] = []
    used_a, used_b = set(), set()
    for _, match in sorted(ranked, key=lambda pair: -pair[0]):
        if match.a_start not in used_a and match.b_start not in used_b:
            found.append(match)
            used_a.add(match.a_start)
            used_b.add(match.b_start)
    return found


def _sentences(tokens: Sequence[Token]) -> list[tuple[int, int, frozenset[str]]]:
    """Of each sentence with enough of them its content words, after its first and last place."""
    found = []
    for _, group in groupby(enumerate(tokens), key=lambda pair: pair[1].sentence):
        own = list(group)
        content = frozenset(
            token.key for _, token in own if token.key and token.text not in FUNCTION_WORDS
        )
        if len(content) >= _FEWEST_SHARED:
            found.append((own[0][0], own[-1][0] + 1, content))
    return found
