"""The operator is killed before and after each kind of write: only time is lost by it.

Each case is compared with a run of the same job in which nobody was killed.
"""

import functools
import itertools
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from tests import auditing, operating, watching
from tests import server as api
from tests.operating import Operator
from tests.proxying import NoAnswerError, Request, proxy
from tests.server import Jobs, Server
from tests.watching import (
    OPERATOR_NAMESPACE,
    allow,
    change,
    child_jobs,
    jobs_path,
    phase,
    pods,
    reason,
    set_key,
    submit,
    wait,
    wait_event,
    wait_finished,
)

_FAILS = {"exitCode": 1}
_SUCCEEDS = {"exitCode": 0}
_HANGS = {"lasts": "1h"}
_AT_ONCE = {"seconds": 0, "factor": 1, "maxSeconds": 0}
_CLASS = "killed.jobs.Job"

_WITHIN_S = 60
"""For what a restart of the operator may come between."""

_OF_ONE_RUN = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=it took )\d+(?= s)|(?<=job-)[0-9a-f]{8}(?=-\d)"
)
_PATH = re.compile(r"/namespaces/(?P<namespace>[^/]+)/(?P<resource>[^/?]+)(/[^/?]+/?)?(?P<sub>\w*)")

# What is looked for twice a minute is looked for every second, and goes without its minute.
_IMPATIENT = """
import sys
from datetime import timedelta
from bgjobs import main
from bgjobs.controller import resync
assert resync._NAME_STAYS_FOR == timedelta(seconds=60)
resync._NAME_STAYS_FOR = timedelta()
assert main._CHILD_JOBS_EVERY_SECONDS == 30
main._CHILD_JOBS_EVERY_SECONDS = 1
sys.exit(main.main())
"""


class Killer:
    """Kills the operator at one of its writes, once, and starts it again at once."""

    def __init__(self, operator: Operator, starter: Executor) -> None:
        self._operator = operator
        # Its thread outlives the operator: the kernel ends the operator with its starter.
        self._starter = starter
        self._lock = threading.Lock()
        self._due: tuple[str, str, str] | None = None
        self._killed: Future[Future[None]] = Future()

    def arm(self, moment: str, write: str, namespace: str) -> None:
        self._killed = Future()
        self._due = (moment, write, namespace)

    def asked(self, request: Request) -> None:
        self._strike("before", request)

    def answered(self, request: Request, status: int) -> None:
        if status < 300:
            self._strike("after", request)

    def wait_back(self) -> None:
        """Until the operator was killed and is ready again."""
        self._killed.result(_WITHIN_S).result(_WITHIN_S)

    def _strike(self, moment: str, request: Request) -> None:
        if request.method == "GET":
            return
        with self._lock:
            if self._due != (moment, *_described(request)):
                return
            self._due = None
        operating.kill(self._operator)
        self._killed.set_result(self._starter.submit(operating.start, self._operator))
        raise NoAnswerError


def _described(request: Request) -> tuple[str, str]:
    """What is written, as the audit log has it, and in which namespace."""
    match = _PATH.search(request.target)
    assert match is not None
    body = json.loads(request.body or "null")
    write = auditing.what(request.method, match["resource"], match["sub"], body)
    return write, match["namespace"]


@pytest.fixture(scope="module")
def killer(server: Server, operator: Operator, jobs: Jobs) -> Iterator[Killer]:
    allow(jobs, _CLASS)
    with ThreadPoolExecutor(max_workers=1) as starter:
        killer = Killer(operator, starter)
        with (
            proxy(server, killer.asked, killer.answered) as url,
            operating.otherwise(operator, url, ("-c", _IMPATIENT), BGJOBS_SWEEP_SECONDS="1"),
        ):
            yield killer


def _succeeds(jobs: Jobs) -> None:
    submit(jobs, "job", parameters={"warehouse": 7})


def _lasts(jobs: Jobs) -> None:
    submit(jobs, "job", pods=[{"lasts": "4s"}])


def _lasts_beyond_the_lease(jobs: Jobs) -> None:
    _lasts(jobs)
    assert api.request(jobs.server, "DELETE", operating.LEASE).status == 200


def _is_retried(jobs: Jobs) -> None:
    submit(jobs, "job", pods=[_FAILS, _SUCCEEDS], backoff=_AT_ONCE)


def _fails(jobs: Jobs) -> None:
    submit(jobs, "job", pods=[_FAILS], retries=0)


def _is_delayed(jobs: Jobs) -> None:
    submit(jobs, "job", delay=4, adjustment="Disabled")


def _is_cancelled(jobs: Jobs) -> None:
    submit(jobs, "job", pods=[_HANGS])
    wait(jobs, "job", phase("Running"), _WITHIN_S)
    change(jobs, "job", cancelled=True, cancelReason="ordered twice")


def _is_cancelled_before_it_starts(jobs: Jobs) -> None:
    submit(jobs, "job", delay="1h")
    wait(jobs, "job", reason("Delayed"), _WITHIN_S)
    change(jobs, "job", cancelled=True)


def _is_suspended(jobs: Jobs) -> None:
    submit(jobs, "job", pods=[_HANGS, _SUCCEEDS], retries=0)
    wait(jobs, "job", phase("Running"), _WITHIN_S)
    change(jobs, "job", suspend=True)
    wait(jobs, "job", lambda job: len(job["status"].get("attempts", ())) == 1, _WITHIN_S)
    change(jobs, "job", suspend=False)


def _is_run_again(jobs: Jobs) -> None:
    submit(jobs, "job", pods=[_FAILS, _SUCCEEDS], retries=0)
    wait(jobs, "job", phase("Failed"), _WITHIN_S)
    change(jobs, "job", retryRequests=1)
    wait(jobs, "job", phase("Succeeded"), _WITHIN_S)


def _is_rejected(jobs: Jobs) -> None:
    submit(jobs, "job", class_=_CLASS, delay=1, adjustment="Disabled")
    set_key(jobs.server, "bgjobs-allowlist", _CLASS, None)
    wait_finished(jobs, "job", _WITHIN_S)
    allow(jobs, _CLASS)


def _never_starts(jobs: Jobs) -> None:
    waiting = {"reason": "ContainerCreating", "message": ""}
    submit(jobs, "job", parameters={"waiting": waiting}, pendingDeadlineSeconds=1, retries=0)


def _is_disrupted(jobs: Jobs) -> None:
    submit(jobs, "job", pods=[{"exitCode": 143, "disrupted": "preempted"}, _SUCCEEDS])


def _has_its_child_job_deleted(jobs: Jobs) -> None:
    uid = submit(jobs, "job", pods=[_HANGS, _SUCCEEDS], backoff=_AT_ONCE)
    wait(jobs, "job", phase("Running"), _WITHIN_S)
    [child] = child_jobs(jobs, uid)
    path = f"{jobs_path(jobs)}/{child['metadata']['name']}?propagationPolicy=Background"
    assert api.request(jobs.server, "DELETE", path).status == 200


def _loses_its_child_job(jobs: Jobs) -> None:
    uid = submit(jobs, "job")
    wait_finished(jobs, "job", _WITHIN_S)
    api.wait_until(
        lambda: "completionTime" in child_jobs(jobs, uid)[0]["status"],
        lambda: "the child Job does not complete",
        within_s=_WITHIN_S,
    )
    _age(jobs, child_jobs(jobs, uid)[0])
    api.wait_until(
        lambda: child_jobs(jobs, uid) == [],
        lambda: "the child Job is still there",
        within_s=_WITHIN_S,
    )


def _age(jobs: Jobs, child: Any) -> None:
    """Lets the child Job have ended long ago."""
    long_ago = "2020-01-01T00:00:00Z"
    conditions = [c | {"lastTransitionTime": long_ago} for c in child["status"]["conditions"]]
    path = f"{jobs_path(jobs)}/{child['metadata']['name']}/status"
    change = [{"op": "replace", "path": "/status/conditions", "value": conditions}]
    answer = api.request(
        jobs.server, "PATCH", path, change, content_type="application/json-patch+json"
    )
    assert answer.status == 200, answer.message


Story = Callable[[Jobs], None]

_CASES: list[tuple[Story, str]] = [
    (_succeeds, "POST jobs"),
    (_succeeds, "PATCH status Succeeded"),
    (_succeeds, "POST events Succeeded"),
    (_lasts, "PATCH status Running"),
    (_lasts, "PATCH leases"),
    (_lasts_beyond_the_lease, "POST leases"),
    (_is_retried, "PATCH status Retrying BackingOff"),
    (_is_retried, "POST events RetryScheduled"),
    (_never_starts, "PATCH status Pending Starting"),  # that it is given up
    (_never_starts, "DELETE jobs"),
    (_never_starts, "PATCH status Failed PendingDeadlineExceeded"),
    (_is_disrupted, "PATCH status Retrying Queued"),
    (_has_its_child_job_deleted, "PATCH status Retrying BackingOff"),
    (_fails, "PATCH status Failed Error"),
    (_is_delayed, "PATCH status Pending Delayed"),
    (_is_cancelled, "PATCH status Cancelling"),
    (_is_cancelled, "DELETE jobs"),
    (_is_cancelled, "PATCH status Cancelled"),
    (_is_cancelled_before_it_starts, "PATCH status Cancelled"),
    (_is_suspended, "PATCH status Pending Suspended"),
    (_is_suspended, "DELETE jobs"),
    (_is_suspended, "PATCH status Retrying Suspended"),
    (_is_run_again, "PATCH status Pending Queued"),
    (_is_rejected, "PATCH status Rejected NotAllowed"),
    (_loses_its_child_job, "DELETE jobs"),
]
_PASSING = {
    "PATCH status Running",
    "PATCH status Pending Starting",
    "PATCH status Retrying Starting",
    "PATCH status Pending Delayed",
}
"""What is written only if it lasts."""

_ALONE = ("nodeName", "start", "finish", "jobName", "resources")
"""Of an attempt, what differs from run to run, or goes with a pod that was not seen."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("story", "write"),
    [pytest.param(*case, id=f"{case[0].__name__[1:]}, {case[1]}") for case in _CASES],
)
def test_a_kill_changes_nothing_but_time(
    server: Server,
    name: str,
    killer: Killer,
    database: sa.Engine,
    clean: Callable[[Story], Any],
    story: Story,
    write: str,
    moment: str,
) -> None:
    expected, expected_events = clean(story)
    jobs = watching.new_namespace(server, f"killed-{name}")
    killer.arm(moment, write, OPERATOR_NAMESPACE if "leases" in write else jobs.namespace)
    story(jobs)
    job = wait_finished(jobs, "job", _WITHIN_S)
    killer.wait_back()
    assert _end(jobs, job, database) == expected
    # An Event may be lost, but none is posted twice.
    assert _events(jobs) <= expected_events


@pytest.fixture(scope="module")
def clean(server: Server, killer: Killer, database: sa.Engine) -> Callable[[Story], Any]:
    """How a story ends if nobody is killed, and the Events that it posts."""
    assert killer is not None

    @functools.cache
    def run(story: Story) -> Any:
        jobs = watching.new_namespace(server, f"clean{story.__name__.replace('_', '-')}")
        story(jobs)
        job = wait_finished(jobs, "job", _WITHIN_S)
        wait_event(server, jobs.namespace, "job", job["status"]["phase"])
        return _end(jobs, job, database), _events(jobs)

    return run


def _end(jobs: Jobs, job: Any, database: sa.Engine) -> Any:
    """All that is left of a job, and what was done on the way."""
    status, uid = job["status"], job["metadata"]["uid"]
    last = auditing.what_status(status)
    every = auditing.wait_written(jobs.server, jobs.namespace, last)
    writes = [write for write in every if write.status < 300]
    statuses = [w.what for w in writes if "status" in w.what and w.what not in _PASSING]
    row = watching.wait_row(database, job)
    return _comparable(
        {
            "status": {
                **status,
                "conditions": {c["type"]: c | {"type": None} for c in status["conditions"]},
                "attempts": [
                    {key: value for key, value in attempt.items() if key not in _ALONE}
                    for attempt in status.get("attempts", ())
                ],
                "startTime": None,
                "runSeconds": None,
            },
            "statuses in order, each once": [what for what, _ in itertools.groupby(statuses)],
            "starts": [w.name.rpartition("-")[2] for w in writes if w.what == "POST jobs"],
            "deletions": [w.what for w in writes if w.what.startswith("DELETE")],
            "child Jobs": len(child_jobs(jobs, uid)),
            "pods": len(pods(jobs, uid)),
            "row": {key: row[key] for key in ("phase", "reason", "message", "attempts_total")},
        }
    )


def _events(jobs: Jobs) -> Counter[str]:
    writes = auditing.writes(jobs.server, jobs.namespace)
    return Counter(w.what for w in writes if w.what.startswith("POST events") and w.status < 300)


def _comparable(value: Any) -> Any:
    """Without the times, and what names of child Jobs have from their uid."""
    return json.loads(_OF_ONE_RUN.sub("<own>", json.dumps(value)))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_job_that_has_expired_goes_and_leaves_its_row(
    server: Server, name: str, killer: Killer, database: sa.Engine, moment: str
) -> None:
    jobs = watching.new_namespace(server, f"killed-{name}")
    killer.arm(moment, "DELETE backgroundjobs", jobs.namespace)
    uid = submit(jobs, "job", ttlSecondsAfterFinished=0)
    killer.wait_back()
    row = watching.wait_row_where(database, uid, lambda row: row["deleted_at"] is not None)
    assert (row["phase"], row["attempts_total"]) == ("Succeeded", 1)
    assert api.request(jobs.server, "GET", f"{jobs.path}/job").status == 404
    writes = auditing.writes(jobs.server, jobs.namespace)
    assert [write.what for write in writes].count("POST jobs") == 1
