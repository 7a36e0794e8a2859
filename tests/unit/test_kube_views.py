"""What was seen last: newer states win, whatever the order in which they come."""

from typing import Any

import msgspec
import pytest
from tests.unit.builders import (
    NOW,
    UID,
    background_job,
    child_job,
    failed,
    pod,
    running,
    seconds,
    succeeded,
)

from bgjobs.domain.observation import Pod, PodPhase, Waiting
from bgjobs.kube.views import Doubt, Views


def newer(pod: Pod, version: str = "301") -> Pod:
    return msgspec.structs.replace(pod, resource_version=version)


def test_a_newer_background_job_replaces_an_older_one_and_never_the_other_way() -> None:
    views = Views()
    # 99 and 100: as texts they would be the other way round.
    for version in ("99", "100", "99"):
        views.put_job(background_job(resource_version=version))
    job = views.job(UID)
    assert job is not None
    assert job.metadata.resource_version == "100"


def test_a_pod_that_ends_without_having_started_keeps_why() -> None:
    views, why = Views(), Waiting(reason="ErrImagePull", message="no such image")
    views.put_pod(UID, pod(PodPhase.PENDING, waiting=why))
    views.put_pod(UID, newer(pod(PodPhase.PENDING, to_be_gone_at=NOW)))
    views.put_pod(UID, newer(pod(PodPhase.FAILED)))
    kept = views.pod(UID)
    assert kept is not None
    assert (kept.phase, kept.waiting) == (PodPhase.FAILED, why)
    views.put_pod(UID, newer(failed(), "302"))
    assert views.pod(UID) == newer(failed(), "302")


def test_people_read_a_name_and_of_the_unknown_its_uid() -> None:
    views = Views()
    assert views.name(UID) == UID
    views.put_job(background_job())
    assert views.name(UID) == "shop/stock"


def test_the_same_version_is_taken_again() -> None:
    views = Views()
    views.put_job(background_job())
    again = background_job(retries=7)
    views.put_job(again)
    assert views.job(UID) is again


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(child_job(1, 1), child_job(1, 2), "second", id="later attempt"),
        pytest.param(child_job(1, 2), child_job(1, 1), "first", id="earlier attempt"),
        pytest.param(child_job(1, 9), child_job(2, 1), "second", id="later run"),
        pytest.param(
            child_job(resource_version="99"),
            child_job(resource_version="100"),
            "second",
            id="newer",
        ),
        pytest.param(
            child_job(resource_version="100"), child_job(resource_version="99"), "first", id="older"
        ),
        pytest.param(child_job(), child_job(uid="other"), "first", id="another Job of the name"),
    ],
)
def test_the_newest_child_job_of_the_latest_attempt_is_kept(
    first: Any, second: Any, kept: str
) -> None:
    views = Views()
    views.put_child(UID, first)
    views.put_child(UID, second)
    assert views.child(UID) is {"first": first, "second": second}[kept]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(child_job(1, 2), child_job(1, 1), "second", id="earlier attempt"),
        pytest.param(child_job(gone=True), child_job(uid="other"), "second", id="another Job"),
        pytest.param(child_job(gone=True), child_job(), "first", id="it is gone"),
        pytest.param(
            child_job(resource_version="100"), child_job(resource_version="99"), "first", id="older"
        ),
    ],
)
def test_the_child_job_of_the_attempt_under_way_is_taken_whatever_was_known(
    first: Any, second: Any, kept: str
) -> None:
    views = Views()
    views.put_child(UID, first)
    views.take_child(UID, second)
    assert views.child(UID) is {"first": first, "second": second}[kept]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(running(), newer(succeeded()), "second", id="newer"),
        pytest.param(newer(succeeded()), running(), "first", id="a late event of the same pod"),
        pytest.param(failed(1, 1), running(1, 2), "second", id="later attempt"),
        pytest.param(running(1, 2), newer(failed(1, 1)), "first", id="earlier attempt"),
    ],
)
def test_the_newest_pod_of_the_latest_attempt_is_kept(first: Pod, second: Pod, kept: str) -> None:
    views = Views()
    views.put_pod(UID, first)
    views.put_pod(UID, second)
    assert views.pod(UID) is {"first": first, "second": second}[kept]


def test_a_strangers_pod_of_a_later_attempt_hides_no_pod_of_ours() -> None:
    views = Views()
    views.put_pod(UID, running(run=999, owner_uid="evil"))
    views.put_child(UID, child_job())
    views.put_pod(UID, running())
    views.put_pod(UID, running(run=999, owner_uid="evil"))
    assert views.pod(UID) == running()


def test_while_a_start_is_not_answered_the_pod_of_a_later_attempt_is_kept() -> None:
    views = Views()
    views.put_child(UID, child_job())
    views.put_pod(UID, failed())
    views.doubt(UID, Doubt.START)
    assert views.put_pod(UID, running(attempt=2))
    assert not views.put_pod(UID, newer(failed()))
    views.take_child(UID, child_job(attempt=2))
    assert views.pod(UID) == running(attempt=2)


def test_a_pod_of_another_owner_is_not_kept() -> None:
    views = Views()
    views.put_child(UID, child_job())
    views.put_pod(UID, running(owner_uid="evil"))
    assert views.pod(UID) is None


def test_a_pod_of_another_owner_that_came_first_makes_room() -> None:
    views = Views()
    views.put_pod(UID, newer(running(owner_uid="evil")))
    views.put_child(UID, child_job())
    views.put_pod(UID, running())
    assert views.pod(UID) == running()


def test_a_gone_child_job_is_remembered_as_gone() -> None:
    views = Views()
    views.child_is_gone(UID)
    views.put_child(UID, child_job())
    views.child_is_gone(UID)
    assert views.child(UID) == child_job(gone=True)


def test_a_child_job_that_is_gone_is_not_revived_by_an_older_list() -> None:
    views = Views()
    views.put_child(UID, child_job())
    views.child_is_gone(UID)
    views.put_child(UID, child_job())
    assert views.child(UID) == child_job(gone=True)


def test_a_pod_whose_job_was_deleted_without_it_puts_that_in_doubt() -> None:
    views = Views()
    views.put_child(UID, child_job())
    views.put_pod(UID, running())
    assert not views.is_doubted(UID, Doubt.CHILD)
    assert views.put_pod(UID, msgspec.structs.replace(newer(running()), is_orphan=True))
    assert views.is_doubted(UID, Doubt.CHILD)


def test_a_pod_that_is_gone_keeps_what_it_did_and_puts_its_job_in_doubt() -> None:
    views = Views()
    views.put_pod(UID, running())
    views.remove_pod(UID, newer(running()))
    assert views.pod(UID) == newer(running(gone=True))
    assert views.is_doubted(UID, Doubt.CHILD)


@pytest.mark.parametrize(
    ("seen", "removed"),
    [
        pytest.param(running(), newer(failed()), id="told with its removal"),
        pytest.param(failed(), newer(running()), id="told before"),
    ],
)
def test_a_pod_that_is_gone_keeps_its_last_words(seen: Pod, removed: Pod) -> None:
    views = Views()
    views.put_pod(UID, seen)
    views.remove_pod(UID, removed)
    pod = views.pod(UID)
    assert pod is not None
    assert (pod.ended, pod.exit_code, pod.gone) == (True, 1, True)


@pytest.mark.parametrize("known", [None, running(uid="another")])
def test_a_pod_that_is_not_the_known_one_changes_nothing_when_it_is_gone(
    known: Pod | None,
) -> None:
    views = Views()
    if known is not None:
        views.put_pod(UID, known)
    views.remove_pod(UID, failed())
    assert views.pod(UID) is known
    assert not views.is_doubted(UID, Doubt.CHILD)


def test_what_is_forgotten_leaves_nothing() -> None:
    views = Views()
    views.put_job(background_job())
    views.put_child(UID, child_job())
    views.put_pod(UID, running())
    views.doubt(UID, Doubt.JOB)
    views.doubt(UID, Doubt.CHILD)
    views.forget(UID)
    assert (views.job(UID), views.child(UID), views.pod(UID)) == (None, None, None)
    assert list(views) == []
    assert not any(views.is_doubted(UID, doubt) for doubt in Doubt)


@pytest.mark.parametrize(
    ("heard_after", "trusted_after", "trusted"),
    [
        pytest.param([], 29, True, id="listed just before"),
        pytest.param([], 30, False, id="nothing heard since"),
        pytest.param([29], 58, True, id="heard since"),
        pytest.param([29], 59, False, id="silent since then"),
        pytest.param([40], 41, False, id="what is heard after a silence may be old"),
        pytest.param([40, 69], 70, True, id="a watch has caught up after a while"),
    ],
)
def test_a_view_is_trusted_while_its_watch_is_heard(
    heard_after: list[float], trusted_after: float, trusted: bool
) -> None:
    views = Views()
    views.listed(NOW)
    for after in heard_after:
        views.heard(NOW + seconds(after))
    old = background_job(created=NOW - seconds(3600))
    assert views.is_trusted(old, NOW + seconds(trusted_after)) is trusted


def test_the_view_of_a_young_job_is_trusted_since_it_is_no_older() -> None:
    job = background_job(created=NOW)
    assert Views().is_trusted(job, NOW + seconds(29))
    assert not Views().is_trusted(job, NOW + seconds(30))


def test_it_can_change_while_it_is_gone_through() -> None:
    views = Views()
    for uid in ("a", "b"):
        views.put_job(background_job(uid=uid))
    for uid in views:
        views.forget(uid)
    assert list(views) == []


def test_a_pod_that_was_told_to_end_stays_so_when_its_time_is_taken_back() -> None:
    views = Views()
    views.put_pod(UID, msgspec.structs.replace(running(), told_to_end=True))
    views.put_pod(UID, newer(succeeded()))
    ended = views.pod(UID)
    assert ended is not None
    assert (ended.ended, ended.told_to_end) == (True, True)
    views.remove_pod(UID, newer(succeeded(), "302"))
    gone = views.pod(UID)
    assert gone is not None
    assert (gone.gone, gone.told_to_end) == (True, True)
