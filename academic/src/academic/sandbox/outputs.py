"""What is told of a program's run, and when two outputs count as the same."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["finished", "timed out", "printed too much", "killed"]


@dataclass(frozen=True)
class CaseRun:
    """What became of one run.

    `exit_code` is that of the process, a negative one the signal that ended it. `output` is what it
    printed, or the beginning of that; `digest` stands for all of it. `error` is the end of what it
    printed to stderr.
    """

    outcome: Outcome
    exit_code: int
    output: str
    digest: str
    error: str


def comparable(output: str) -> list[str]:
    """Its lines, without spaces at their ends and empty lines at the end."""
    return "\n".join(line.rstrip() for line in output.splitlines()).rstrip("\n").split("\n")


def digest(output: str) -> str:
    """Stands for the whole of an output, of which a result may only show the beginning."""
    lines = "\n".join(comparable(output))
    return hashlib.sha256(lines.encode(errors="replace")).hexdigest()[:16]
