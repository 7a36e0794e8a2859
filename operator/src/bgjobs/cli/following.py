"""Stays with a job: until it has finished, or with what its attempts print."""

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from kubernetes.client import ApiException

from bgjobs.cli import cluster as api
from bgjobs.cli.cluster import Cluster
from bgjobs.cli.errors import API_ERRORS, CommandError, is_refusal
from bgjobs.cli.remedies import bgjob
from bgjobs.cli.rendering import printable
from bgjobs.domain.resource import BackgroundJob, Status
from bgjobs.kube import labels

Tell = Callable[[BackgroundJob], None]

Object = dict[str, Any]


class Number(NamedTuple):
    """Of an attempt: its run, and its place in that, both from 1."""

    run: int
    attempt: int


FIRST = Number(1, 1)
_PAUSE_SECONDS = 1.0


def until_finished(
    cluster: Cluster,
    namespace: str,
    name: str,
    tell: Tell,
    print_from: Number | None = None,
    deadline: float = math.inf,
) -> Object:
    """Returns the job once it has finished and is not to run again; tells of it until then.

    Prints what its attempts print, from that one on. Raises CommandError where it is deleted, or
    unfinished at the deadline, a time of the monotonic clock.
    """
    printed: dict[str, Number] = {}
    counts = Counter[str]()
    status: Status | None = None
    for raw in api.watch_background_job(cluster, namespace, name, deadline):
        if raw is None:
            raise CommandError(f"BackgroundJob {name} was deleted before it finished.")
        job = api.parsed(raw)
        status = job.status
        # What was said of an attempt before its log ended would be old news after it.
        is_over = Number(status.run, status.next_attempt) in printed.values()
        if not (status.finished or is_over):
            tell(job)
        if print_from is not None:
            _print_logs(cluster, job, print_from, printed, counts)
        if job.is_done:
            return raw
    assert status is not None
    explain = bgjob("explain", name, namespace, cluster.flags)
    raise CommandError(
        f"{name} is still {status.phase} ({printable(status.message)}): it goes on; wait again, "
        f"or see {explain}"
    )


def _print_logs(
    cluster: Cluster,
    job: BackgroundJob,
    print_from: Number,
    printed: dict[str, Number],
    counts: Counter[str],
) -> None:
    """Prints the logs that have begun, each to its end, or to where it breaks off for now."""
    with _going_on(job.metadata.name, is_told=job.is_done):
        for pod in api.pods(cluster, job.metadata.namespace, job.metadata.uid):
            uid, number = pod["metadata"]["uid"], _number(pod)
            if uid in printed or number is None or number < print_from:
                continue
            with _going_on(_the_attempt(number), is_told=job.is_done):
                has_begun = _print_on(cluster, pod, number, counts)
                # Of one that begins just then, a kubelet may answer with the end of no log.
                if has_begun and (counts[uid] or pod["status"]["phase"] in ("Succeeded", "Failed")):
                    printed[uid] = number


@contextmanager
def _going_on(whose: str, *, is_told: bool) -> Iterator[None]:
    """Goes on after an error that may pass: a node, a proxy or the API server is away."""
    try:
        yield
    except API_ERRORS as error:
        if is_refusal(error):
            raise
        if is_told:
            print(f"({whose}: the end of its log cannot be read.)", file=sys.stderr)


def _print_on(cluster: Cluster, pod: Object, number: Number, counts: Counter[str]) -> bool:
    """Prints a log to its end, and again from where it breaks off as long as that gives more."""
    while True:
        before = counts[pod["metadata"]["uid"]]
        try:
            return _print_log(cluster, pod, number, counts, is_followed=True)
        except API_ERRORS:
            if counts[pod["metadata"]["uid"]] == before:
                raise
            time.sleep(_PAUSE_SECONDS)


def print_log(
    cluster: Cluster, job: BackgroundJob, run: int | None, attempt: int | None, *, is_followed: bool
) -> None:
    """Prints the log of one attempt, else of the run's latest, else of the latest of all.

    Raises CommandError if none is there.
    """
    name = job.metadata.name
    pods = {
        number: pod
        for pod in api.pods(cluster, job.metadata.namespace, job.metadata.uid)
        if (number := _number(pod)) is not None
    }
    recorded = {Number(each.run, each.attempt): each for each in job.status.attempts}
    latest = max({*pods, *recorded}, default=None)
    if latest is None:
        raise CommandError(f"BackgroundJob {name} has made no attempt yet: {job.status.message}")
    of_run = {number for number in {*pods, *recorded} if number.run == (run or latest.run)}
    wanted = max(of_run, default=Number(run or latest.run, 1))
    if attempt is not None:
        wanted = Number(wanted.run, attempt)
    if wanted in pods:
        if not _print_log(cluster, pods[wanted], wanted, Counter(), is_followed=is_followed):
            raise CommandError(f"{_the_attempt(wanted)} of {name} has not begun to run yet.")
        return
    if wanted not in recorded:
        raise CommandError(
            f"{_the_attempt(wanted)} of {name} is not known: its latest is {latest.attempt} of run "
            f"{latest.run}."
        )
    if (tail := recorded[wanted].log_tail) is None:
        raise CommandError(
            f"The log of {_the_attempt(wanted).lower()} of {name} is gone: it went with its pod."
        )
    print(tail, end="" if tail.endswith("\n") else "\n")
    print(f"({_the_attempt(wanted)}: only the end of its log was kept.)", file=sys.stderr)


def _the_attempt(number: Number) -> str:
    return f"Attempt {number.attempt}" + (f" of run {number.run}" if number.run > 1 else "")


def _print_log(
    cluster: Cluster, pod: Object, number: Number, counts: Counter[str], *, is_followed: bool
) -> bool:
    """Prints what follows the bytes that were printed; False where the container has not begun."""
    namespace, name, uid = (pod["metadata"][field] for field in ("namespace", "name", "uid"))
    to_skip = counts[uid]
    try:
        with api.log(cluster, namespace, name, follow=is_followed) as pieces:
            sys.stdout.flush()
            for piece in pieces:
                new = piece[to_skip:]
                to_skip -= len(piece) - len(new)
                if is_followed and new and counts[uid] == 0:
                    print(f"({_the_attempt(number)}, pod {name})", file=sys.stderr)
                counts[uid] += len(new)
                sys.stdout.buffer.write(new)
                sys.stdout.buffer.flush()
    except ApiException as error:
        if error.status in (400, 404):
            return False
        raise
    return True


def _number(pod: Object) -> Number | None:
    """None for a pod that merely bears our label."""
    found = pod["metadata"]["labels"]
    try:
        return Number(int(found[labels.RUN]), int(found[labels.ATTEMPT]))
    except (KeyError, ValueError):
        return None
