"""How much of one text is found in another, by winnowing.

Schleimer, Wilkerson, Aiken: Winnowing: Local Algorithms for Document
Fingerprinting, SIGMOD 2003.
"""

import re
import zlib

from copydetect.utils import hashed_kgrams, winnow

# Five words in a row are seldom the same by chance; any eight copied words
# (_GRAM + _WINDOW - 1) are sure to leave a common fingerprint.
_GRAM = 5
_WINDOW = 4


def fingerprints(text: str) -> frozenset[int]:
    """The fingerprints of `text`, of which there is at least one.

    Words are compared without regard to case, punctuation and line breaks.
    Raises ValueError if there are fewer than five.
    """
    # Numbers, because hash() of a str differs from one process to the next,
    # and with it the fingerprints that winnowing selects.
    words = tuple(zlib.crc32(word.encode()) for word in re.findall(r"\w+", text.casefold()))
    if len(words) < _GRAM:
        raise ValueError(f"has fewer than {_GRAM} words")
    hashes, _ = winnow(hashed_kgrams(words, _GRAM), _WINDOW)
    return frozenset(hashes.tolist())


def similarity(a: frozenset[int], b: frozenset[int]) -> float:
    """The part of the shorter document found in the other, from 0 to 1.

    Measured against the shorter one, so that a copied chapter shows however
    much was written around it.
    """
    return len(a & b) / min(len(a), len(b))
