"""What users, strangers and faults do in one simulation, drawn from one seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tests.faults.cluster import Script
from tests.faults.network import CALM, FATES, Weather

from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES

CLASSES = ("shop.jobs.SyncStock", "shop.mails.Send")
ALLOWED = dict.fromkeys(CLASSES, "handle")
_FEWER = {CLASSES[0]: "handle"}
_BROKEN = {"no class": "handle"}
"""A ConfigMap of this content is no allowlist, and no runtimes either."""
_PLAIN = "plain"
_MILESTONES = ("submitted", "started", "running", "ended", "recorded", "finished")
"""In the life of a job; the attempt that ended is recorded, or the job finished by it."""
_OBSTACLES = ("ImagePullBackOff", "CreateContainerConfigError", "ContainerCreating", "FailedCreate")
_ENDINGS = ("out of memory", "deadline", "evicted", "preempted", "vanishes", "node lost")


class Moment(NamedTuple):
    """Seconds after the start, or after a job's first milestone of that name."""

    seconds: float
    job: str = ""
    milestone: str = ""


class Happening(NamedTuple):
    """Something done to the world. `what` is a method of simulation.World."""

    when: Moment
    what: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Schedule:
    seed: int
    happenings: tuple[Happening, ...]
    weather: Weather = CALM
    script: Callable[[str, int, int], Script] = lambda *_: Script()
    settings: dict[str, Any] = field(default_factory=dict)
    runtime: str = ""
    operators: int = 1
    skew_seconds: float = 0.0
    fate_at: tuple[int, str] | None = None
    """The number, from 1, of a process's write, and its fate."""
    calm_from: float = 0.0
    """When the faults end, and what is left must come to rest."""


class _Job(NamedTuple):
    name: str
    runs_seconds: float
    """Its first attempt, if nothing comes in between."""


def draw(seed: int) -> Schedule:
    """Always the same for a seed: where this changes, kept seeds (seeds.py) must be found anew."""
    rng = random.Random(seed)
    scripts = _Scripts(seed)
    names = [f"job-{number}" for number in range(rng.randint(3, 8))]
    jobs = [_Job(name, scripts(name, 1, 1).runs_seconds) for name in names]
    calm_from = rng.uniform(30, 90)
    happenings = [
        # Whatever befalls the others, one job runs, and its watch breaks.
        Happening(Moment(0.0), "submit", (_PLAIN, {"class": CLASSES[0], "method": "handle"})),
        Happening(Moment(rng.uniform(0, calm_from)), "break_watches", (False,)),
    ]
    for name in names:
        when = Moment(rng.uniform(0, calm_from / 2))
        happenings.append(Happening(when, "submit", (name, _spec(rng))))
    for _ in range(rng.randint(0, 2 * len(names))):
        happenings += _by_user(rng, rng.choice(jobs), calm_from)
    for _ in range(rng.randint(0, 5)):
        happenings += _fault(rng, rng.choice(jobs), calm_from)
    return Schedule(
        seed=seed,
        happenings=tuple(happenings),
        weather=_weather(rng),
        script=scripts,
        settings={
            "max_concurrent": rng.choice((0, 1, 2, 3, 50)),
            "sweep_seconds": rng.choice((10, 30)),
            "ageing_seconds": rng.choice((1, 10)),
        },
        runtime=rng.choice(("", "maxConcurrent: 1", "maxConcurrent: 2")),
        operators=rng.choice((1, 2)),
        fate_at=rng.choice((None, (rng.randint(1, 30), rng.choice(FATES)))),
        skew_seconds=rng.choice((0.0, rng.uniform(-2, 2))),
        calm_from=calm_from,
    )


@dataclass(frozen=True)
class _Scripts:
    """What becomes of each attempt's pod, whenever and however often it is asked."""

    seed: int

    def __call__(self, job: str, run: int, attempt: int) -> Script:
        if job == _PLAIN:
            return Script()
        rng = random.Random(f"{self.seed} {job} {run} {attempt}")
        script = Script(
            starts_after_seconds=rng.choice((0.05, 0.3, rng.uniform(0, 4))),
            runs_seconds=rng.choice((0.05, 0.5, rng.uniform(0, 6))),
            message=f'{{"result": "{job} {run} {attempt}"}}',
            stops_after_seconds=rng.choice((0.05, rng.uniform(0, 3))),
            stops_with=rng.choice((143, 143, 1, 0)),
        )
        another_time = rng.choice(("", f'{{"retryAfterSeconds": {rng.randint(0, 4)}}}'))
        changes: tuple[dict[str, Any], ...] = (
            {},
            {"exit_code": 1, "message": ""},
            {"exit_code": 75, "message": another_time},
            {"exit_code": rng.choice((64, 65, 66, 70))},
            {"waits_for": rng.choice(_OBSTACLES)},
            {"ending": rng.choice(_ENDINGS)},
        )
        return replace(script, **rng.choices(changes, weights=(50, 20, 5, 3, 5, 17))[0])


def _spec(rng: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "class": rng.choice(CLASSES),
        "method": "handle",
        "priority": rng.choice((1, 2, 3, "High", "Medium", "Low")),
        "retries": rng.choice((0, 1, 2, 3)),
        "backoff": {"seconds": rng.choice((0, 1, 2, 6)), "factor": 2, "maxSeconds": 8},
        "pendingDeadlineSeconds": rng.choice((5, 10)),
    }
    optional = {
        "delay": rng.choice((1, 5, "10s", 45)),
        "adjustment": "Disabled",
        "suspend": True,
        "startRequests": 1,
        "retryRequests": 1,
        "ttlSecondsAfterFinished": rng.choice((0, 5, 20)),
    }
    return spec | {key: value for key, value in optional.items() if rng.random() < 0.12}


def _moment(rng: random.Random, job: _Job, calm_from: float) -> Moment:
    """Any, or one after a milestone, or one just before the first attempt ends by itself."""
    soon = rng.choice((0.0, rng.uniform(0, 0.1), rng.uniform(0, 3)))
    moments = (
        Moment(rng.uniform(0, calm_from)),
        Moment(soon, job.name, rng.choice(_MILESTONES)),
        Moment(max(0.0, job.runs_seconds - rng.uniform(0, 0.1)), job.name, "running"),
    )
    return rng.choices(moments, weights=(3, 5, 2))[0]


def _by_user(rng: random.Random, job: _Job, calm_from: float) -> list[Happening]:
    name = job.name
    change = rng.choice(
        (
            {"priority": rng.choice((1, 2, 3))},
            {"retries": rng.choice((0, 1, 3))},
            {"delay": rng.choice((0, 3))},
        )
    )
    what, *arguments = rng.choices(
        (
            ("cancel", name),
            ("change", name, {"suspend": True}),
            ("start", name),
            ("retry", name),
            ("change", name, change),
            ("delete", name),
        ),
        weights=(6, 4, 2, 4, 4, 2),
    )[0]
    first = Happening(_moment(rng, job, calm_from), what, tuple(arguments))
    resumed = Happening(Moment(rng.uniform(0, calm_from)), "change", (name, {"suspend": False}))
    return [first, resumed] if {"suspend": True} in arguments else [first]


def _fault(rng: random.Random, job: _Job, calm_from: float) -> list[Happening]:
    """Something that goes wrong, and where it lasts, its end."""
    name = job.name
    faults: tuple[tuple[tuple[Any, ...], ...], ...] = (
        (("crash",),),
        (("crash",),),
        (("break_watches", False),),
        (("break_watches", True),),
        (("delete_child", name),),
        (("evict", name),),
        (("plant", name),),
        (("set_database", False), ("set_database", True)),
        (("set_quota", True), ("set_quota", False)),
        (("configure", ALLOWLIST, _FEWER), ("configure", ALLOWLIST, ALLOWED)),
        (("configure", ALLOWLIST, _FEWER),),
        (("configure", ALLOWLIST, rng.choice((_BROKEN, None))),),
        (("configure", RUNTIMES, rng.choice((_BROKEN, None))),),
        (("set_runtime", "paused: for a look"), ("set_runtime", "")),
        (("set_runtime", f"maxConcurrent: {rng.randint(1, 3)}"),),
        (("set_runtime", "", f"maxConcurrent: {rng.randint(1, 2)}"),),
        (("set_runtime", "", "maxConcurrent: 1"), ("set_runtime", "")),
    )
    moments = (_moment(rng, job, calm_from), Moment(rng.uniform(0, calm_from)))
    steps = zip(moments, rng.choice(faults), strict=False)
    return [Happening(when, what, tuple(arguments)) for when, (what, *arguments) in steps]


def _weather(rng: random.Random) -> Weather:
    """Mostly one kind of trouble, so that each is met with the others away, too."""
    share = rng.choice((0.02, 0.1, 0.25))
    return rng.choice(
        (
            CALM,
            CALM,
            Weather(lost=share, unanswered=2 * share),
            Weather(unanswered=2 * share),
            Weather(refused=share),
            Weather(slow=2 * share),
            Weather(slow=1),
            Weather(lagging=0.7, watch_seconds=30),
            Weather(silent=0.5, watch_seconds=30),
            Weather(share / 2, share / 4, share / 4, share / 4, 0.3, 0.1, 30),
        )
    )
