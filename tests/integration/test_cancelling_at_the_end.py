"""A cancel meets a job that ends at the same moment: what is recorded is what happened."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from tests import auditing, watching
from tests import server as api
from tests.auditing import Write
from tests.server import Jobs, Server
from tests.watching import jobs_path, pods_path, submit, wait_finished, watch

_SUCCEED, _FAIL = 100, 40
_SHORTEST_S, _LONGEST_S = 0.01, 30
_AT_ONCE = 8
_WITHIN_S = 120
_ALL_WITHIN_S = 900
_FINAL = ("Succeeded", "Failed", "Cancelled")


class Moment(NamedTuple):
    """When something came to be: in the order of all writes, and by the clock, to the second."""

    version: int
    second: datetime


class Ended(NamedTuple):
    """One of the jobs, and all that is known of its way."""

    name: str
    job: Any
    deleted: Moment | None
    """Its child Job, to cancel it."""
    succeeded: Moment | None
    """Its pod."""
    writes: list[Write]

    @property
    def phase(self) -> str:
        return str(self.job["status"]["phase"])


def _cancel_as_it_ends(jobs: Jobs, number: int) -> tuple[str, Any]:
    """The attempt ends the later the higher the number; the cancel follows its start.

    Each takes so many percent longer than the one before: some end at the moment of the cancel on
    a machine of any speed.
    """
    name, step = f"job-{number}", number % _SUCCEED
    lasts_s = _SHORTEST_S * (_LONGEST_S / _SHORTEST_S) ** (step / (_SUCCEED - 1))
    pod = {"lasts": f"{lasts_s * 1000:.0f}ms", "exitCode": int(number >= _SUCCEED)}
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
    watched = threading.Barrier(3, timeout=_WITHIN_S)
    with ThreadPoolExecutor(_AT_ONCE + 2) as pool:
        deletions = pool.submit(_first, place, jobs_path(place), _deletion, watched)
        successes = pool.submit(_first, place, pods_path(place), _success, watched)
        submit(place, "first")
        watched.wait()
        numbers = range(_SUCCEED + _FAIL)
        finished = list(pool.map(lambda number: _cancel_as_it_ends(place, number), numbers))
        submit(place, "last")
        auditing.wait_written(server, "ends", "PATCH status Succeeded", "last")
        writes = [w for w in auditing.writes(server, "ends") if w.status < 300]
        return [
            Ended(
                name,
                job,
                deletions.result(_WITHIN_S).get(name),
                successes.result(_WITHIN_S).get(name),
                [w for w in writes if w.name == name or w.name.startswith(f"{name}-")],
            )
            for name, job in finished
        ]


def _first(
    place: Jobs, path: str, when: Callable[[Any], str | None], watched: threading.Barrier
) -> dict[str, Moment]:
    """By BackgroundJob, when it came first that the objects at the path said when."""
    moments: dict[str, Moment] = {}
    events = watch(place.server, path, "", _ALL_WITHIN_S)
    next(events)
    watched.wait()
    for event in events:
        metadata = event["object"]["metadata"]
        name, second = metadata["annotations"]["bgjobs.dev/name"], when(event["object"])
        if name == "last":
            return moments
        if second and name not in moments:
            version = int(metadata["resourceVersion"])
            moments[name] = Moment(version, datetime.fromisoformat(second))
    raise AssertionError(f"nothing was seen of the last job within {_ALL_WITHIN_S} s")


def _deletion(job: Any) -> str | None:
    second: str | None = job["metadata"].get("deletionTimestamp")
    return second


def _success(pod: Any) -> str | None:
    if pod["status"]["phase"] != "Succeeded":
        return None
    return str(pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"])


def test_cancels_come_too_early_and_too_late(ended: list[Ended]) -> None:
    """Else what follows would not have met the moment."""
    phases = Counter(each.phase for each in ended)
    assert phases.keys() <= {"Succeeded", "Cancelled"}
    assert min(phases["Succeeded"], phases["Cancelled"]) >= 10


def test_a_success_is_recorded_only_where_the_pod_succeeded(ended: list[Ended]) -> None:
    assert [e.name for e in ended if e.phase == "Succeeded" and not e.succeeded] == []


def test_what_succeeded_before_it_was_deleted_has_succeeded(ended: list[Ended]) -> None:
    in_time = [
        each
        for each in ended
        if each.succeeded and not (each.deleted and each.deleted.version < each.succeeded.version)
    ]
    assert in_time
    assert [e.name for e in in_time if e.phase != "Succeeded"] == []


def test_what_was_deleted_before_it_succeeded_is_cancelled(ended: list[Ended]) -> None:
    """Of what succeeds within the second of its deletion, the clock tells no order."""
    too_late = [
        each
        for each in ended
        if each.deleted and not (each.succeeded and each.succeeded.second <= each.deleted.second)
    ]
    assert too_late
    assert [e.name for e in too_late if e.phase != "Cancelled"] == []


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
