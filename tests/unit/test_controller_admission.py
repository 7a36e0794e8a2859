"""The admission queue: who starts next, within the limits, and that nobody starves."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import NOW, Time, seconds

from bgjobs.controller.admission import AdmissionQueue
from bgjobs.domain.queue_report import QueueReport
from bgjobs.domain.ranking import Blocked, Candidate, Limit
from bgjobs.domain.resource import Priority

HIGH, MEDIUM, LOW = Priority.HIGH, Priority.MEDIUM, Priority.LOW


def candidate(uid: str, priority: Priority = MEDIUM, since: float = 0, **more: Any) -> Candidate:
    """A job that could start since so many seconds after NOW."""
    fields = {"by_hand": False, "group": "default", "group_limit": 0, **more}
    return Candidate(uid=uid, priority=priority, could_start_since=NOW + seconds(since), **fields)


class Queue(AdmissionQueue):
    """An admission queue that remembers whom it called, with a clock of its own."""

    def __init__(self, max_concurrent: int = 1, start_window: int | None = 0) -> None:
        self.time = Time()
        self.called: list[str] = []
        super().__init__(
            max_concurrent,
            start_window,
            timedelta(minutes=5),
            self.time.now,
            self.called.append,
        )

    def starts(self, count: int) -> list[str]:
        """Frees one slot after the other and says who got it."""
        for _ in range(count):
            self.release(self.called[-1] if self.called else "holder")
        return self.called[-count:]


def full(*candidates: Candidate) -> Queue:
    """A queue whose only slot is taken, with candidates that wait."""
    queue = Queue()
    queue.hold("holder", "default", starting=False)
    for each in candidates:
        assert not queue.acquire(each)
    return queue


def test_it_reports_its_figures() -> None:
    queue = full(candidate("a"), candidate("b"))
    queue.release("holder")  # "a" starts
    assert queue.report() == QueueReport(
        max_concurrent=1,
        running=1,
        waiting=1,
        start_window=0,
        starting=1,
        ageing_seconds=300,
        starts_since_aged=1,
    )


def test_a_job_starts_at_once_while_there_is_room() -> None:
    queue = Queue(max_concurrent=2)
    assert [queue.acquire(candidate(uid)) for uid in "abc"] == [True, True, False]
    assert (queue.running, queue.waiting) == (2, 1)
    assert queue.called == []


def test_no_limit_lets_everybody_start() -> None:
    queue = Queue(max_concurrent=0)
    assert all(queue.acquire(candidate(str(n))) for n in range(1000))


def test_by_hand_comes_first_then_priority_then_waiting_time() -> None:
    queue = full(
        candidate("low", LOW, since=0),
        candidate("late", MEDIUM, since=9),
        candidate("early", MEDIUM, since=5),
        candidate("high", HIGH, since=20),
        candidate("low by hand", LOW, since=30, by_hand=True),
    )
    assert queue.starts(5) == ["low by hand", "high", "early", "late", "low"]


def test_a_job_that_was_admitted_may_start_when_it_asks_again() -> None:
    queue = full(candidate("a"))
    queue.release("holder")
    assert queue.called == ["a"]
    assert queue.acquire(candidate("a"))
    assert (queue.running, queue.waiting) == (1, 0)


def test_a_job_that_holds_a_slot_takes_no_second_one() -> None:
    queue = Queue(max_concurrent=2)
    assert queue.acquire(candidate("a"))
    assert queue.acquire(candidate("a"))
    queue.hold("a", "default", starting=False)
    assert queue.running == 1


def test_a_release_without_a_slot_frees_none() -> None:
    queue = full(candidate("a"))
    queue.release("a")
    queue.release("stranger")
    assert (queue.running, queue.waiting, queue.called) == (1, 0, [])


def test_a_job_that_runs_already_counts_though_there_is_no_room() -> None:
    queue = full()
    queue.hold("another", "default", starting=False)
    assert queue.running == 2
    queue.release("another")
    assert not queue.acquire(candidate("a"))


def test_a_job_that_gives_up_waiting_is_passed_over() -> None:
    queue = full(candidate("a", HIGH), candidate("b"))
    queue.release("a")
    assert queue.starts(1) == ["b"]


@pytest.mark.parametrize(
    ("again", "order"),
    [
        pytest.param(candidate("b", HIGH), ["b", "a"], id="raised priority"),
        pytest.param(candidate("b", MEDIUM, by_hand=True), ["b", "a"], id="started by hand"),
        pytest.param(candidate("b", LOW), ["a", "b"], id="lowered priority"),
    ],
)
def test_a_job_that_asks_again_with_another_rank_changes_its_place(
    again: Candidate, order: list[str]
) -> None:
    queue = full(candidate("a", MEDIUM), candidate("b", MEDIUM, since=1))
    assert not queue.acquire(again)
    assert queue.waiting == 2
    assert queue.starts(2) == order


def test_one_start_in_four_goes_to_who_has_waited_longest() -> None:
    queue = full(
        *(candidate(f"high {n}", HIGH, since=400 + n) for n in range(8)),
        candidate("old", LOW, since=0),
        candidate("older", LOW, since=-1),
    )
    queue.time.pass_seconds(301)
    assert queue.starts(9) == [
        "high 0",
        "high 1",
        "high 2",
        "older",
        "high 3",
        "high 4",
        "high 5",
        "old",
        "high 6",
    ]


def test_nobody_is_aged_before_the_time() -> None:
    queue = full(
        *(candidate(f"high {n}", HIGH, since=n) for n in range(6)), candidate("old", LOW, since=0)
    )
    queue.time.pass_seconds(300)
    assert queue.starts(6) == [f"high {n}" for n in range(6)]


def test_an_urgent_job_waits_for_at_most_one_aged_start() -> None:
    queue = full(*(candidate(f"old {n}", LOW, since=n) for n in range(50)))
    queue.time.pass_seconds(10_000)
    assert queue.starts(10) == [f"old {n}" for n in range(10)]
    assert not queue.acquire(candidate("urgent", HIGH, since=10_000))
    assert "urgent" in queue.starts(2)


def test_a_group_is_limited_by_itself() -> None:
    queue = Queue(max_concurrent=0)
    assert queue.acquire(candidate("a", group="shop", group_limit=1))
    assert not queue.acquire(candidate("b", group="shop", group_limit=1))
    assert queue.acquire(candidate("c"))
    queue.release("a")
    assert queue.called == ["b"]


def test_a_full_group_holds_up_no_other() -> None:
    queue = Queue(max_concurrent=2)
    queue.hold("holder", "shop", starting=False)
    assert not queue.acquire(candidate("blocked", HIGH, group="shop", group_limit=1))
    assert queue.acquire(candidate("free", LOW))


def test_a_full_group_holds_up_no_aged_start_of_another() -> None:
    queue = Queue(max_concurrent=2)
    queue.hold("shop holder", "shop", starting=False)
    queue.hold("holder", "default", starting=False)
    queue.acquire(candidate("blocked", LOW, since=-900, group="shop", group_limit=1))
    for n in range(4):
        queue.acquire(candidate(f"high {n}", HIGH, since=400 + n))
    queue.acquire(candidate("old", LOW, since=-600))
    assert queue.starts(4) == ["high 0", "high 1", "high 2", "old"]


def test_a_job_whose_group_changes_counts_against_the_new_one() -> None:
    queue = Queue(max_concurrent=0)
    queue.hold("a", "old", starting=False)
    queue.hold("b", "new", starting=False)
    assert not queue.acquire(candidate("c", group="old", group_limit=1))
    assert not queue.acquire(candidate("c", group="new", group_limit=1))
    queue.release("a")
    assert queue.called == []
    queue.release("b")
    assert queue.called == ["c"]


def test_jobs_under_way_count_in_another_group_as_soon_as_they_belong_to_it() -> None:
    queue = Queue(max_concurrent=0)
    queue.hold("a", "default", starting=False)
    queue.hold("b", "default", starting=False)
    queue.regroup({"a": "own", "b": "default"})
    assert not queue.acquire(candidate("c", group="own", group_limit=1))
    assert not queue.acquire(candidate("d", group="default", group_limit=1))
    queue.release("a")
    queue.release("b")
    assert queue.called == ["c", "d"]


def test_who_waits_in_a_group_that_is_no_longer_its_own_starts_when_it_asks_again() -> None:
    queue = full(candidate("a"), candidate("b"))
    queue.regroup({"holder": "default", "a": "own", "b": "default"})
    queue.release("holder")
    assert queue.called == ["b"]
    assert not queue.acquire(candidate("a", group="own", group_limit=1))
    queue.release("b")
    assert queue.called == ["b", "a"]


def test_a_raised_limit_lets_jobs_in_when_they_ask_again() -> None:
    queue = Queue(max_concurrent=0)
    assert queue.acquire(candidate("a", group="shop", group_limit=1))
    assert not queue.acquire(candidate("b", group="shop", group_limit=1))
    assert queue.acquire(candidate("b", group="shop", group_limit=2))


def test_as_many_pods_start_at_once_as_the_window_lets() -> None:
    queue = Queue(max_concurrent=0, start_window=2)
    assert [queue.acquire(candidate(uid)) for uid in "abc"] == [True, True, False]
    assert queue.blocked_by("default") == Blocked(by=Limit.START_WINDOW, limit=2)
    queue.hold("a", "default", starting=True)
    assert queue.called == []
    queue.hold("a", "default", starting=False)
    assert queue.called == ["c"]
    assert (queue.running, queue.starting) == (3, 2)


def test_a_job_that_ends_while_it_starts_leaves_the_window() -> None:
    queue = Queue(max_concurrent=0, start_window=1)
    assert [queue.acquire(candidate(uid)) for uid in "ab"] == [True, False]
    queue.release("a")
    assert (queue.called, queue.starting) == (["b"], 1)


def test_what_ran_before_a_restart_is_not_in_the_window() -> None:
    queue = Queue(max_concurrent=0, start_window=1)
    queue.hold("a", "default", starting=False)
    assert queue.acquire(candidate("b"))


def _start(queue: Queue, count: int, within_seconds: float) -> None:
    """So many jobs are admitted at once, and all of them run after that time."""
    uids = [f"{queue.time.now()} {number}" for number in range(count)]
    assert [uid for uid in uids if not queue.acquire(candidate(uid))] == []
    queue.time.pass_seconds(within_seconds)
    for uid in uids:
        queue.hold(uid, "default", starting=False)


def test_the_window_follows_how_long_starts_take() -> None:
    queue = Queue(max_concurrent=0, start_window=None)
    before = queue.report().start_window
    _start(queue, before, within_seconds=3)  # the first of them tell how long it takes alone
    assert queue.report().start_window > before
    _start(queue, 1, within_seconds=0.2)
    _start(queue, queue.report().start_window, within_seconds=3)
    assert queue.report().start_window < before


def test_a_window_that_is_not_full_stays_as_it_is() -> None:
    queue = Queue(max_concurrent=0, start_window=None)
    before = queue.report().start_window
    _start(queue, 1, within_seconds=0.2)
    _start(queue, before // 2, within_seconds=3)
    assert queue.report().start_window == before


@pytest.mark.parametrize(
    ("max_concurrent", "group_limit", "want"),
    [
        (0, 0, None),
        (1, 0, Blocked(by=Limit.OPERATOR, limit=1)),
        (0, 1, Blocked(by=Limit.RUNTIME, limit=1)),
        (1, 1, Blocked(by=Limit.RUNTIME, limit=1)),
    ],
)
def test_the_queue_says_which_limit_is_reached(
    max_concurrent: int, group_limit: int, want: Blocked | None
) -> None:
    queue = Queue(max_concurrent)
    queue.acquire(candidate("a", group_limit=group_limit))
    assert queue.blocked_by("default") == want


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "release", "time"]),
        st.integers(0, 9),
        st.sampled_from(Priority),
        st.sampled_from([("default", 0), ("one", 1), ("two", 2)]),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_no_limit_is_ever_exceeded_and_no_slot_lies_idle(actions: list[Any]) -> None:
    queue = Queue(max_concurrent=3)
    groups: dict[str, tuple[str, int]] = {}
    holders: set[str] = set()
    for action, number, priority, group in actions:
        uid = str(number)
        if action == "time":
            queue.time.pass_seconds(200)
        elif action == "release":
            queue.release(uid)
            groups.pop(uid, None)
            holders.discard(uid)
        else:
            name, limit = groups.setdefault(uid, group)
            asking = candidate(uid, priority, since=number, group=name, group_limit=limit)
            holders |= {uid} if queue.acquire(asking) else set()
        holders |= set(queue.called)
        queue.called.clear()
        assert len(holders) == queue.running <= 3
        assert len(groups) == queue.running + queue.waiting
        for name, limit in [("one", 1), ("two", 2)]:
            assert sum(groups[uid][0] == name for uid in holders) <= limit
        if queue.running < 3:
            full_groups = {
                name
                for name, limit in [("one", 1), ("two", 2)]
                if sum(groups[uid][0] == name for uid in holders) == limit
            }
            assert all(groups[uid][0] in full_groups for uid in set(groups) - holders)


def test_many_starts_keep_the_queue_busy_until_a_while_after_them() -> None:
    queue = Queue(max_concurrent=0)
    for number in range(39):
        queue.acquire(candidate(str(number)))
    assert not queue.is_busy()
    queue.time.pass_seconds(3)
    queue.acquire(candidate("one more"))
    assert queue.is_busy()
    queue.time.pass_seconds(6.9)
    assert queue.is_busy()
    queue.time.pass_seconds(0.1)
    assert not queue.is_busy()


def test_starts_that_come_slowly_keep_nobody_busy() -> None:
    queue = Queue(max_concurrent=0)
    for number in range(100):
        queue.acquire(candidate(str(number)))
        queue.time.pass_seconds(0.3)
        assert not queue.is_busy()
