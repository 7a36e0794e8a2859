"""The operator in a simulated cluster, through schedules of faults that are drawn from seeds."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from tests.faults import schedule
from tests.faults.network import FATES, Weather
from tests.faults.scenarios import RACES, SCENARIOS
from tests.faults.schedule import Happening, Moment, Schedule
from tests.faults.seeds import FIRST_SEED, KEPT_SEEDS, SCHEDULES, Kept
from tests.faults.simulation import Outcome, simulate
from tests.server import ROOT

_ALL = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)


def test_schedules_leave_nothing_wrong() -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + SCHEDULES):
        assert_nothing_is_wrong(seed)


@pytest.mark.parametrize("kept", KEPT_SEEDS, ids=lambda kept: kept.mended_by)
def test_what_was_wrong_once_is_wrong_no_more(kept: Kept) -> None:
    assert_nothing_is_wrong(kept.seed)


@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
def test_nothing_is_wrong_however_a_race_ends(race: Schedule) -> None:
    outcome = simulate(race)
    assert not outcome.violations, outcome.text() + "\n".join(outcome.violations)


def assert_nothing_is_wrong(seed: int) -> None:
    outcome = simulate(schedule.draw(seed))
    replay = f"make simulate SEED={seed}"
    assert not outcome.violations, f"{replay} shows how\n" + "\n".join(outcome.violations)
    assert outcome.injected, f"nothing went wrong in this schedule: {replay}"
    assert outcome.pods_run, f"no job ran in this schedule: {replay}"


@_ALL
def test_a_crash_or_a_lost_answer_at_any_write_changes_nothing_but_time(
    scenario: Schedule,
) -> None:
    clean = simulate(replace(scenario, fate_at=None))
    assert clean.violations == []
    for number in range(1, clean.operator_writes + 1):
        for fate in FATES:
            struck = simulate(replace(scenario, fate_at=(number, fate)))
            where = f"{fate} at write {number}"
            assert struck.injected, where
            assert_same_end(struck, clean, where)


@_ALL
def test_views_that_lag_change_nothing_but_time(scenario: Schedule) -> None:
    lagging = simulate(replace(scenario, weather=Weather(lagging=1)))
    assert lagging.injected
    assert_same_end(lagging, simulate(scenario), "lagging watches")


@_ALL
def test_events_that_a_relist_skips_change_nothing_but_time(scenario: Schedule) -> None:
    relists = tuple(
        Happening(Moment(half_seconds / 2), "break_watches", (True,))
        for half_seconds in range(10, 50)
    )
    relisting = simulate(replace(scenario, happenings=scenario.happenings + relists))
    assert relisting.injected
    assert_same_end(relisting, simulate(scenario), "relists")


def assert_same_end(outcome: Outcome, clean: Outcome, where: str) -> None:
    shown = f"{where}:\n{outcome.text()}\n" + "\n".join(outcome.violations)
    assert not outcome.violations, shown
    assert end_state(outcome) == end_state(clean), shown


def end_state(outcome: Outcome) -> list[Any]:
    """What is left, times apart: each job with its attempts, and the child Jobs made for it."""
    last = {write.key: write for write in outcome.history}
    left: list[Any] = []
    for key, write in sorted(last.items()):
        if key.kind != "backgroundjobs":
            continue
        status = write.last["status"]
        keep = ("phase", "reason", "run", "retriesUsed", "attemptsTotal", "result")
        told = ("run", "attempt", "outcome", "reason")
        left.append(
            (
                {field: status.get(field) for field in keep},
                [{f: each.get(f) for f in told} for each in status.get("attempts", [])],
                write.after is not None,
            )
        )
    return [*left, sorted(key.name for key in last if key.kind == "jobs")]


def test_a_job_that_finishes_quickly_costs_two_writes_and_the_removal_of_its_child_job() -> None:
    outcome = simulate(SCENARIOS["succeeds"])
    assert not outcome.injected
    writes = [
        (write.verb, write.key.kind)
        for write in outcome.history
        if write.who == "operator-1.1" and write.key.kind != "leases"
    ]
    assert writes == [
        ("create", "jobs"),
        ("status", "backgroundjobs"),
        ("create", "events"),
        ("remove", "jobs"),
    ]


def test_a_seed_gives_the_same_history_whatever_the_order_of_hashes() -> None:
    first, second = (
        subprocess.run(
            [sys.executable, "-m", "tests.faults.simulation", "--seed", str(FIRST_SEED)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    )
    assert first == second
    assert first.count(b"\n") > 20
