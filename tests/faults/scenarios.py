"""Small schedules, each of one thing that may happen to a job."""

from dataclasses import replace
from typing import Any

from tests.faults.cluster import Script
from tests.faults.network import CALM, CUT_OFF, Weather
from tests.faults.schedule import ALLOWED, CLASSES, Happening, Moment, Schedule

from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES

_JOB = "stock"
_LONG = Script(runs_seconds=1000)


def _scenario(
    *pods: Script,
    then: tuple[Happening, ...] = (),
    weather: Weather = CALM,
    fate_at: tuple[int, str] | None = None,
    class_: str = CLASSES[0],
    seed: int = 0,
    **spec: Any,
) -> Schedule:
    """One job, whose pods end in turn as said; the last one stands for all that follow."""

    def script(_: str, run: int, attempt: int) -> Script:
        return pods[min(run + attempt - 2, len(pods) - 1)] if pods else Script()

    fields = {"class": class_, "backoff": {"seconds": 1, "factor": 1, "maxSeconds": 1}}
    return Schedule(
        seed=seed,
        happenings=(_at(5, "submit", _JOB, fields | spec), *then),
        weather=weather,
        fate_at=fate_at,
        script=script,
        settings={"sweep_seconds": 10},
        calm_from=100.0,
    )


def _at(seconds: float, what: str, *arguments: Any) -> Happening:
    return Happening(Moment(seconds), what, arguments)


def _when(milestone: str, what: str, *arguments: Any, after: float = 0.5) -> Happening:
    return Happening(Moment(after, _JOB, milestone), what, arguments)


_FAILS = Script(exit_code=1)

SCENARIOS = {
    # Their end does not depend on when things happen.
    "succeeds": _scenario(),
    "runs for a while": _scenario(Script(runs_seconds=5)),
    "succeeds at the second try": _scenario(_FAILS, Script()),
    "fails for good": _scenario(_FAILS, retries=1),
    "fails with an exit code that ends retrying": _scenario(Script(exit_code=66)),
    "is put off by itself": _scenario(
        Script(exit_code=75, message='{"retryAfterSeconds": 2}'), Script()
    ),
    "is disrupted": _scenario(Script(ending="preempted"), Script()),
    "is delayed": _scenario(delay=8),
    "is started by hand": _scenario(delay=600, then=(_at(8, "start", _JOB),)),
    "is not allowed": _scenario(class_="shop.jobs.Unknown"),
    "is retried once it is allowed": _scenario(
        class_="shop.jobs.New",
        then=(
            _when("finished", "configure", ALLOWLIST, {**ALLOWED, "shop.jobs.New": "handle"}),
            _when("finished", "retry", _JOB, after=40),
        ),
    ),
    "is allowed no more when it is to be retried": _scenario(
        _FAILS,
        backoff={"seconds": 60, "factor": 1, "maxSeconds": 60},
        then=(_when("recorded", "configure", ALLOWLIST, {"shop.jobs.New": "handle"}),),
    ),
    "is cancelled while it runs": _scenario(_LONG, then=(_when("running", "cancel", _JOB),)),
    "is cancelled before it starts": _scenario(delay=600, then=(_at(8, "cancel", _JOB),)),
    "is cancelled while no watch tells": _scenario(
        delay=60,
        weather=Weather(silent=1),
        then=(_at(6, "break_watches", True), _at(10, "cancel", _JOB)),
    ),
    "is cancelled while the answer to its start is lost": _scenario(
        _LONG,
        fate_at=(1, CUT_OFF),
        then=(_when("started", "cancel", _JOB, after=0.0),),
    ),
    "is suspended and resumed": _scenario(
        _LONG,
        Script(),
        then=(
            _when("running", "change", _JOB, {"suspend": True}),
            _when("recorded", "change", _JOB, {"suspend": False}),
        ),
    ),
    "is retried by hand": _scenario(
        _FAILS, Script(), retries=0, then=(_when("finished", "retry", _JOB),)
    ),
    "is retried by hand just before its time is over": _scenario(
        _FAILS,
        Script(),
        retries=0,
        ttlSecondsAfterFinished=3,
        weather=Weather(lagging=1),
        seed=4,  # the sweep sees the retry before the watch tells of it
        then=(_when("finished", "retry", _JOB, after=1),),
    ),
    "never starts": _scenario(
        Script(waits_for="ImagePullBackOff"), retries=0, pendingDeadlineSeconds=5
    ),
    "goes when its time is over": _scenario(ttlSecondsAfterFinished=5),
    "is deleted while it runs": _scenario(_LONG, then=(_when("running", "delete", _JOB),)),
}

_OTHER = {"class": CLASSES[0], "method": "handle"}
_LASTS = Script(runs_seconds=20)
_AT_ONCE = {"seconds": 0, "factor": 1, "maxSeconds": 0}

RACES = {
    "loses its child Job, and the operator is killed while its pod still ends": _scenario(
        replace(_LASTS, stops_after_seconds=10),
        then=(
            _when("running", "delete_child", _JOB, after=0.1),
            _when("running", "crash", after=0.2),
        ),
    ),
    "loses its child Job while no operator runs, and another job waits for its place": replace(
        _scenario(
            _LASTS,
            backoff=_AT_ONCE,
            weather=Weather(unanswered=0.3),
            seed=16,  # the answer to the status that records the end is lost
            then=(
                _at(6, "submit", "other", _OTHER),
                _when("running", "crash", after=8),
                _when("running", "delete_child", _JOB, after=8.1),
            ),
        ),
        runtime="maxConcurrent: 1",
    ),
    "its class gets a runtime of its own while it runs": _scenario(
        _LASTS,
        then=(
            _at(10, "set_runtime", "", "maxConcurrent: 1"),
            _at(15, "submit", "other", _OTHER),
        ),
    ),
    "the operator is started again while the runtimes are broken": _scenario(
        Script(runs_seconds=40),
        then=(
            _at(1, "set_runtime", "", "maxConcurrent: 1"),
            _at(6, "submit", "other", _OTHER),
            _at(8, "configure", RUNTIMES, {"no class": ""}),
            _at(9, "crash"),
            _at(30, "set_runtime", "", "maxConcurrent: 1"),
        ),
    ),
}
"""Schedules whose end depends on what comes first."""
