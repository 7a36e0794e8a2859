"""The predicted order of starts is the one in which the admission queue starts jobs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import NOW, seconds

from bgjobs.controller.admission import AdmissionQueue
from bgjobs.domain.ranking import AGED_START_EVERY, Candidate, predicted_starts
from bgjobs.domain.resource import Priority

AGEING = timedelta(minutes=5)
LIMITS = {"default": 0, "one": 1, "three": 3}


def candidate(uid: str, priority: Priority = Priority.MEDIUM, **more: Any) -> Candidate:
    fields = {"by_hand": False, "group": "default", "group_limit": 0, "could_start_since": NOW}
    return Candidate(uid=uid, priority=priority, **{**fields, **more})


def predicted(
    candidates: Sequence[Candidate], starts_since_aged: int = 0, **places: int
) -> list[str]:
    starts = predicted_starts(candidates, NOW, AGEING, starts_since_aged, places)
    return [each.uid for each in starts]


def test_the_fourth_start_goes_to_who_has_waited_longest() -> None:
    urgent = [candidate(f"urgent {n}", Priority.HIGH) for n in range(4)]
    old = candidate("old", Priority.LOW, could_start_since=NOW - seconds(301))
    assert predicted([*urgent, old]) == ["urgent 0", "urgent 1", "urgent 2", "old", "urgent 3"]
    assert predicted([*urgent, old], AGED_START_EVERY)[0] == "old"


def test_who_finds_no_place_in_its_group_is_left_out() -> None:
    group = [candidate(uid, group="shop", group_limit=3) for uid in "abc"]
    assert predicted([*group, candidate("other", Priority.LOW)], shop=2) == ["a", "b", "other"]


CANDIDATES = st.lists(
    st.builds(
        lambda uid, age, by_hand, priority, group: candidate(
            uid,
            priority,
            could_start_since=NOW - seconds(age),
            by_hand=by_hand,
            group=group,
            group_limit=LIMITS[group],
        ),
        uid=st.text("abcdef", min_size=1, max_size=3),
        age=st.integers(0, 600),
        by_hand=st.booleans(),
        priority=st.sampled_from(Priority),
        group=st.sampled_from(sorted(LIMITS)),
    ),
    unique_by=lambda c: c.uid,
    max_size=30,
)


@given(CANDIDATES, st.integers(0, 5), st.integers(0, 4))
def test_the_admission_queue_starts_in_the_predicted_order(
    candidates: Sequence[Candidate], earlier_starts: int, running_of_three: int
) -> None:
    slots = 1 + len(candidates)
    started: list[str] = []
    queue = AdmissionQueue(slots + running_of_three, 0, AGEING, lambda: NOW, started.append)
    for number in range(earlier_starts):
        queue.acquire(candidate(f"earlier {number}"))
        queue.release(f"earlier {number}")
    for number in range(running_of_three):
        queue.hold(f"three {number}", "three", starting=False)
    for number in range(slots):
        queue.hold(f"holder {number}", "default", starting=False)
    for each in candidates:
        queue.acquire(each)
    for number in range(slots):
        queue.release(f"holder {number}")
    places = {"one": 1, "three": 3 - running_of_three}
    assert started == predicted(candidates, earlier_starts, **places)
