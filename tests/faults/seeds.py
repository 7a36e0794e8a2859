"""Which schedules `make test` runs."""

from typing import NamedTuple

from tests.faults import breakages

FIRST_SEED = 1_000_000
SCHEDULES = 500


class Kept(NamedTuple):
    """A seed that found a bug of the operator, and finds it where that is brought back."""

    seed: int
    brought_back: breakages.Breakage
    mended_by: str
    """The commit's subject."""


KEPT_SEEDS = (
    Kept(
        3,
        breakages.child_job_deleted_as_soon_as_its_time_is_over,
        "Keep a child Job for a minute after its outcome is recorded",
    ),
    Kept(
        279,
        breakages.late_news_of_what_is_over_believed,
        "Believe no late news of a BackgroundJob that is deleted",
    ),
    Kept(
        35,
        breakages.slots_not_held_by_a_new_leader,
        "Hold the slots of what is under way before a new leader gives out any",
    ),
    Kept(
        983,
        breakages.old_news_trusted_after_a_silence,
        "Trust no old news that comes after a silence",
    ),
    Kept(
        619,
        breakages.slots_of_vanished_child_jobs_not_held,
        "Hold the slot of an attempt whose child Job is gone, too",
    ),
    Kept(
        1_000_460,
        breakages.late_news_of_what_is_over_believed,
        "Believe no late news of a BackgroundJob that has succeeded",
    ),
)
