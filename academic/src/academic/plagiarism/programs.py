"""Python programs as what they do, whatever their names, comments and layout."""

import builtins
import keyword
import re
from collections.abc import Sequence

from academic.plagiarism.tiling import Match, tiles
from academic.plagiarism.tokens import Token

# Not Python's own tokenizer, which gives up at an error, nor one whose time grows with the square
# of what a hostile student hands in: no part here is ever read twice.
_TOKEN = re.compile(
    r"""
    (?P<space> \s++ | \#[^\n]*+ )
    | (?P<string> [rbuf]{0,2}
        (?: \"\"\" (?: [^\\"] | \\. | "(?!"") )*+ (?:\"\"\")?
          | ''' (?: [^\\'] | \\. | '(?!'') )*+ (?:''')?
          | " (?: [^\\"\n] | \\. )*+ "?
          | ' (?: [^\\'\n] | \\. )*+ '? ) )
    | (?P<number> \d [\w.]*+ )
    | (?P<name> \w++ )
    | (?P<symbol> . )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

# Names that a copy cannot change: those of Python itself, of which methods stand behind a dot.
_OWN = frozenset({*keyword.kwlist, *dir(builtins)})
_METHODS = frozenset(
    name for kind in (str, list, dict, set, tuple, int, float) for name in dir(kind)
)

# A line or two; shorter runs are in every program.
_SHORTEST_RUN = 12


def tokens(source: str) -> list[Token]:
    """The tokens of a program, also of one with errors, or of text with code in it.

    Comments, docstrings and layout are left out. Any name is like any other, and so are numbers
    and strings: these are what a copy changes first.
    """
    found: list[Token] = []
    depth = 0
    begins_line = True
    for match in _TOKEN.finditer(source):
        text, kind = match.group(), match.lastgroup
        if kind == "space":
            begins_line = begins_line or "\n" in text
            continue
        depth += (text in "([{") - (text in ")]}")
        is_docstring = kind == "string" and begins_line and depth <= 0
        if not is_docstring:
            before = found[-1].text if found else ""
            found.append(Token(text, _key(kind, text, before), match.start(), match.end()))
        begins_line = False
    return found


def matches(a: Sequence[Token], b: Sequence[Token]) -> list[Match]:
    """What two programs have in common."""
    return tiles([token.key for token in a], [token.key for token in b], _SHORTEST_RUN)


def _key(kind: str | None, text: str, before: str) -> str:
    if kind == "symbol" or (kind == "name" and text in (_METHODS if before == "." else _OWN)):
        return text
    return f"a {kind}"
