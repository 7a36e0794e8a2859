"""The operator writes what it must, once each and in order, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from tests import auditing, operating, watching
from tests import server as api
from tests.auditing import Write
from tests.bench.writes import counted
from tests.operating import Operator
from tests.server import Jobs
from tests.watching import allow, change, phase, reason, submit, wait, wait_finished

_FAILS = {"exitCode": 1}
_SUCCEEDS = {"exitCode": 0}
_HANGS = {"lasts": "1h"}
_UNDER_WAY = (
    "PATCH status Running",
    "PATCH status Pending Starting",
    "PATCH status Retrying Starting",
)
_AT_ONCE = {"seconds": 0, "factor": 1, "maxSeconds": 0}


@pytest.fixture
def place(jobs: Jobs, name: str) -> Jobs:
    """A namespace that only one test writes to."""
    return watching.new_namespace(jobs.server, f"writes-{name}")


def _writes(place: Jobs, event: str) -> list[str]:
    """What was written until this Event, without what shows a state that lasted."""
    writes = auditing.wait_written(place.server, place.namespace, f"POST events {event}")
    return [write.what for write in _without_under_way(writes)]


def _without_under_way(writes: list[Write]) -> list[Write]:
    """On a busy machine even a short attempt may last for longer than a second, and is shown."""
    started: Any = None
    kept = []
    for write in writes:
        if write.what == "POST jobs":
            started = write.at
        if write.what not in _UNDER_WAY:
            kept.append(write)
        else:
            assert write.at - started >= timedelta(seconds=1)
    return kept


def test_quick_successes_cost_a_start_a_status_and_an_event_each(place: Jobs) -> None:
    names = [f"job-{number}" for number in range(12)]
    for each in names:
        submit(place, each)
    for each in names:
        auditing.wait_written(place.server, place.namespace, "POST events Succeeded", each)
    writes = auditing.writes(place.server, place.namespace)
    for each in names:
        own = [w for w in writes if w.name == each or w.name.startswith(f"{each}-")]
        quick = [write.what for write in _without_under_way(own)]
        assert quick == ["POST jobs", "PATCH status Succeeded", "POST events Succeeded"]
    assert {write.status for write in writes} == {200, 201}


def test_the_api_server_counts_no_other_writes_than_it_logs(place: Jobs) -> None:
    operating.delete_unfinished(place.server)
    before = counted(place.server)
    names = [f"job-{number}" for number in range(12)]
    for each in names:
        submit(place, each)
    for each in names:
        auditing.wait_written(place.server, place.namespace, "POST events Succeeded", each)
    writes = [write.what for write in auditing.writes(place.server, place.namespace)]
    logged = {
        "POST jobs": len(names),
        "PATCH backgroundjobs/status": len([w for w in writes if w.startswith("PATCH status")]),
    }
    after = counted(place.server)
    assert {what: after[what] - before[what] for what in logged} == logged


def test_an_attempt_that_lasts_is_shown_once(place: Jobs) -> None:
    submit(place, "job", pods=[{"lasts": "4s"}])
    writes = auditing.wait_written(place.server, place.namespace, "POST events Succeeded")
    assert [write.what for write in writes] == [
        "POST jobs",
        "PATCH status Running",
        "PATCH status Succeeded",
        "POST events Succeeded",
    ]


def test_a_retry_costs_a_status_an_event_and_a_start_more(place: Jobs) -> None:
    submit(place, "job", pods=[_FAILS, _FAILS, _SUCCEEDS], backoff=_AT_ONCE)
    wait_finished(place, "job")
    written = _writes(place, "Succeeded")
    # Events are posted in the background.
    assert [what for what in written if "events" not in what] == [
        "POST jobs",
        "PATCH status Retrying BackingOff",
        "POST jobs",
        "PATCH status Retrying BackingOff",
        "POST jobs",
        "PATCH status Succeeded",
    ]
    assert [what for what in written if "events" in what] == [
        "POST events RetryScheduled",
        "POST events RetryScheduled",
        "POST events Succeeded",
    ]


def test_a_last_failure_costs_what_a_success_costs(place: Jobs) -> None:
    submit(place, "job", pods=[_FAILS], retries=0)
    assert _writes(place, "Failed") == [
        "POST jobs",
        "PATCH status Failed Error",
        "POST events Failed",
    ]


def test_a_cancel_says_so_before_it_deletes_and_again_when_it_is_done(place: Jobs) -> None:
    submit(place, "job", pods=[_HANGS])
    wait(place, "job", phase("Running"))
    change(place, "job", cancelled=True)
    assert _writes(place, "Cancelled") == [
        "POST jobs",
        "PATCH status Cancelling",
        "DELETE jobs",
        "PATCH status Cancelled",
        "POST events Cancelled",
    ]


def test_a_suspended_attempt_is_shown_before_it_is_deleted_and_when_it_is_gone(
    place: Jobs,
) -> None:
    submit(place, "job", pods=[_HANGS, _SUCCEEDS])
    wait(place, "job", phase("Running"))
    change(place, "job", suspend=True)
    wait(place, "job", lambda job: len(job["status"].get("attempts", ())) == 1)
    change(place, "job", suspend=False)
    assert _writes(place, "Succeeded") == [
        "POST jobs",
        "PATCH status Pending Suspended",
        "DELETE jobs",
        "PATCH status Retrying Suspended",
        "POST jobs",
        "PATCH status Succeeded",
        "POST events Succeeded",
    ]


def test_a_job_that_waits_is_shown_once_and_its_end_once(place: Jobs) -> None:
    submit(place, "job", delay="1h")
    wait(place, "job", reason("Delayed"))
    change(place, "job", cancelled=True)
    assert _writes(place, "Cancelled") == [
        "PATCH status Pending Delayed",
        "PATCH status Cancelled",
        "POST events Cancelled",
    ]


def test_a_rejection_costs_a_status_and_an_event(place: Jobs) -> None:
    class_ = "rejected.jobs.Job"
    allow(place, class_)
    submit(place, "job", class_=class_, delay=2, adjustment="Disabled")
    watching.set_key(place.server, "bgjobs-allowlist", class_, None)
    *before, rejected, told = _writes(place, "Rejected")
    assert before in ([], ["PATCH status Pending Delayed"])
    assert (rejected, told) == ("PATCH status Rejected NotAllowed", "POST events Rejected")


def test_a_job_that_waits_is_written_no_more_when_the_operator_starts_again(
    place: Jobs, operator: Operator
) -> None:
    submit(place, "waits", delay="1h")
    wait(place, "waits", reason("Delayed"))
    submit(place, "runs", pods=[_HANGS])
    wait(place, "runs", phase("Running"))
    before = auditing.writes(place.server, place.namespace)
    operating.kill(operator)
    operating.start(operator)
    submit(place, "job")
    assert _writes(place, "Succeeded")[len(_without_under_way(before)) :] == [
        "POST jobs",
        "PATCH status Succeeded",
        "POST events Succeeded",
    ]
    assert api.request(place.server, "DELETE", f"{place.path}/runs").status == 200
