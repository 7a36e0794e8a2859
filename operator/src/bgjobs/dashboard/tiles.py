"""How many unfinished jobs there are, state by state. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bgjobs.dashboard import words
from bgjobs.dashboard.states import STATES, State, note, state_of
from bgjobs.domain.resource import Priority


class Tile(NamedTuple):
    """Jobs of a state, as the overview counts them."""

    state: State
    total: int
    details: tuple[str, ...]
    oldest: datetime | None


def tiles(active: Sequence[Mapping[str, Any]]) -> dict[str, Tile]:
    found = {}
    for state in STATES.values():
        rows = [row for row in active if state_of(row["phase"], row["reason"]) is state]
        by_note: dict[str, int] = {}
        by_priority: dict[str, int] = {}
        for row in rows:
            text = note(row["phase"], row["reason"])
            by_note[text] = by_note.get(text, 0) + row["count"]
            word = Priority(row["priority"]).word
            by_priority[word] = by_priority.get(word, 0) + row["count"]
        parts = by_priority if state.name == "Queued" else by_note
        details = tuple(f"{words.counted(n)} {text}" for text, n in parts.items() if text)
        oldest = min((row["oldest"] for row in rows if row["oldest"]), default=None)
        total = sum(row["count"] for row in rows)
        found[state.name] = Tile(state, total, details, oldest)
    return found
