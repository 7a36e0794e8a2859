"""Two operators: one works, the other takes over, and never do both."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests import operating, watching
from tests import server as api
from tests.operating import LEASE, Operator
from tests.proxying import Request, proxy
from tests.server import Jobs, Server
from tests.watching import child_jobs, phase, reason, submit, wait, wait_finished

_AT_ONCE = {"seconds": 0, "factor": 1, "maxSeconds": 0}
_LEASE_SECONDS = 10
_TAKES_OVER_WITHIN_S = 2 * _LEASE_SECONDS
_WATCHED = [
    "/apis/bgjobs.dev/v1alpha1/backgroundjobs",
    "/api/v1/pods",
    f"/api/v1/namespaces/{watching.OPERATOR_NAMESPACE}/configmaps",
]


@dataclass
class Asked:
    """What an operator asks of the API server."""

    requests: list[Request] = field(default_factory=list)
    held: str = ""
    """Lists of this path wait until `go_on` is set."""
    go_on: threading.Event = field(default_factory=threading.Event)

    def note(self, request: Request) -> None:
        path, _, query = request.target.partition("?")
        if path == self.held and "fieldSelector" in query:
            self.go_on.wait()
        self.requests.append(request)

    @property
    def writes(self) -> list[Request]:
        """But those to the Lease."""
        return [each for each in self.requests if each.method != "GET" and each.target != LEASE]

    @property
    def watched(self) -> set[str]:
        """The paths of the watches that it has begun."""
        targets = [each.target.partition("?") for each in self.requests]
        return {path for path, _, query in targets if "watch=true" in query}


@dataclass
class Other:
    """A second operator."""

    operator: Operator
    asked: Asked


@pytest.fixture
def other(server: Server, operator: Operator, tmp_path: Path) -> Iterator[Other]:
    """Not yet started. In the end `operator` leads again."""
    asked = Asked()
    with (
        proxy(server, asked=asked.note) as url,
        operating.beside(server, operator, tmp_path, url) as other,
    ):
        yield Other(other, asked)
        if not operating.ended(other):
            operating.end(other, within_s=10)
    _wait_leads(server, operator, _TAKES_OVER_WITHIN_S)


@pytest.fixture
def leader(server: Server, operator: Operator, other: Other) -> Other:
    """The second operator leads, and `operator` stands by."""
    operating.start(other.operator)
    operating.end(operator, within_s=10)
    _wait_leads(server, other.operator, _TAKES_OVER_WITHIN_S)
    operating.start(operator)
    return other


def _lease(server: Server) -> Any:
    return api.request(server, "GET", LEASE).body


def _wait_leads(server: Server, operator: Operator, within_s: float) -> None:
    """Until it holds the Lease and knows it."""
    api.wait_until(
        lambda: operating.metric(operator, "bgjobs_leader") == 1,
        lambda: f"{operator.name} does not lead: {_lease(server)}",
        within_s,
    )


def test_the_lease_names_the_leader_and_tells_of_its_queue(
    server: Server, jobs: Jobs, name: str, operator: Operator
) -> None:
    submit(jobs, name, pods=[{"lasts": "4s"}])

    def report() -> Any:
        return json.loads(_lease(server)["metadata"]["annotations"]["bgjobs.dev/queue"])

    api.wait_until(lambda: report()["running"] == 1, lambda: str(report()), 5)
    assert _lease(server)["spec"]["holderIdentity"] == operator.name
    assert (report()["maxConcurrent"], report()["startWindow"]) == (50, 20)


def test_a_standby_gets_ready_and_writes_nothing(
    jobs: Jobs, name: str, operator: Operator, other: Other
) -> None:
    operating.start(other.operator)
    submit(jobs, name, pods=[{"lasts": "1s", "exitCode": 1}, {"lasts": "1h"}], backoff=_AT_ONCE)
    wait(jobs, name, lambda job: len(job["status"].get("attempts", ())) == 1)
    watching.change(jobs, name, cancelled=True)
    assert wait_finished(jobs, name)["status"]["phase"] == "Cancelled"
    assert other.asked.writes == []
    assert operating.metric(operator, "bgjobs_leader") == 1
    assert operating.metric(other.operator, "bgjobs_leader") == 0


@pytest.mark.parametrize("held", _WATCHED)
def test_an_operator_is_not_ready_before_it_has_listed_all_that_it_watches(
    other: Other, held: str
) -> None:
    other.asked.held = held
    operating.begin(other.operator)
    api.wait_until(
        lambda: other.asked.watched == set(_WATCHED) - {held},
        lambda: f"it watches {other.asked.watched}",
        within_s=20,
    )
    assert operating.is_alive(other.operator)
    assert not operating.is_ready(other.operator)
    other.asked.go_on.set()
    api.wait_until(
        lambda: operating.is_ready(other.operator), lambda: "it is not ready", within_s=20
    )


def test_a_leader_that_ends_in_order_is_followed_at_once(
    server: Server, jobs: Jobs, name: str, operator: Operator, leader: Other
) -> None:
    uid = submit(jobs, name, pods=[{"lasts": "6s"}])
    wait(jobs, name, phase("Running"))
    assert operating.end(leader.operator, within_s=10) == 0
    _wait_leads(server, operator, within_s=_LEASE_SECONDS / 2)
    assert wait_finished(jobs, name)["status"]["attemptsTotal"] == 1
    assert len(child_jobs(jobs, uid)) == 1


def test_what_a_killed_leader_had_under_way_is_finished_by_the_other(
    server: Server, jobs: Jobs, name: str, operator: Operator, leader: Other
) -> None:
    submitted: dict[str, Any] = {
        f"{name}-runs": {"pods": [{"lasts": "6s"}]},
        f"{name}-fails": {"pods": [{"lasts": "3s", "exitCode": 1}], "retries": 1},
        f"{name}-waits": {"delay": 6, "adjustment": "Disabled"},
    }
    uids = {each: submit(jobs, each, **spec) for each, spec in submitted.items()}
    wait(jobs, f"{name}-runs", phase("Running"))
    wait(jobs, f"{name}-fails", phase("Running"))
    operating.kill(leader.operator)
    _wait_leads(server, operator, _TAKES_OVER_WITHIN_S)
    outcomes = {}
    for each, uid in uids.items():
        status = wait_finished(jobs, each)["status"]
        outcomes[each.removeprefix(f"{name}-")] = [a["outcome"] for a in status["attempts"]]
        made = sorted(job["metadata"]["name"] for job in child_jobs(jobs, uid))
        assert made == [attempt["jobName"] for attempt in status["attempts"]]
    assert outcomes == {
        "runs": ["Succeeded"],
        "fails": ["Failed", "Failed"],
        "waits": ["Succeeded"],
    }


def test_a_leader_that_was_stopped_writes_nothing_when_it_goes_on(
    server: Server, jobs: Jobs, name: str, operator: Operator, leader: Other
) -> None:
    """When it wakes, much has fallen due that the other has done meanwhile."""
    runs, fails, cancelled = (f"{name}-{what}" for what in ("runs", "fails", "cancelled"))
    delayed = [f"{name}-{number}" for number in range(4)]
    backoff = {"seconds": 8, "factor": 1, "maxSeconds": 8}
    uids = [
        submit(jobs, cancelled, pods=[{"lasts": "1h"}]),
        submit(jobs, runs, pods=[{"lasts": "8s"}]),
        submit(jobs, fails, pods=[{"exitCode": 1}, {}], backoff=backoff),
        *(submit(jobs, each, delay=8, adjustment="Disabled") for each in delayed),
    ]
    for each in (runs, cancelled):
        wait(jobs, each, phase("Running"))
    wait(jobs, fails, reason("BackingOff"))
    for each in delayed:
        wait(jobs, each, reason("Delayed"))
    with operating.stopped(leader.operator):
        _wait_leads(server, operator, _TAKES_OVER_WITHIN_S)
        watching.change(jobs, cancelled, cancelled=True)
        for each in (runs, fails, *delayed):
            assert wait_finished(jobs, each)["status"]["phase"] == "Succeeded"
        assert wait_finished(jobs, cancelled)["status"]["phase"] == "Cancelled"
        before, written = _versions(jobs), leader.asked.writes
    assert leader.operator.process is not None
    assert leader.operator.process.wait(20) == 1
    assert "the Lease was not renewed" in operating.log_tail(leader.operator)
    assert leader.asked.writes == written
    assert _versions(jobs) == before
    assert [len(child_jobs(jobs, uid)) for uid in uids] == [0, 1, 2, 1, 1, 1, 1]


def _versions(jobs: Jobs) -> dict[str, str]:
    """The BackgroundJobs that there are, and in which version."""
    listed = api.request(jobs.server, "GET", jobs.path).body["items"]
    return {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in listed}
