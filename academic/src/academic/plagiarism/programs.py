"""Python programs as what they do, whatever their names, comments and layout."""

import builtins
from collections.abc import Iterator, Sequence

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Name, Number, String, _TokenType

from academic.plagiarism.tiling import Match, tiles
from academic.plagiarism.tokens import Token

# Names that a copy cannot change: those of Python itself, of which methods stand behind a dot.
_BUILTINS = frozenset(dir(builtins))
_METHODS = frozenset(
    name for kind in (str, list, dict, set, tuple, int, float) for name in dir(kind)
)

# A line or two; shorter runs are in every program.
_SHORTEST_RUN = 12

_lexer = PythonLexer()


def tokens(source: str) -> list[Token]:
    """The tokens of a program, also of one with errors, or of text with code in it.

    Comments, docstrings and layout are left out. Any name is like any other, and so are numbers
    and strings: these are what a copy changes first.
    """
    return list(_tokens(source))


def matches(a: Sequence[Token], b: Sequence[Token]) -> list[Match]:
    """What two programs have in common."""
    return tiles([token.key for token in a], [token.key for token in b], _SHORTEST_RUN)


def _tokens(source: str) -> Iterator[Token]:
    in_string = False
    before = ""
    # Not get_tokens, which cuts newlines off the beginning: the places would be wrong.
    for start, type_, text in _lexer.get_tokens_unprocessed(source):
        if not text.strip() or type_ in Comment or type_ in String.Doc:
            continue
        # A string comes in pieces, of which the first stands for all.
        if not (type_ in String and in_string):
            yield Token(text, _key(type_, text, before), start, start + len(text))
        in_string, before = type_ in String, text


def _key(type_: _TokenType, text: str, before: str) -> str:
    if type_ in String:
        return "a string"
    if type_ in Number:
        return "a number"
    if type_ in Name and text not in (_METHODS if before == "." else _BUILTINS):
        return "a name"
    return text
