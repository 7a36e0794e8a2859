"""What makes two failures one group."""

import msgspec
import pytest
from tests.unit.builders import CLASS, attempt

from bgjobs.domain.error_group import error_group
from bgjobs.domain.resource import Attempt, AttemptError, AttemptOutcome, Reason

RAISED = AttemptError(type="ValueError", module="shop.jobs", function="SyncStock.handle", line=61)
FAILED = msgspec.structs.replace(attempt(), error=RAISED)


def group_of(failure: Attempt, class_: str = CLASS) -> str:
    group = error_group(failure, class_)
    assert group is not None
    return group.id


def raised(**changes: object) -> Attempt:
    return msgspec.structs.replace(FAILED, error=msgspec.structs.replace(RAISED, **changes))


def test_a_group_is_named_by_exception_and_place() -> None:
    group = error_group(FAILED, CLASS)
    assert group is not None
    assert (group.type, group.place) == ("ValueError", "shop.jobs:61 in SyncStock.handle")
    assert len(group.id) == 12


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(raised(line=62), True, id="another line: the code was edited"),
        pytest.param(raised(type="KeyError"), False, id="another exception"),
        pytest.param(raised(function="fetch"), False, id="another function"),
        pytest.param(raised(module="shop.stock"), False, id="another module"),
    ],
)
def test_one_exception_at_one_place_is_one_group(other: Attempt, same: bool) -> None:
    assert (group_of(other) == group_of(FAILED)) is same


def test_classes_that_fail_in_shared_code_share_the_group() -> None:
    assert group_of(FAILED) == group_of(FAILED, "shop.jobs.Other")


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(attempt(reason=Reason.OOM_KILLED), id="out of memory"),
        pytest.param(raised(module=None), id="outside of the job's code"),
    ],
)
def test_what_no_code_of_the_job_raised_is_grouped_by_class(failure: Attempt) -> None:
    assert group_of(failure) != group_of(failure, "shop.jobs.Other")


def test_an_end_without_a_word_is_grouped_by_its_exit_code() -> None:
    group = error_group(msgspec.structs.replace(attempt(), exit_code=139), CLASS)
    assert group is not None
    assert (group.type, group.place) == ("exit code 139", None)


@pytest.mark.parametrize("outcome", set(AttemptOutcome) - {AttemptOutcome.FAILED})
def test_only_failures_and_deleted_jobs_have_a_group(outcome: AttemptOutcome) -> None:
    group = error_group(attempt(outcome), CLASS)
    assert (group is not None) is (outcome is AttemptOutcome.JOB_DELETED)
