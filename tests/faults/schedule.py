"""What users, strangers and faults do in one simulation, drawn from one seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.faults.cluster import Script
from tests.faults.network import CALM, Weather

from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES

CLASSES = ("shop.jobs.SyncStock", "shop.mails.Send")
ALLOWED = dict.fromkeys(CLASSES, "handle")
BROKEN = {"no class": "handle"}
"""A ConfigMap of this content is no allowlist, and no runtimes either."""
_PLAIN = "plain"
_MILESTONES = ("submitted", "started", "running", "ended", "recorded", "finished")
"""In the life of a job; the attempt that ended is recorded, or the job finished by it."""
_ENDINGS = ("out of memory", "deadline", "evicted", "preempted", "vanishes", "node lost")


@dataclass(frozen=True)
class Submission:
    at: float
    name: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """Seconds after the start, or after the first write of that kind about the job."""

    seconds: float
    job: str = ""
    write: str = ""
    """One of the milestones, or empty."""


@dataclass(frozen=True)
class Happening:
    """Something done to the world. `what` is a method of simulation.World."""

    when: Moment
    what: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Schedule:
    seed: int
    submissions: tuple[Submission, ...]
    happenings: tuple[Happening, ...] = ()
    weather: Weather = CALM
    script: Callable[[str, int, int], Script] = lambda *_: Script()
    settings: dict[str, Any] = field(default_factory=dict)
    runtime: str = ""
    operators: int = 1
    skew_seconds: float = 0.0
    crash_at: tuple[int, bool] | None = None
    calm_from: float = 0.0
    """When the faults end, and what is left must come to rest."""


def draw(seed: int) -> Schedule:
    rng = random.Random(seed)
    names = [f"job-{number}" for number in range(rng.randint(3, 8))]
    calm_from = rng.uniform(30, 90)
    submissions = tuple(
        Submission(rng.uniform(0, calm_from / 2), name, _spec(rng)) for name in names
    )
    # Whatever befalls the others, one job runs.
    plain = Submission(0.0, _PLAIN, {"class": CLASSES[0], "method": "handle"})
    users = [_by_user(rng, names, calm_from) for _ in range(rng.randint(0, 2 * len(names)))]
    faults = [_fault(rng, names, calm_from) for _ in range(rng.randint(1, 6))]
    return Schedule(
        seed=seed,
        submissions=(plain, *submissions),
        happenings=tuple(each for group in (*users, *faults) for each in group),
        weather=_weather(rng),
        script=Scripts(seed),
        settings={
            "max_concurrent": rng.choice((0, 1, 2, 3, 50)),
            "sweep_seconds": rng.choice((10, 30)),
            "ageing_seconds": rng.choice((1, 10)),
        },
        runtime=rng.choice(("", "maxConcurrent: 1", "maxConcurrent: 2")),
        operators=rng.choice((1, 2)),
        skew_seconds=rng.choice((0.0, rng.uniform(-2, 2))),
        calm_from=calm_from,
    )


@dataclass(frozen=True)
class Scripts:
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
        ending = rng.choices(
            ("succeeds", "fails", "asks for another time", "ends retrying", "waits", "other"),
            weights=(50, 20, 5, 3, 5, 17),
        )[0]
        match ending:
            case "fails":
                return replace(script, exit_code=1, message="")
            case "asks for another time":
                said = rng.choice(("", f'{{"retryAfterSeconds": {rng.randint(0, 4)}}}'))
                return replace(script, exit_code=75, message=said)
            case "ends retrying":
                return replace(script, exit_code=rng.choice((64, 65, 66, 70)))
            case "waits":
                reasons = ("ImagePullBackOff", "CreateContainerConfigError", "ContainerCreating")
                return replace(script, waits_for=rng.choice(reasons))
            case "other":
                return replace(script, ending=rng.choice(_ENDINGS))
        return script


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


def _moment(rng: random.Random, names: list[str], calm_from: float) -> Moment:
    if rng.random() < 0.5:
        return Moment(rng.uniform(0, calm_from))
    write = rng.choice(_MILESTONES)
    after = rng.choice((0.0, rng.uniform(0, 0.1), rng.uniform(0, 1)))
    return Moment(after, rng.choice(names), write)


def _by_user(rng: random.Random, names: list[str], calm_from: float) -> list[Happening]:
    name = rng.choice(names)
    when = _moment(rng, [name], calm_from)
    what = rng.choices(
        ("cancel", "suspend", "start", "retry", "change", "delete"),
        weights=(4, 3, 2, 4, 3, 1),
    )[0]
    if what == "suspend":
        back = Happening(Moment(rng.uniform(0, calm_from)), "change", (name, {"suspend": False}))
        first = Happening(when, "change", (name, {"suspend": True}))
        return [first, back] if rng.random() < 0.8 else [first]
    if what == "change":
        changes: tuple[dict[str, Any], ...] = (
            {"priority": rng.choice((1, 2, 3))},
            {"retries": rng.choice((0, 1, 3))},
            {"delay": rng.choice((0, 3))},
        )
        return [Happening(when, "change", (name, rng.choice(changes)))]
    return [Happening(when, what, (name,))]


def _fault(rng: random.Random, names: list[str], calm_from: float) -> list[Happening]:
    name = rng.choice(names)
    when, later = _moment(rng, names, calm_from), Moment(rng.uniform(0, calm_from))
    fault, undo = rng.choice(
        (
            (("crash", rng.uniform(0, 5)), None),
            (("crash", rng.uniform(0, 5)), None),
            (("break_watches",), None),
            (("break_watches", True), None),
            (("delete_child", name), None),
            (("evict", name), None),
            (("plant", name), None),
            (("set_database", False), ("set_database", True)),
            (("set_quota", True), ("set_quota", False)),
            (("configure", ALLOWLIST, {CLASSES[0]: "handle"}), ("configure", ALLOWLIST, ALLOWED)),
            (("configure", ALLOWLIST, {CLASSES[0]: "handle"}), None),
            (("configure", ALLOWLIST, rng.choice((BROKEN, None))), None),
            (("configure", RUNTIMES, rng.choice((BROKEN, None))), None),
            (("set_runtime", "paused: for a look"), ("set_runtime", "")),
            (("set_runtime", f"maxConcurrent: {rng.randint(1, 3)}"), None),
        )
    )
    happenings = [Happening(when, fault[0], fault[1:])]
    return [*happenings, Happening(later, undo[0], undo[1:])] if undo else happenings


def _weather(rng: random.Random) -> Weather:
    """Mostly one kind of trouble, so that each is met with the others away, too."""
    share = rng.choice((0.02, 0.1, 0.25))
    return rng.choice(
        (
            CALM,
            CALM,
            CALM,
            Weather(lost=share, unanswered=2 * share),
            Weather(refused=share),
            Weather(slow=2 * share),
            Weather(lagging=0.7, watch_seconds=30),
            Weather(silent=0.5, watch_seconds=30),
            Weather(share / 2, share / 4, share / 4, share / 4, 0.3, 0.1, 30),
        )
    )
