"""Which schedules `make test` runs."""

from typing import NamedTuple

FIRST_SEED = 1_000_000
SCHEDULES = 500


class Kept(NamedTuple):
    """A seed that found a bug of the operator."""

    seed: int
    mended_by: str
    """The commit's subject."""


KEPT_SEEDS = (
    Kept(4, "Keep a child Job for a minute after its outcome is recorded"),
    Kept(18, "Believe no late news of a BackgroundJob that is deleted"),
    Kept(11, "Hold the slots of what is under way before a new leader gives out any"),
    Kept(1_000_133, "Record an attempt that was given up as such, whatever is asked for since"),
)
