"""The simulation bites: it finds each of these faults, put into the operator on purpose."""

import itertools

import pytest
from tests.faults import breakages, schedule
from tests.faults.scenarios import RACES, SCENARIOS
from tests.faults.seeds import FIRST_SEED, KEPT_SEEDS
from tests.faults.simulation import simulate

_FOUND_WITHIN_SCHEDULES = 100


@pytest.mark.parametrize(
    "breakage",
    [
        breakages.cancel_ignored,
        breakages.cancel_heard_before_the_end_of_an_attempt,
        breakages.terminal_phases_not_kept,
        breakages.retries_without_end,
        breakages.retry_counted_twice,
        breakages.suspend_counted_as_a_failure,
        breakages.allowlist_not_checked_for_retries,
        breakages.status_written_without_resource_version,
        breakages.deletion_without_preconditions,
        breakages.names_of_child_jobs_differ_each_time,
        breakages.unanswered_start_not_looked_for,
        breakages.foreign_jobs_adopted,
        breakages.child_job_deleted_before_its_end_is_recorded,
        breakages.child_job_deleted_as_soon_as_its_time_is_over,
        breakages.job_expires_that_is_to_run_again,
        breakages.pods_that_outlive_their_child_job_ignored,
        breakages.late_news_of_what_is_over_believed,
        breakages.slots_not_held_by_a_new_leader,
        breakages.slots_of_vanished_child_jobs_not_held,
        breakages.old_news_trusted_after_a_silence,
        breakages.limits_ignored,
        breakages.slots_counted_by_the_runtimes_of_before,
        breakages.slots_given_back_too_early,
        breakages.silent_watch_trusted,
        breakages.vanished_jobs_not_noticed,
        breakages.deletions_not_mirrored,
    ],
)
def test_a_fault_of_the_operator_is_found(
    breakage: breakages.Breakage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (each.seed for each in KEPT_SEEDS)
    seeds = (*kept, *range(FIRST_SEED, FIRST_SEED + _FOUND_WITHIN_SCHEDULES))
    breakage(monkeypatch)
    drawn = map(schedule.draw, seeds)
    outcomes = map(simulate, itertools.chain(SCENARIOS.values(), RACES.values(), drawn))
    found = next((outcome for outcome in outcomes if outcome.violations), None)
    assert found, "nothing was found wrong"
    assert found.violations != found.exceptions, "only the broken code's own exception"
