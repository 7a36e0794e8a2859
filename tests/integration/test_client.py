"""An application dispatches jobs and looks after them, from threads and from asyncio alike."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import applications, operating
from tests import server as api
from tests.proxying import NoAnswerError, Request, proxy
from tests.server import Jobs
from tests.watching import CLASS, phase, reason, wait

from bgjobs.client import (
    JobFailedError,
    NameTakenError,
    NoSuchJobError,
    NotFinishedError,
    Phase,
    RefusedError,
    UnreachableError,
    connecting,
    submission,
)

_FOR_AN_HOUR = [{"lasts": "1h"}]
_SOON = 30


@pytest.fixture(scope="module")
def application(jobs: Jobs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of an application that may submit jobs."""
    applications.install(jobs)
    return applications.kubeconfig(jobs, tmp_path_factory.mktemp("application"))


@pytest.fixture(params=["threads", "asyncio"])
def client(jobs: Jobs, application: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    with applications.client(request.param, application, jobs.namespace) as client:
        yield client


@pytest.fixture
def connect(
    jobs: Jobs, application: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str, str], Any]:
    """Connects a client of either kind to what stands in front of the API server."""
    assert application

    def connected(kind: str, url: str) -> Any:
        kubeconfig = applications.kubeconfig(jobs, tmp_path, url)
        entered = applications.client(kind, kubeconfig, jobs.namespace)
        client = entered.__enter__()
        request.addfinalizer(lambda: entered.__exit__(None, None, None))
        return client

    return connected


def names_of(jobs: Jobs, label: str) -> list[str]:
    answer = api.request(jobs.server, "GET", f"{jobs.path}?labelSelector=test={label}")
    return [job["metadata"]["name"] for job in answer.body["items"]]


def test_a_job_is_dispatched_and_its_result_had(client: Any) -> None:
    job = client.submit(submission(CLASS, warehouse=7, hall="main"))
    assert job.result(_SOON) == {"warehouse": 7, "hall": "main"}
    state = job.state()
    assert (state.phase, state.is_finished, state.attempt) == (Phase.SUCCEEDED, True, 1)
    assert state.start_time <= state.completion_time


def test_a_job_that_does_not_end_is_waited_for_no_longer_than_asked_and_cancelled(
    client: Any, jobs: Jobs
) -> None:
    job = client.submit(submission(CLASS, pods=_FOR_AN_HOUR))
    with pytest.raises(NotFinishedError, match=f"{job.name} is still"):
        job.wait(0.2)
    wait(jobs, job.name, phase("Running"))
    assert job.state().phase is Phase.RUNNING
    job.cancel("stocktaking")
    assert job.wait(_SOON).phase is Phase.CANCELLED
    with pytest.raises(JobFailedError, match="stocktaking") as failed:
        job.result()
    assert failed.value.reason == "Cancelled"


def test_a_delayed_job_says_so_and_is_started(client: Any, jobs: Jobs) -> None:
    job = client.submit(submission(CLASS, delay="1h", adjustment="Disabled"))
    wait(jobs, job.name, reason("Delayed"))
    state = job.state()
    assert state.reason == "Delayed"
    assert state.next_attempt_time is not None
    job.start()
    assert job.wait(_SOON).phase is Phase.SUCCEEDED


def test_a_failed_job_tells_why_and_is_retried(client: Any) -> None:
    error = {"type": "shop.jobs.Closed", "message": "closed today", "traceback": "", "frame": None}
    fails = {"exitCode": 66, "message": json.dumps({"error": error})}
    job = client.submit(submission(CLASS, pods=[fails, {}]))
    with pytest.raises(JobFailedError, match="closed today") as failed:
        job.result(_SOON)
    assert (failed.value.phase, failed.value.reason) == (Phase.FAILED, "PermanentFailure")
    job.retry()
    assert job.wait(_SOON).phase is Phase.SUCCEEDED, "the outcome of the first run was taken for it"
    assert job.state().run == 2


def test_the_same_key_makes_one_job(client: Any, jobs: Jobs, name: str) -> None:
    made = [submission(CLASS, warehouse=7, key=name, labels={"test": name}) for _ in range(2)]
    first, second = (client.submit(each) for each in made)
    assert first.uid == second.uid
    assert names_of(jobs, name) == [first.name]
    with pytest.raises(NameTakenError, match="its parameters differ"):
        client.submit(submission(CLASS, warehouse=8, key=name))


def test_parameters_that_json_could_change_are_still_the_same(client: Any, name: str) -> None:
    values = [1.0, 0.1, 1e300, -0.0, 2**63 - 1, "\x00🙂$(HOME)\n", {"": [None, True, {}]}, -(2**53)]
    first, second = (
        client.submit(submission(CLASS, values=values, key=name, suspend=True)) for _ in range(2)
    )
    assert first.uid == second.uid


def test_a_class_that_is_not_allowed_is_refused_for_good(client: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        client.submit(submission("shop.jobs.Unlisted"))
    assert str(refused.value).startswith(
        "class shop.jobs.Unlisted (method handle) is not on the allowlist: check the spelling"
    )
    assert (refused.value.status, refused.value.is_final) == (403, True)


def test_a_wrong_field_is_refused_in_the_servers_words(client: Any) -> None:
    with pytest.raises(RefusedError, match=r"spec.retries.* less than or equal to 100") as refused:
        client.submit(submission(CLASS, retries=101))
    assert refused.value.is_final


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_an_account_without_the_right_is_refused_for_now(
    jobs: Jobs, tmp_path: Path, kind: str
) -> None:
    nobody = applications.kubeconfig(jobs, tmp_path, account="default")
    with applications.client(kind, nobody, jobs.namespace) as client:
        with pytest.raises(RefusedError, match="cannot create resource") as refused:
            client.submit(submission(CLASS))
        assert not refused.value.is_final


def test_what_makes_no_sense_is_refused_with_the_reason(client: Any) -> None:
    job = client.submit(submission(CLASS))
    job.wait(_SOON)
    with pytest.raises(RefusedError, match="already Succeeded: nothing is left to cancel"):
        job.cancel()
    with pytest.raises(RefusedError, match="only a waiting one"):
        job.start()
    with pytest.raises(RefusedError, match="has Succeeded and cannot be retried"):
        job.retry()


def test_a_job_by_its_name_is_there_or_not(client: Any, jobs: Jobs, name: str) -> None:
    handle = client.handle(name)
    with pytest.raises(NoSuchJobError, match=f"no BackgroundJob {name}"):
        handle.state()
    client.submit(submission(CLASS, name=name, suspend=True))
    assert not handle.state().is_finished
    assert api.request(jobs.server, "DELETE", f"{jobs.path}/{name}").status == 200
    with pytest.raises(NoSuchJobError):
        handle.wait(_SOON)


def test_a_job_deleted_while_it_is_waited_for_is_gone(client: Any, jobs: Jobs, name: str) -> None:
    job = client.submit(submission(CLASS, name=name, suspend=True))
    path = f"{jobs.path}/{name}"
    # It is sent while the wait below watches, or before that begins.
    later = threading.Timer(0.3, lambda: api.request(jobs.server, "DELETE", path))
    later.start()
    with pytest.raises(NoSuchJobError):
        job.wait(_SOON)
    later.join()


KINDS = pytest.mark.parametrize("kind", ["threads", "asyncio"])


@KINDS
def test_a_lost_answer_makes_no_second_job(
    jobs: Jobs, name: str, kind: str, connect: Callable[[str, str], Any]
) -> None:
    posts: list[int] = []

    def lose_the_first(request: Request, status: int) -> None:
        if request.method == "POST":
            posts.append(status)
            if len(posts) == 1:
                raise NoAnswerError

    with proxy(jobs.server, answered=lose_the_first) as url:
        job = connect(kind, url).submit(submission(CLASS, labels={"test": name}, suspend=True))
    assert posts == [201, 409]
    assert names_of(jobs, name) == [job.name]


@KINDS
def test_a_lost_answer_starts_a_job_once(
    jobs: Jobs, name: str, kind: str, connect: Callable[[str, str], Any]
) -> None:
    patches: list[int] = []

    def lose_the_first(request: Request, status: int) -> None:
        if request.method == "PATCH":
            patches.append(status)
            if len(patches) == 1:
                raise NoAnswerError

    with proxy(jobs.server, answered=lose_the_first) as url:
        client = connect(kind, url)
        client.submit(submission(CLASS, name=name, suspend=True)).start()
    assert patches[0] == 200
    job = api.request(jobs.server, "GET", f"{jobs.path}/{name}").body
    assert job["spec"]["startRequests"] == 1


@KINDS
def test_a_wait_outlasts_an_api_server_that_is_away(
    jobs: Jobs, name: str, kind: str, connect: Callable[[str, str], Any]
) -> None:
    is_away = threading.Event()
    missed = threading.Event()

    def refuse(_: Request) -> None:
        if is_away.is_set():
            missed.set()
            raise NoAnswerError

    def come_back_when_missed() -> None:
        assert missed.wait(_SOON)
        is_away.clear()

    with proxy(jobs.server, asked=refuse) as url:
        job = connect(kind, url).submit(submission(CLASS, name=name))
        is_away.set()
        back = threading.Thread(target=come_back_when_missed)
        back.start()
        assert job.wait(_SOON).phase is Phase.SUCCEEDED
        back.join()


@KINDS
def test_an_api_server_that_hangs_is_given_up(
    jobs: Jobs, kind: str, connect: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.3)
    released = threading.Event()

    def hang(_: Request) -> None:
        released.wait()
        raise NoAnswerError

    with proxy(jobs.server, asked=hang) as url:
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1.* gave no answer"):
            connect(kind, url).submit(submission(CLASS))
        released.set()


@KINDS
def test_an_api_server_that_is_down_is_told(kind: str, connect: Callable[[str, str], Any]) -> None:
    client = connect(kind, f"http://127.0.0.1:{operating.free_port()}")
    with pytest.raises(UnreachableError, match=r"Connection refused|Connect call failed"):
        client.submit(submission(CLASS))


@KINDS
def test_a_certificate_of_another_is_told(
    jobs: Jobs, kind: str, application: Path, tmp_path: Path
) -> None:
    config = application.read_text()
    other = jobs.server.control_plane.client.certificate
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(config.replace(str(jobs.server.control_plane.ca), str(other)))
    with (
        applications.client(kind, kubeconfig, jobs.namespace) as client,
        pytest.raises(UnreachableError, match="certificate verify failed"),
    ):
        client.submit(submission(CLASS))
