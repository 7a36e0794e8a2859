"""Conditions change their time only with their status."""

import msgspec
from tests.unit.builders import NOW, seconds

from bgjobs.domain.conditions import with_condition
from bgjobs.domain.resource import Condition

ACCEPTED = Condition(
    type="Accepted",
    status="True",
    reason="Allowed",
    message="It is in the allowlist.",
    last_transition_time=NOW,
    observed_generation=1,
)
FINISHED = msgspec.structs.replace(ACCEPTED, type="Finished", reason="Succeeded")


def test_a_first_condition_is_added() -> None:
    assert with_condition((), ACCEPTED) == (ACCEPTED,)


def test_another_condition_stays_and_the_order_is_by_type() -> None:
    assert with_condition((FINISHED,), ACCEPTED) == (ACCEPTED, FINISHED)


def test_the_same_status_keeps_its_time_and_takes_the_new_message() -> None:
    again = msgspec.structs.replace(
        ACCEPTED, message="Still.", last_transition_time=NOW + seconds(60), observed_generation=2
    )
    want = msgspec.structs.replace(again, last_transition_time=NOW)
    assert with_condition((ACCEPTED,), again) == (want,)


def test_another_status_takes_the_new_time() -> None:
    refused = msgspec.structs.replace(
        ACCEPTED, status="False", last_transition_time=NOW + seconds(60)
    )
    assert with_condition((ACCEPTED,), refused) == (refused,)
