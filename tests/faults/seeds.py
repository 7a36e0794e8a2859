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
    Kept(3, "Keep a child Job for a minute after its outcome is recorded"),
    Kept(279, "Believe no late news of a BackgroundJob that is deleted"),
    Kept(35, "Hold the slots of what is under way before a new leader gives out any"),
    Kept(983, "Trust no old news that comes after a silence"),
    Kept(619, "Hold the slot of an attempt whose child Job is gone, too"),
    Kept(61, "Believe no late news of a BackgroundJob that has succeeded"),
    Kept(1_000_133, "Record an attempt that was given up as such, whatever is asked for since"),
)
