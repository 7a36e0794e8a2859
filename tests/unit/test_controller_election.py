"""One process leads at a time, whatever the network, the clocks and the processes do."""

import copy
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.unit.builders import NOW

from bgjobs.controller.election import LEASE_SECONDS, REQUEST_SECONDS, Elector, LeaseLostError
from bgjobs.kube import paths
from bgjobs.kube.api import Api, ApiError

_LEASE = paths.lease("bgjobs-system", "bgjobs-operator")


class Server:
    """An API server that holds one Lease."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self._version = 0

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    def get(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.lease)

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "it is there")
        self.lease = copy.deepcopy(body)
        return self._store()

    def patch(self, operations: list[dict[str, Any]]) -> dict[str, Any]:
        if self.lease is None:
            raise ApiError(404, "NotFound", "it is gone")
        changed = copy.deepcopy(self.lease)
        for operation in operations:
            *parents, key = operation["path"].strip("/").split("/")
            target = changed
            for parent in parents:
                target = target[parent]
            target[key] = copy.deepcopy(operation["value"])
        if changed["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has changed")
        self.lease = changed
        return self._store()

    def _store(self) -> dict[str, Any]:
        assert self.lease is not None
        self._version += 1
        self.lease["metadata"]["resourceVersion"] = str(self._version)
        return copy.deepcopy(self.lease)


class Call:
    """A request under way: whoever drives the coroutine decides when it is answered, and how."""

    def __init__(self, carry_out: Callable[[], Any]) -> None:
        self.carry_out = carry_out

    def __await__(self) -> Generator["Call", Any, Any]:
        return (yield self)


class CallingApi(Api):
    def __init__(self, server: Server) -> None:
        self._lease = server

    async def get(self, path: str) -> Any:
        assert path == _LEASE
        return await Call(self._lease.get)

    async def create(self, path: str, body: dict[str, Any]) -> Any:
        assert f"{path}/{body['metadata']['name']}" == _LEASE
        return await Call(lambda: self._lease.create(body))

    async def patch(self, path: str, operations: list[dict[str, Any]]) -> Any:
        assert path == _LEASE
        return await Call(lambda: self._lease.patch(operations))


class Process:
    """An elector whose requests a test answers. Its clocks are its own."""

    def __init__(self, world: "World", identity: str, rate: float = 1, ahead: float = 0) -> None:
        self.identity = identity
        self._world = world
        self._rate = rate
        self.elector = Elector(
            CallingApi(world.server),
            "bgjobs-system",
            "bgjobs-operator",
            identity,
            seconds=self.seconds,
            now=lambda: NOW + timedelta(seconds=world.seconds * rate + ahead),
            random=world.random.random,
        )

    def seconds(self) -> float:
        return 1000 + self._world.seconds * self._rate

    @property
    def leads(self) -> bool:
        return self.elector.may_write()

    def step(self, *answers: str, lasting: float = 0.01, **annotations: str) -> float:
        """One try, whose requests are `answered`, `lost` (carried out) or `dropped` in turn."""
        pause: float = self._drive(self.elector.step(annotations), list(answers), lasting)
        return pause

    def release(self) -> None:
        self._drive(self.elector.release(), [], 0.01)

    def _drive(
        self, coroutine: Coroutine[Call, Any, Any], answers: list[str], lasting: float
    ) -> Any:
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                call = coroutine.throw(error) if error else coroutine.send(answer)
            except StopIteration as end:
                return end.value
            answer, error = None, None
            how = answers.pop(0) if answers else "answered"
            self._world.seconds += lasting if how == "answered" else REQUEST_SECONDS
            if how != "dropped":
                try:
                    answer = call.carry_out()
                except ApiError as refusal:
                    error = refusal
            if how != "answered":
                error = TimeoutError()


class World:
    """True time, and the API server."""

    def __init__(self, seed: int = 0) -> None:
        self.seconds = 0.0
        self.server = Server()
        self.random = random.Random(seed)

    def pass_seconds(self, count: float) -> None:
        self.seconds += count

    def pass_with(self, seconds: float, *processes: Process) -> None:
        """These processes try as often as they would."""
        until = self.seconds + seconds
        while self.seconds < until:
            for process in processes:
                process.step()
            self.pass_seconds(1.5)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def first(world: World) -> Process:
    """The leader."""
    process = Process(world, "first")
    process.step()
    return process


@pytest.fixture
def second(world: World, first: Process) -> Process:
    """A standby that has seen the leader's Lease. Its wall clock is an hour ahead."""
    assert first.leads
    process = Process(world, "second", ahead=3600)
    process.step()
    return process


def test_the_first_process_leads_at_once(world: World, first: Process) -> None:
    assert first.leads
    assert first.elector.elected.is_set()
    assert world.server.holder == "first"


def test_the_lease_says_what_people_and_other_tools_read(world: World) -> None:
    Process(world, "first").step(queue="7")
    assert world.server.lease is not None
    assert world.server.lease["metadata"]["annotations"] == {"queue": "7"}
    assert world.server.lease["spec"] == {
        "holderIdentity": "first",
        "leaseDurationSeconds": 10,
        "acquireTime": "2030-01-31T12:00:00.010000Z",
        "renewTime": "2030-01-31T12:00:00.010000Z",
        "leaseTransitions": 0,
    }


def test_a_renewal_keeps_what_others_wrote_on_the_lease(world: World, first: Process) -> None:
    assert world.server.lease is not None
    world.server.lease["metadata"]["labels"] = {"team": "platform"}
    world.server.lease["metadata"]["annotations"] = {"note": "ours"}
    first.step("dropped")
    first.step(queue="8")
    assert world.server.lease["metadata"]["labels"] == {"team": "platform"}
    assert world.server.lease["metadata"]["annotations"] == {"note": "ours", "queue": "8"}


def test_a_leader_that_renews_goes_on_leading(
    world: World, first: Process, second: Process
) -> None:
    world.pass_with(60, first, second)
    assert (first.leads, second.leads) == (True, False)
    assert world.server.lease is not None
    assert world.server.lease["spec"]["acquireTime"] < world.server.lease["spec"]["renewTime"]
    assert world.server.lease["spec"]["leaseTransitions"] == 0


def test_a_standby_takes_over_once_the_lease_has_not_changed_for_its_time(
    world: World, second: Process
) -> None:
    world.pass_with(LEASE_SECONDS - 1, second)
    assert not second.leads
    world.pass_with(4, second)
    assert second.leads
    assert world.server.lease is not None
    assert world.server.lease["spec"]["leaseTransitions"] == 1


def test_a_lease_that_by_hand_lasts_for_years_is_taken_all_the_same(
    world: World, first: Process, second: Process
) -> None:
    assert first.leads
    assert world.server.lease is not None
    world.server.lease["spec"]["leaseDurationSeconds"] = 2**31 - 1
    world.pass_with(LEASE_SECONDS + 4, second)
    assert not second.leads
    world.pass_with(2 * LEASE_SECONDS, second)
    assert second.leads


def test_a_leader_stops_writing_well_before_its_lease_ends(world: World, first: Process) -> None:
    world.pass_seconds(5.9)
    assert first.leads
    world.pass_seconds(0.2)
    assert not first.leads


def test_a_leader_that_was_stopped_ends_without_asking(world: World, first: Process) -> None:
    before = world.server.get()
    world.pass_seconds(20)
    with pytest.raises(LeaseLostError, match="not renewed within 6 s"):
        first.step()
    assert world.server.get() == before


def test_a_leader_whose_lease_another_has_taken_ends(world: World, first: Process) -> None:
    assert world.server.lease is not None
    world.server.lease["spec"]["holderIdentity"] = "third"
    first.step("dropped")
    with pytest.raises(LeaseLostError, match="third has taken the Lease"):
        first.step()
    assert not first.leads


def test_a_leader_gets_over_a_reply_that_is_lost(world: World, first: Process) -> None:
    world.pass_seconds(1.5)
    assert first.step("lost") < 1  # it tries again soon
    first.step()
    world.pass_seconds(4)
    assert first.leads


def test_a_leader_that_gets_no_reply_for_too_long_ends(world: World, first: Process) -> None:
    world.pass_seconds(1.5)
    first.step("dropped")
    world.pass_seconds(0.5)
    with pytest.raises(LeaseLostError):
        first.step("dropped")
    assert world.seconds < LEASE_SECONDS


def test_a_slow_reply_counts_from_when_it_was_asked_for(world: World, first: Process) -> None:
    world.pass_seconds(1)
    first.step(lasting=2)
    world.pass_seconds(3.9)
    assert first.leads
    world.pass_seconds(0.2)
    assert not first.leads


def test_a_released_lease_is_taken_at_once(first: Process, second: Process) -> None:
    first.release()
    assert not first.leads
    second.step()
    assert second.leads


def test_what_does_not_lead_releases_nothing(world: World, first: Process, second: Process) -> None:
    second.release()
    assert world.server.holder == "first"
    world.pass_with(20, second := Process(world, "second"))
    first.release()
    assert (world.server.holder, second.leads) == ("second", True)


def test_a_process_started_again_under_its_name_goes_on_at_once(
    world: World, first: Process
) -> None:
    again = Process(world, first.identity)
    again.step()
    assert again.leads


def test_a_take_over_whose_reply_was_lost_is_noticed(world: World, second: Process) -> None:
    world.pass_seconds(LEASE_SECONDS)
    second.step("answered", "lost")
    assert (world.server.holder, second.leads) == ("second", False)
    second.step()
    assert second.leads


def test_a_deleted_lease_is_made_again_by_its_leader_alone(
    world: World, first: Process, second: Process
) -> None:
    world.server.lease = None
    second.step()
    assert world.server.lease is None
    first.step()  # finds it gone
    first.step()
    assert (world.server.holder, first.leads, second.leads) == ("first", True, False)


def test_a_deleted_lease_is_taken_if_its_leader_is_gone_too(world: World, second: Process) -> None:
    world.server.lease = None
    world.pass_with(LEASE_SECONDS, second)
    assert not second.leads
    world.pass_with(4, second)
    assert second.leads


def test_a_lease_emptied_by_hand_is_free(world: World) -> None:
    world.server.create({"metadata": {"name": "bgjobs-operator"}})
    process = Process(world, "first")
    process.step()
    assert process.leads


def test_a_lease_without_its_times_is_renewed_as_a_whole(world: World) -> None:
    """The API server takes no empty time."""
    lease = {"metadata": {"name": "bgjobs-operator"}, "spec": {"holderIdentity": "first"}}
    world.server.create(lease)
    process = Process(world, "first")
    process.step()
    assert process.leads
    assert world.server.lease is not None
    assert world.server.lease["spec"]["acquireTime"] == world.server.lease["spec"]["renewTime"]


def test_a_lease_that_by_hand_has_changed_hands_as_often_as_can_be_told_is_taken(
    world: World, first: Process, second: Process
) -> None:
    first.release()
    assert world.server.lease is not None
    world.server.lease["spec"]["leaseTransitions"] = 2**31 - 1
    second.step()
    assert second.leads
    assert world.server.lease["spec"]["leaseTransitions"] == 2**31 - 1


def test_two_that_find_it_free_do_not_both_get_it(
    world: World, first: Process, second: Process
) -> None:
    third = Process(world, "third")
    third.step()
    first.release()
    steps = [process.elector.step({}) for process in (second, third)]
    reads = [cast(Call, step.send(None)) for step in steps]
    writes = [
        cast(Call, step.send(read.carry_out())) for step, read in zip(steps, reads, strict=True)
    ]
    with pytest.raises(StopIteration):
        steps[0].send(writes[0].carry_out())
    with pytest.raises(ApiError, match="409"):
        writes[1].carry_out()
    assert (second.leads, third.leads) == (True, False)
    steps[1].close()


def test_a_process_hangs_that_takes_no_step_for_long(world: World, first: Process) -> None:
    assert first.elector.is_alive()
    world.pass_seconds(60)
    assert not first.elector.is_alive()


class Simulated:
    """A process in a random schedule, and the request that it waits for."""

    def __init__(self, world: "Schedule", identity: str) -> None:
        rate, ahead = world.random.uniform(0.9, 1.1), world.random.uniform(-3600, 3600)
        self.process = Process(world, identity, rate, ahead)
        self.stopped_until = 0.0
        self._world = world
        self._step: Coroutine[Call, Any, float] | None = None
        self._next_at = 0.0
        self._answer_at = 0.0
        self._answer: Callable[[], Any] = lambda: None

    def act(self, faults: bool) -> None:
        """What is due. Raises LeaseLostError."""
        now = self._world.seconds
        if now < self.stopped_until:
            return
        if self._step is None:
            if now >= self._next_at:
                self._step = self.process.elector.step({})
                self._go_on(lambda: None, faults)
        elif now >= self._answer_at:
            self._go_on(self._answer, faults)

    def _go_on(self, answer: Callable[[], Any], faults: bool) -> None:
        assert self._step is not None
        try:
            try:
                received = answer()
            except (ApiError, TimeoutError) as error:
                call = self._step.throw(error)
            else:
                call = self._step.send(received)
        except StopIteration as end:
            self._step, self._next_at = None, self._world.seconds + end.value
        else:
            self._send(call, faults)

    def _send(self, call: Call, faults: bool) -> None:
        """The request reaches the server at some time or never, the reply likewise."""
        choose, now = self._world.random, self._world.seconds
        slow = faults and choose.random() < 0.3
        arrives_at = now + (choose.uniform(0, 8) if slow else 0.01)
        replies_at = arrives_at + (choose.uniform(0, 2) if slow else 0.01)
        outcome: list[Any] = []

        def arrive() -> None:
            try:
                outcome.append(call.carry_out())
            except ApiError as refusal:
                outcome.append(refusal)

        def reply() -> Any:
            [answer] = outcome if in_time else [TimeoutError()]
            if isinstance(answer, Exception):
                raise answer
            return answer

        dropped, lost = (faults and choose.random() < 0.1 for _ in range(2))
        if not dropped:
            self._world.at(arrives_at, arrive)
        times_out_at = now + REQUEST_SECONDS
        in_time = replies_at < times_out_at and not dropped and not lost
        self._answer_at = replies_at if in_time else times_out_at
        self._answer = reply


class Schedule(World):
    """Three processes among slow and lost requests, stops, crashes and uneven clocks."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.happened: Counter[str] = Counter()
        self._arrivals: list[tuple[float, Callable[[], None]]] = []
        self._count = 0
        self._leader = ""
        self.running = [self._new() for _ in range(3)]

    def at(self, seconds: float, arrive: Callable[[], None]) -> None:
        self._arrivals.append((seconds, arrive))

    def run(self, seconds: float, *, faults: bool) -> None:
        until = self.seconds + seconds
        while self.seconds < until:
            self.pass_seconds(self.random.uniform(0.01, 0.2))
            if faults:
                self._disturb()
            due = [entry for entry in self._arrivals if entry[0] <= self.seconds]
            self._arrivals = [entry for entry in self._arrivals if entry[0] > self.seconds]
            for _, arrive in sorted(due, key=lambda entry: entry[0]):
                arrive()
            for index in self.random.sample(range(3), 3):
                try:
                    self.running[index].act(faults)
                except LeaseLostError:
                    self.happened["lost"] += 1
                    self.running[index] = self._new()
                self._check()

    @property
    def leaders(self) -> list[str]:
        return [each.process.identity for each in self.running if each.process.leads]

    def _new(self) -> Simulated:
        self._count += 1
        return Simulated(self, f"process-{self._count}")

    def _disturb(self) -> None:
        index = self.random.randrange(3)
        what = self.random.random()
        if what < 0.01:
            self.happened["stopped"] += 1
            self.running[index].stopped_until = self.seconds + self.random.uniform(0, 30)
        elif what < 0.013:
            self.happened["crashed"] += 1
            self.running[index] = self._new()

    def _check(self) -> None:
        leaders = self.leaders
        assert len(leaders) <= 1, f"{leaders} lead at once at {self.seconds:.2f} s"
        if leaders and leaders[0] != self._leader:
            self._leader = leaders[0]
            self.happened["elected"] += 1


def test_there_are_never_two_leaders_and_soon_one_again() -> None:
    happened: Counter[str] = Counter()
    for seed in range(100):
        schedule = Schedule(seed)
        try:
            schedule.run(120, faults=True)
            for each in schedule.running:
                each.stopped_until = 0
            schedule.run(40, faults=False)
            assert len(schedule.leaders) == 1, "nobody leads"
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        happened += schedule.happened
    assert min(happened[what] for what in ("elected", "lost", "stopped", "crashed")) > 100, happened
