"""A document as the tokens that are compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """A word or symbol at its place in the document, `start` to `end` in characters.

    `text` is what was written, of a text in lower case. Tokens whose `key` is equal match; None
    matches nothing. `sentence` numbers the sentences of a text.
    """

    text: str
    key: str | None
    start: int
    end: int
    sentence: int = 0
