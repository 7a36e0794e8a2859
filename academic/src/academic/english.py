"""English text as words and sentences, each with its place in the text."""

import functools
import re
import unicodedata
from dataclasses import dataclass

import snowballstemmer

_GRAMMAR = """
    a about after again all also although am an and another any are as at be because been before
    being both but by can cannot could did do does doing done down during each either else even
    ever every few for from further had has have having he her here hers him his how however i if
    in into is it its itself just less many may me might more most much must my neither never no
    nobody nor not nothing now of off often on once one only or other our out over own per quite
    rather same she should since so some such than that the their theirs them then there therefore
    these they this those through thus to too two under until up upon us very was we were what
    when where whereas whether which while who whom whose why will with within without would yet
    you your
"""
# Words that say nothing of a text's subject; they are about half of any real text.
FUNCTION_WORDS = frozenset(_GRAMMAR.split())

# A word may have apostrophes within, and characters that are not seen: Unicode's
# Default_Ignorable_Code_Point, and the marks of annotations.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_LETTERS = rf"[^\W{_INVISIBLE}][\w{_INVISIBLE}]*+"
_WORD = re.compile(rf"{_LETTERS}(?:['’][{_INVISIBLE}]*+{_LETTERS})*+")
_UNSEEN = re.compile(f"[{_INVISIBLE}]")
# Letters of Hangul that look like a space.
_BLANK = str.maketrans("\u3164\uffa0", "  ")
# Cyrillic and Greek letters that look like these.
_LOOK_ALIKE = str.maketrans(
    "асеорхуіјѕһԁАВСЕНІЈКМОРЅТХαγικνορυχϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aceopxyijshdABCEHIJKMOPSTXayikvopuxjABEZHIKMNOPTYX",
)
# Looks back, or a long run of full stops would be read again from each of them.
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"'”’)]*+(?=\s|$)|\n\s*\n")

_stemmer = snowballstemmer.stemmer("english")


@dataclass(frozen=True)
class Word:
    """A word in lower case, and its stem: "membranes" has the same as "membrane"."""

    text: str
    stem: str
    start: int
    end: int

    @property
    def is_function_word(self) -> bool:
        return self.text in FUNCTION_WORDS


def words(text: str) -> tuple[Word, ...]:
    """The words of a text, in order; characters that are unseen or look like others hide none."""
    found = []
    for match in _WORD.finditer(text.translate(_BLANK)):
        plain = _plain(match.group())
        found.append(Word(plain, _stem(plain), match.start(), match.end()))
    return tuple(found)


def sentences(text: str) -> tuple[tuple[Word, ...], ...]:
    """The words of each sentence; a heading or a list without full stops is one, too."""
    found: list[list[Word]] = [[]]
    ends = iter([match.start() for match in _SENTENCE_END.finditer(text.translate(_BLANK))])
    end = next(ends, len(text))
    for word in words(text):
        while word.start >= end:
            found.append([])
            end = next(ends, len(text))
        found[-1].append(word)
    return tuple(tuple(sentence) for sentence in found if sentence)


@functools.lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    stemmed: str = _stemmer.stemWord(word)
    return stemmed


def _plain(text: str) -> str:
    seen = _UNSEEN.sub("", unicodedata.normalize("NFKC", text)).translate(_LOOK_ALIKE)
    return seen.casefold().replace("’", "'")
