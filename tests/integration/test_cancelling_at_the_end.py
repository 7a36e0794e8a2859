"""A cancel meets a job that ends at the same moment: what is recorded is what happened."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from tests import auditing, watching
from tests import server as api
from tests.auditing import Write
from tests.server import Jobs, Server
from tests.watching import jobs_path, pods_path, submit, wait_finished, watch

_SUCCEED, _FAIL = 100, 40
_MS_BETWEEN = 3
_AT_ONCE = 8
_WITHIN_S = 120
_FINAL = ("Succeeded", "Failed", "Cancelled")


class Ended(NamedTuple):
    """One of the jobs, and all that is known of its way."""

    name: str
    job: Any
    pod_succeeded: bool
    writes: list[Write]

    @property
    def phase(self) -> str:
        return str(self.job["status"]["phase"])

    def wrote(self, what: str) -> bool:
        return any(write.what == what for write in self.writes)


def _cancel_as_it_ends(jobs: Jobs, number: int) -> tuple[str, Any]:
    """The attempt ends the later the higher the number; the cancel follows its start."""
    name = f"job-{number}"
    pod = {"lasts": f"{(number % _SUCCEED) * _MS_BETWEEN}ms", "exitCode": int(number >= _SUCCEED)}
    uid = submit(jobs, name, pods=[pod])
    mine = f"bgjobs.dev/uid={uid}"
    for event in watch(jobs.server, pods_path(jobs), "", _WITHIN_S, mine):
        if event["object"]["status"]["phase"] != "Pending":
            break
    answer = api.patch_spec(jobs, name, cancelled=True)
    late = answer.status == 422 and "already Succeeded: nothing is left" in answer.message
    assert answer.status == 200 or late, answer.message
    return name, wait_finished(jobs, name, _WITHIN_S)


@pytest.fixture(scope="module")
def ended(server: Server, jobs: Jobs) -> list[Ended]:
    """So many jobs, each of which was cancelled at about the time of its end."""
    assert jobs.server is server
    place = watching.new_namespace(server, "ends")
    watched = threading.Event()
    with ThreadPoolExecutor(_AT_ONCE + 1) as pool:
        succeeded = pool.submit(_succeeded_until_last, place, watched)
        submit(place, "first")
        assert watched.wait(_WITHIN_S)
        numbers = range(_SUCCEED + _FAIL)
        finished = list(pool.map(lambda number: _cancel_as_it_ends(place, number), numbers))
        submit(place, "last")
        auditing.wait_written(server, "ends", "PATCH status Succeeded", "last")
        writes = [w for w in auditing.writes(server, "ends") if w.status < 300]
        return [
            Ended(
                name,
                job,
                name in succeeded.result(_WITHIN_S),
                [w for w in writes if w.name == name or w.name.startswith(f"{name}-")],
            )
            for name, job in finished
        ]


def _succeeded_until_last(place: Jobs, watched: threading.Event) -> set[str]:
    """The BackgroundJobs of which a pod was ever seen to succeed."""
    succeeded: set[str] = set()
    for event in watch(place.server, pods_path(place), "", _WITHIN_S):
        watched.set()
        name = event["object"]["metadata"]["annotations"]["bgjobs.dev/name"]
        if event["object"]["status"]["phase"] == "Succeeded":
            succeeded.add(name)
            if name == "last":
                return succeeded
    raise AssertionError(f"the last pod did not succeed within {_WITHIN_S} s")


def test_cancels_come_too_early_and_too_late(ended: list[Ended]) -> None:
    """Else what follows would not have met the moment."""
    phases = Counter(each.phase for each in ended)
    assert phases.keys() <= {"Succeeded", "Cancelled"}
    assert min(phases["Succeeded"], phases["Cancelled"]) >= 10


def test_a_success_is_recorded_where_the_pod_succeeded_and_only_there(ended: list[Ended]) -> None:
    assert [e.name for e in ended if (e.phase == "Succeeded") != e.pod_succeeded] == []


def test_what_was_deleted_before_it_succeeded_is_cancelled(ended: list[Ended]) -> None:
    deleted = [e for e in ended if e.wrote("DELETE jobs") and not e.pod_succeeded]
    assert deleted
    assert {e.phase for e in deleted} == {"Cancelled"}


def test_what_failed_by_itself_says_so_and_is_not_retried(ended: list[Ended]) -> None:
    attempts = [e.job["status"]["attempts"] for e in ended]
    assert {len(each) for each in attempts} == {1}
    outcomes = {(e.phase, e.job["status"]["attempts"][0]["outcome"]) for e in ended}
    assert outcomes <= {
        ("Succeeded", "Succeeded"),
        ("Cancelled", "Cancelled"),
        ("Cancelled", "Failed"),
    }


def test_each_job_ends_once_after_one_start(ended: list[Ended]) -> None:
    for each in ended:
        whats = [write.what for write in each.writes]
        assert whats.count("POST jobs") == 1, each.name
        ends = [
            what for what in whats if what.startswith("PATCH status ") and what.split()[2] in _FINAL
        ]
        assert len(ends) == 1, each.name
        assert ends == [what for what in whats if what.startswith("PATCH status")][-1:]


def test_nothing_runs_on(jobs: Jobs, ended: list[Ended]) -> None:
    assert ended
    place = Jobs(jobs.server, "ends")
    left = api.request(place.server, "GET", pods_path(place)).body["items"]
    assert {pod["status"]["phase"] for pod in left} <= {"Succeeded", "Failed"}
    uids = [j["metadata"]["labels"]["bgjobs.dev/uid"] for j in _all(place, jobs_path(place))]
    assert len(uids) == len(set(uids))


def _all(place: Jobs, path: str) -> list[Any]:
    return list(api.request(place.server, "GET", path).body["items"])
