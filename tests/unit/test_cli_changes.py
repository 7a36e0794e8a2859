"""What cancel, start, retry, suspend and resume send, and when it no longer makes sense."""

from typing import Any

import pytest

from bgjobs.cli.changes import (
    CANCEL,
    RESUME,
    RETRY,
    START,
    SUSPEND,
    Change,
    because,
    is_done,
    moved_on,
    operations,
    what_holds,
    what_to_do,
)

SPEC = {"cancelled": False, "suspend": False, "startRequests": 2, "retryRequests": 0}


def job(phase: str = "Failed", uid: str = "one", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "stock", "namespace": "shop", "uid": uid},
        "spec": {**SPEC, **spec},
        "status": {"phase": phase},
    }


def seen(path: str, value: Any) -> dict[str, Any]:
    return {"op": "test", "path": path, "value": value}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (CANCEL, [seen("/spec/cancelled", False), add("/spec/cancelled", True)]),
        (
            because(CANCEL, "a mistake"),
            [
                seen("/spec/cancelled", False),
                add("/spec/cancelled", True),
                add("/spec/cancelReason", "a mistake"),
            ],
        ),
        (START, [seen("/spec/startRequests", 2), add("/spec/startRequests", 3)]),
        (
            RETRY,
            [
                seen("/spec/cancelled", False),
                seen("/spec/retryRequests", 0),
                add("/spec/cancelled", False),
                add("/spec/retryRequests", 1),
            ],
        ),
        (SUSPEND, [seen("/spec/suspend", False), add("/spec/suspend", True)]),
        (RESUME, [seen("/spec/suspend", False), add("/spec/suspend", False)]),
    ],
    ids=["cancel", "cancel with a reason", "start", "retry", "suspend", "resume"],
)
def test_a_change_is_a_patch_of_the_very_job_that_was_seen(
    change: Change, want: list[dict[str, Any]]
) -> None:
    patch = operations(change, job())
    assert [each for each in patch if each["path"] != "/metadata/uid"] == want
    assert seen("/metadata/uid", "one") in patch


def test_a_change_of_all_that_failed_insists_on_the_phase() -> None:
    assert seen("/status/phase", "Failed") in operations(RETRY, job(), in_phase=True)
    assert seen("/status/phase", "Failed") not in operations(RETRY, job())


@pytest.mark.parametrize(
    ("now", "want"),
    [
        pytest.param(job(), None, id="as it was"),
        pytest.param(None, "is gone", id="gone"),
        pytest.param(job(uid="two"), "was replaced by another job of that name", id="replaced"),
        pytest.param(
            job(retryRequests=1),
            "was changed by somebody else: retry requested already",
            id="retried by another",
        ),
        pytest.param(job("Running"), "is Running by now", id="in another phase"),
    ],
)
def test_a_job_that_moved_on_is_told(now: dict[str, Any] | None, want: str | None) -> None:
    assert moved_on(RETRY, job(), now) == want


@pytest.mark.parametrize(
    ("change", "spec", "want"),
    [
        (CANCEL, {"cancelled": True}, True),
        (CANCEL, {}, False),
        (SUSPEND, {"suspend": True}, True),
        (RESUME, {}, True),
        (START, {}, False),
        (RETRY, {}, False),
    ],
)
def test_what_is_done_already_is_known(change: Change, spec: dict[str, Any], want: bool) -> None:
    assert is_done(change, job(**spec)) is want


@pytest.mark.parametrize(
    ("change", "suspend", "reason", "want"),
    [
        pytest.param(START, False, "Delayed", None, id="nothing holds it"),
        pytest.param(
            START,
            True,
            "Suspended",
            "it is suspended, and starts only once it goes on: kubectl bgjob resume stock -n shop",
            id="suspended",
        ),
        pytest.param(
            START,
            False,
            "Paused",
            "its class is paused, and it starts only once platform engineers unpause that: "
            "kubectl bgjob explain stock -n shop",
            id="paused",
        ),
        pytest.param(SUSPEND, True, "Paused", None, id="not asked to start"),
    ],
)
def test_what_keeps_a_job_from_starting_by_hand_is_told(
    change: Change, suspend: bool, reason: str, want: str | None
) -> None:
    held = job("Pending", suspend=suspend)
    held["status"]["reason"] = reason
    assert what_holds(change, held, ()) == want


@pytest.mark.parametrize("reason", ["Suspended", "Paused"])
def test_a_command_that_is_shown_is_about_the_same_cluster(reason: str) -> None:
    held = job("Pending", suspend=reason == "Suspended")
    held["status"]["reason"] = reason
    said = what_holds(START, held, ("--context", "the shop"))
    assert said is not None
    assert said.endswith(" stock -n shop --context 'the shop'")


def test_what_is_about_to_be_done_shows_how_much_it_is() -> None:
    jobs = [job("Failed"), job("Cancelled"), job("Failed")]
    where = "the namespace shop"
    assert what_to_do(RETRY, jobs, where) == (
        "retry 3 BackgroundJobs in the namespace shop (1 Cancelled, 2 Failed)"
    )
    assert what_to_do(CANCEL, [job("Running")], "all namespaces") == (
        "cancel 1 BackgroundJob in all namespaces (1 Running)"
    )
