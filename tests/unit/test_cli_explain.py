"""What explain says: the true cause, the next time where there is one, what changes it."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.unit.builders import (
    CLASS,
    CONFIG,
    NOW,
    UID,
    attempt,
    background_job,
    child_job,
    pod,
    resolved,
    running,
    seconds,
    succeeded,
)

from bgjobs.cli.explain import Explanation, Facts, Lease, explain
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.observation import PodPhase, Waiting
from bgjobs.domain.queue_report import QueueReport
from bgjobs.domain.resource import (
    AttemptOutcome,
    BackgroundJob,
    JobRef,
    Phase,
    Priority,
    Reason,
    Status,
)
from bgjobs.domain.runtimes import Runtime

REPORT = QueueReport(
    max_concurrent=50,
    running=50,
    waiting=3,
    start_window=60,
    starting=5,
    ageing_seconds=300,
    starts_since_aged=1,
)
ROOM = msgspec.structs.replace(REPORT, running=12)
PATCH = "kubectl patch bgjob stock -n shop --type=merge -p"
EDIT = "kubectl edit configmap {} -n bgjobs-system"
START = ["kubectl bgjob start stock -n shop", f'{PATCH} \'{{"spec":{{"startRequests":1}}}}\'']
RETRY = ["kubectl bgjob retry stock -n shop", f'{PATCH} \'{{"spec":{{"retryRequests":1}}}}\'']
DESCRIBE = f"kubectl describe pod -l bgjobs.dev/uid={UID} -n shop"
IS_SEEN = "kubectl wait bgjob/stock -n shop '--for=jsonpath={.status.reason}=Suspended'"
REPLACE_POD = [
    f"kubectl bgjob suspend stock -n shop && {IS_SEEN} && kubectl bgjob resume stock -n shop",
    f'{PATCH} \'{{"spec":{{"suspend":true}}}}\' && {IS_SEEN} '
    f'&& {PATCH} \'{{"spec":{{"suspend":false}}}}\'',
]


def lease(report: QueueReport | None = REPORT, renewed: datetime = NOW) -> Lease:
    return Lease(renewed=renewed, duration=timedelta(seconds=10), holder="one", report=report)


def explained(job: BackgroundJob, **more: Any) -> Explanation:
    fields = {"lease": lease(), "configuration": CONFIG, **more}
    return explain(Facts(job=job, now=NOW, operator_namespace="bgjobs-system", **fields))


def commands(explanation: Explanation) -> list[str]:
    pairs = ((remedy.bgjob, remedy.kubectl) for remedy in explanation.remedies)
    return [command for pair in pairs for command in pair if command]


def other(name: str, *, waits: float = 0, under_way: bool = False, **spec: Any) -> BackgroundJob:
    """Another job, which waits for so many seconds already or has an attempt under way."""
    ref = JobRef(name=f"{name}-1-1", uid=name, run=1, attempt=1)
    status = Status(job_ref=ref) if under_way else Status()
    return background_job(status, uid=name, name=name, created=NOW - seconds(waits), **spec)


def runtimes(**keys: Runtime) -> Configuration:
    named = {key.replace("_", "."): runtime for key, runtime in keys.items()}
    return msgspec.structs.replace(
        CONFIG, runtimes=resolved({"default": Runtime(image="shop:1"), **named})
    )


def late(reason: Reason, minutes: int = 10, **more: Any) -> Status:
    """A status whose next try is to come."""
    return Status(reason=reason, next_attempt_time=NOW + timedelta(minutes=minutes), **more)


def stuck(reason: str, message: str, **more: Any) -> dict[str, Any]:
    waiting = Waiting(reason=reason, message=message)
    return {"child": child_job(), "pod": pod(PodPhase.PENDING, waiting=waiting, **more)}


def ended(reason: Reason, message: str, phase: Phase = Phase.FAILED) -> Status:
    return Status(phase=phase, reason=reason, message=message)


CASES = [
    pytest.param(
        background_job(delay_seconds=3600, retries=0),
        {},
        "Starts at 2030-01-31T13:00:00Z (3600 s delay = |3600 s - 0 retries|).",
        ("13:00:00", "attempt 1 may start"),
        START,
        id="delayed",
    ),
    pytest.param(
        background_job(start_at=NOW + seconds(90)),
        {},
        "Starts at 2030-01-31T12:01:30Z (startAt).",
        ("12:01:30", "attempt 1 may start"),
        START,
        id="startAt",
    ),
    pytest.param(
        background_job(priority=Priority.LOW),
        {"others": (other("a", priority=Priority.HIGH), other("b"), other("c", delay_seconds=60))},
        "Attempt 1 is queued by Low priority: the operator runs as many jobs as it may, 50 "
        "(BGJOBS_MAX_CONCURRENT). Raise startRequests by one to go first. 2 jobs are ahead: 1 of "
        "High priority, 1 of Medium priority.",
        ("12:05:00", "it has a claim to every fourth start"),
        [
            *START,
            f'{PATCH} \'{{"spec":{{"priority":"High"}}}}\'',
            "kubectl set env deployment/bgjobs-operator BGJOBS_MAX_CONCURRENT=100 -n bgjobs-system",
        ],
        id="queued behind higher priority",
    ),
    pytest.param(
        background_job(priority=Priority.HIGH),
        {
            "others": (other("old", waits=301, priority=Priority.LOW),),
            "lease": lease(msgspec.structs.replace(REPORT, starts_since_aged=3)),
        },
        "Attempt 1 is queued by High priority: the operator runs as many jobs as it may, 50 "
        "(BGJOBS_MAX_CONCURRENT). Raise startRequests by one to go first. 1 job is ahead: 1 by a "
        "fourth start.",
        ("12:05:00", "it has a claim to every fourth start"),
        [
            *START,
            "kubectl set env deployment/bgjobs-operator BGJOBS_MAX_CONCURRENT=100 -n bgjobs-system",
        ],
        id="behind the fourth start",
    ),
    pytest.param(
        background_job(),
        {
            "configuration": runtimes(shop=Runtime(image="shop:1", max_concurrent=1)),
            "others": (other("a", under_way=True), other("b", priority=Priority.HIGH)),
            "lease": lease(ROOM),
        },
        "Attempt 1 is queued by Medium priority: runtime shop runs as many jobs as it may, 1 "
        "(maxConcurrent). Raise startRequests by one to go first. 1 job is ahead of runtime shop: "
        "1 of High priority.",
        ("12:05:00", "it has a claim to every fourth start"),
        [*START, EDIT.format("bgjobs-runtimes")],
        id="class limit",
    ),
    pytest.param(
        background_job(priority=Priority.HIGH),
        {
            "configuration": runtimes(shop=Runtime(image="shop:1", max_concurrent=1)),
            "others": (other("a", waits=9, priority=Priority.HIGH),),
            "begun": frozenset({"a"}),
            "lease": lease(ROOM),
        },
        "Attempt 1 is queued by High priority: runtime shop runs as many jobs as it may, 1 "
        "(maxConcurrent). Raise startRequests by one to go first. It is the next of runtime shop "
        "to start.",
        None,
        [*START, EDIT.format("bgjobs-runtimes")],
        id="class limit, by a job whose status does not tell yet that it has begun",
    ),
    pytest.param(
        background_job(priority=Priority.HIGH),
        {"lease": lease(msgspec.structs.replace(ROOM, starting=60))},
        "Attempt 1 is queued by High priority: 60 pods are starting, as many as may at once "
        "(BGJOBS_START_WINDOW). Raise startRequests by one to go first. It is the next to start.",
        None,
        START,
        id="start window",
    ),
    pytest.param(
        background_job(),
        {"lease": lease(ROOM)},
        "Attempt 1 is about to start. It is the next to start.",
        None,
        [*START, f'{PATCH} \'{{"spec":{{"priority":"High"}}}}\''],
        id="about to start",
    ),
    pytest.param(
        background_job(suspend=True),
        {},
        "Suspended: set spec.suspend to false to go on.",
        None,
        ["kubectl bgjob resume stock -n shop", f'{PATCH} \'{{"spec":{{"suspend":false}}}}\''],
        id="suspended",
    ),
    pytest.param(
        background_job(),
        {
            "configuration": runtimes(
                shop=Runtime(image="shop:1", paused="stocktaking"),
                shop_jobs_SyncStock=Runtime(paused="stocktaking", image="shop:1"),
            )
        },
        "Runtime shop.jobs.SyncStock is paused until platform engineers take `paused` out of its "
        "key in ConfigMap bgjobs-runtimes: stocktaking",
        None,
        [
            "kubectl bgjob unpause shop.jobs.SyncStock",
            EDIT.format("bgjobs-runtimes"),
        ],
        id="paused",
    ),
    pytest.param(
        background_job(
            Status(attempts=(attempt(finish=NOW - seconds(1)),), attempts_total=1, retries_used=1)
        ),
        {},
        "Attempt 1 failed with exit code 1. Attempt 2 starts at 2030-01-31T12:00:04Z.",
        ("12:00:04", "attempt 2 may start"),
        START,
        id="backing off",
    ),
    pytest.param(
        background_job(),
        stuck("ImagePullBackOff", "no such image"),
        "Attempt 1 of 4 cannot start: no such image. It is given up at 2030-01-31T12:10:00Z "
        "(pendingDeadlineSeconds).",
        ("12:10:00", "the attempt is given up (pendingDeadlineSeconds)"),
        [EDIT.format("bgjobs-runtimes"), *REPLACE_POD],
        id="image cannot be pulled",
    ),
    pytest.param(
        background_job(),
        stuck("ImagePullBackOff", "no such image", deadline=NOW + seconds(60)),
        "Attempt 1 of 4 cannot start: no such image. It is given up at 2030-01-31T12:01:00Z "
        "(activeDeadlineSeconds).",
        ("12:01:00", "the attempt is given up (activeDeadlineSeconds)"),
        [EDIT.format("bgjobs-runtimes"), *REPLACE_POD],
        id="image cannot be pulled before the deadline",
    ),
    pytest.param(
        background_job(),
        stuck("Unschedulable", "0/3 nodes are available: 3 Insufficient memory."),
        "Attempt 1 of 4 cannot start: 0/3 nodes are available: 3 Insufficient memory. It is given "
        "up at 2030-01-31T12:10:00Z (pendingDeadlineSeconds).",
        ("12:10:00", "the attempt is given up (pendingDeadlineSeconds)"),
        [
            DESCRIBE,
            EDIT.format("bgjobs-runtimes"),
            *REPLACE_POD,
        ],
        id="unschedulable",
    ),
    pytest.param(
        background_job(pending_deadline_seconds=0),
        stuck("CreateContainerConfigError", 'secret "shop" not found'),
        'Attempt 1 of 4 cannot start: secret "shop" not found.',
        None,
        [
            "kubectl get secrets,configmaps -n shop",
            EDIT.format("bgjobs-runtimes"),
            *REPLACE_POD,
        ],
        id="missing Secret",
    ),
    pytest.param(
        background_job(ended(Reason.OOM_KILLED, "Attempt 4 of 4 was killed.")),
        {},
        "Attempt 4 of 4 was killed.",
        None,
        [EDIT.format("bgjobs-runtimes"), *RETRY],
        id="out of memory",
    ),
    pytest.param(
        background_job(ended(Reason.DEADLINE_EXCEEDED, "Ran too long."), active_deadline_seconds=5),
        {},
        "Ran too long.",
        None,
        [f'{PATCH} \'{{"spec":{{"activeDeadlineSeconds":10}}}}\'', *RETRY],
        id="deadline",
    ),
    pytest.param(
        background_job(ended(Reason.DEADLINE_EXCEEDED, "Ran too long.")),
        {"configuration": runtimes(shop=Runtime(active_deadline_seconds=7200))},
        "Ran too long.",
        None,
        [f'{PATCH} \'{{"spec":{{"activeDeadlineSeconds":14400}}}}\'', *RETRY],
        id="deadline of the runtime",
    ),
    pytest.param(
        background_job(ended(Reason.NOT_IN_IMAGE, "Not in the image.")),
        {},
        "Not in the image.",
        None,
        [EDIT.format("bgjobs-runtimes"), *RETRY],
        id="exit 64",
    ),
    pytest.param(
        background_job(ended(Reason.BAD_PARAMETERS, "Unexpected argument."), method="report"),
        {"flags": ("--context", "prod")},
        "Unexpected argument.",
        None,
        [f"kubectl bgjob submit {CLASS} --method report --params-file FILE -n shop --context prod"],
        id="bad parameters",
    ),
    pytest.param(
        background_job(ended(Reason.NOT_ALLOWED, "Not allowed.", Phase.REJECTED)),
        {},
        "Not allowed.",
        None,
        [EDIT.format("bgjobs-allowlist"), *RETRY],
        id="removed from the allowlist",
    ),
    pytest.param(
        background_job(ended(Reason.CANCELLED, "Cancelled.", Phase.CANCELLED), cancelled=True),
        {},
        "Cancelled.",
        None,
        [
            "kubectl bgjob retry stock -n shop",
            f'{PATCH} \'{{"spec":{{"retryRequests":1,"cancelled":false}}}}\'',
        ],
        id="cancelled",
    ),
    pytest.param(
        background_job(Status(reason=Reason.CONFIGURATION_INVALID, message="Waits until mended")),
        {"configuration": Configuration(problems={"bgjobs-runtimes": "key 'shop' is no YAML"})},
        "Waits until a platform engineer mends the operator's configuration: ConfigMap "
        "bgjobs-runtimes: key 'shop' is no YAML",
        None,
        [EDIT.format("bgjobs-runtimes")],
        id="broken runtimes",
    ),
    pytest.param(
        background_job(late(Reason.ADOPTION_CONFLICT, message="A Job of that name exists.")),
        {},
        "A Job of that name exists.",
        ("12:10:00", "attempt 1 is tried again"),
        ["kubectl delete job stock-aeed6fac-1-1 -n shop"],
        id="foreign Job",
    ),
    pytest.param(
        background_job(late(Reason.QUOTA_EXCEEDED, message="exceeded quota: jobs")),
        {},
        "exceeded quota: jobs",
        ("12:10:00", "attempt 1 is tried again"),
        ["kubectl describe resourcequota -n shop"],
        id="quota",
    ),
    pytest.param(
        background_job(),
        {"child": child_job(), "pod": running(deadline=NOW + seconds(60))},
        "Attempt 1 of 4 runs on node-1 since 2030-01-31T12:00:01Z.",
        ("12:01:00", "the attempt is stopped (activeDeadlineSeconds)"),
        [
            "kubectl bgjob logs stock -n shop -f",
            "kubectl bgjob cancel stock -n shop",
            f'{PATCH} \'{{"spec":{{"cancelled":true}}}}\'',
        ],
        id="running",
    ),
    pytest.param(
        background_job(cancelled=True),
        {"child": child_job(), "pod": running(to_be_gone_at=NOW + seconds(30))},
        "Being cancelled: attempt 1 is told to end, and killed if it does not within its grace "
        "period.",
        ("12:00:30", "its pod is killed if it has not ended"),
        [DESCRIBE],
        id="cancelling",
    ),
    pytest.param(
        background_job(),
        {"child": child_job(), "pod": running(lost=True)},
        "Node node-1 does not answer: attempt 1 may still run there, so no other is started. If "
        "the node is off for good: kubectl taint nodes node-1 "
        "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
        None,
        ["kubectl taint nodes node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"],
        id="node lost",
    ),
    pytest.param(
        background_job(),
        {"lease": lease(renewed=NOW - seconds(60))},
        "The operator is not running (its lease was last renewed at 2030-01-31T11:59:00Z). "
        "Nothing starts and nothing is recorded until it runs again.",
        None,
        [
            "kubectl get pods -n bgjobs-system",
            "kubectl logs deployment/bgjobs-operator --previous -n bgjobs-system",
        ],
        id="operator not running",
    ),
    pytest.param(
        background_job(),
        {"lease": Lease(), "child": child_job(), "pod": running()},
        "The operator is not running: there is no Lease bgjobs-operator in namespace "
        "bgjobs-system. The attempt goes on; what became of it is recorded once the operator runs "
        "again.",
        None,
        [
            "kubectl get pods -n bgjobs-system",
            "kubectl logs deployment/bgjobs-operator --previous -n bgjobs-system",
        ],
        id="operator never ran",
    ),
    pytest.param(
        background_job(Status(phase=Phase.RUNNING, reason=Reason.RUNNING)),
        {"child": child_job(), "pod": succeeded()},
        "The operator is about to write: Attempt 1 of 4 succeeded.",
        None,
        [],
        id="ended, not recorded yet",
    ),
]


@pytest.mark.parametrize(("job", "facts", "cause", "upcoming", "changed_by"), CASES)
def test_a_job_is_explained(
    job: BackgroundJob,
    facts: dict[str, Any],
    cause: str,
    upcoming: tuple[str, str] | None,
    changed_by: list[str],
) -> None:
    explanation = explained(job, **facts)
    assert explanation.cause == cause
    said = explanation.next and (f"{explanation.next.time:%H:%M:%S}", explanation.next.what)
    assert said == upcoming
    assert commands(explanation) == changed_by


def could_not_start(reason: Reason) -> Status:
    status = ended(Reason.PENDING_DEADLINE_EXCEEDED, "Attempt 1 of 1 did not start.")
    return msgspec.structs.replace(status, attempts=(attempt(reason=reason),))


@pytest.mark.parametrize(
    ("reason", "mend"),
    [
        (Reason.IMAGE_PULL_BACK_OFF, [EDIT.format("bgjobs-runtimes")]),
        (Reason.UNSCHEDULABLE, [EDIT.format("bgjobs-runtimes")]),
        (Reason.CONFIGURATION_INVALID, [EDIT.format("bgjobs-runtimes")]),
        (
            Reason.CONTAINER_CONFIG_ERROR,
            ["kubectl get secrets,configmaps -n shop", EDIT.format("bgjobs-runtimes")],
        ),
        (Reason.QUOTA_EXCEEDED, ["kubectl describe resourcequota -n shop"]),
        (
            Reason.PENDING_DEADLINE_EXCEEDED,
            [f'{PATCH} \'{{"spec":{{"pendingDeadlineSeconds":1200}}}}\''],
        ),
    ],
)
def test_what_kept_a_job_from_starting_is_mended_before_it_is_run_again(
    reason: Reason, mend: list[str]
) -> None:
    explanation = explained(background_job(could_not_start(reason)))
    assert commands(explanation) == [*mend, *RETRY]


def test_a_job_that_waited_long_has_a_claim_to_fourth_starts() -> None:
    others = tuple(other(name, priority=Priority.HIGH) for name in "abcd")
    job = background_job(created=NOW - seconds(301), priority=Priority.LOW)
    explanation = explained(job, others=others)
    assert explanation.queue is not None
    assert (explanation.queue.place, explanation.queue.waiting) == (3, 5)
    assert explanation.notes == (
        "Every fourth start goes to the job that has waited longest, whatever its priority (3 "
        "starts from now); this job has a claim to them since 2030-01-31T11:59:59Z.",
    )


def test_a_job_that_was_started_by_hand_is_ahead_of_all() -> None:
    others = (other("urgent", priority=Priority.HIGH), other("by-hand", start_requests=1))
    explanation = explained(background_job(), others=others)
    assert explanation.queue is not None
    assert [ahead.why for ahead in explanation.queue.ahead] == ["started by hand", "High priority"]


def test_a_job_waits_behind_those_that_fill_its_runtime() -> None:
    explanation = explained(
        background_job(),
        configuration=runtimes(shop=Runtime(image="shop:1", max_concurrent=2)),
        others=(
            other("running", under_way=True),
            other("urgent", priority=Priority.HIGH),
            other("elsewhere", class_="other.jobs.Job", priority=Priority.HIGH),
        ),
    )
    assert explanation.queue is not None
    assert [ahead.job for ahead in explanation.queue.ahead] == ["shop/urgent"]


def test_a_refusal_stands_until_the_next_try_is_known() -> None:
    status = late(Reason.QUOTA_EXCEEDED, minutes=0, message="exceeded quota: jobs")
    explanation = explained(background_job(status))
    assert (explanation.cause, explanation.next and explanation.next.time) == (
        "exceeded quota: jobs",
        NOW,
    )


def test_what_may_not_be_seen_is_said_and_the_rest_is_explained() -> None:
    explanation = explained(
        background_job(),
        lease=lease(msgspec.structs.replace(REPORT, waiting=300)),
        sees_all=False,
        unreadable=("You may not see BackgroundJobs of other namespaces.",),
    )
    assert explanation.queue is not None
    assert explanation.notes == (
        "The operator has 300 waiting jobs; you may see 1 of them, so others may be ahead.",
    )
    assert explanation.unreadable == ("You may not see BackgroundJobs of other namespaces.",)


def test_without_the_leases_figures_the_place_is_still_told() -> None:
    assert explained(background_job(), lease=None).cause == (
        "It waits until the operator has a place for it; how many jobs run is not known. It is the "
        "next to start."
    )


def test_without_the_configuration_the_operators_words_stay() -> None:
    job = background_job(Status(message="Attempt 1 is queued."))
    explanation = explained(job, configuration=Configuration())
    assert (explanation.cause, explanation.queue) == ("Attempt 1 is queued.", None)


def test_without_an_operator_a_job_that_it_has_seen_is_explained_apart_from_that() -> None:
    unreadable = Configuration(allowlist=None, runtimes=None)
    seen, unseen = (
        explained(
            background_job(Status(message="It waits.", observed_generation=generation)),
            lease=Lease(),
            configuration=unreadable,
        )
        for generation in (1, None)
    )
    assert seen.notes == ("Apart from that: It waits.",)
    assert unseen.notes == ()


def test_a_broken_config_map_is_noted_while_the_last_good_one_is_in_force() -> None:
    job = background_job(Status(message="Attempt 1 is queued."))
    broken = Configuration(problems={"bgjobs-runtimes": "key 'shop' is no YAML"})
    explanation = explained(job, configuration=broken)
    assert (explanation.cause, explanation.notes) == (
        "Attempt 1 is queued.",
        (
            "ConfigMap bgjobs-runtimes cannot be used as it is (key 'shop' is no YAML): the last "
            "good one, which only the operator knows, is in force.",
        ),
    )


def test_an_attempt_whose_job_may_not_be_read_is_explained_by_the_status() -> None:
    ref = JobRef(name="stock-1-1", uid="job-1-1", run=1, attempt=1)
    status = Status(phase=Phase.RUNNING, reason=Reason.RUNNING, message="It runs.", job_ref=ref)
    explanation = explained(background_job(status))
    assert (explanation.phase, explanation.cause, explanation.queue) == (
        "Running",
        "It runs.",
        None,
    )


def test_commands_name_the_cluster_that_was_asked() -> None:
    explanation = explained(background_job(suspend=True), flags=("--context", "prod"))
    assert commands(explanation) == [
        "kubectl bgjob resume stock -n shop --context prod",
        "kubectl patch bgjob stock -n shop --context prod --type=merge "
        '-p \'{"spec":{"suspend":false}}\'',
    ]


def test_as_many_attempts_are_allowed_as_the_operator_tells() -> None:
    deferred = attempt(AttemptOutcome.DEFERRED)
    status = Status(attempts=(deferred,), attempts_total=1, deferrals=1, reason=Reason.RUNNING)
    found = explained(background_job(status), child=child_job(1, 2), pod=running())
    assert found.cause.startswith("Attempt 2 of 5 runs on ")
    assert (found.attempts.in_this_run, found.attempts.allowed_in_this_run) == (1, 5)
