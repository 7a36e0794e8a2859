"""Inline mode: an application's own tests see what its jobs do, without a cluster."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit import shop
from tests.unit.shop import SyncStock

from bgjobs.client import (
    Handle,
    JobFailedError,
    NameTakenError,
    NoClusterError,
    NoSuchJobError,
    NotFinishedError,
    Phase,
    RefusedError,
    ResultTooLargeError,
    aio,
    dispatch,
    handle,
    inline,
)

_WITHIN_S = 30


def test_a_job_has_finished_when_it_is_dispatched() -> None:
    with inline():
        job = dispatch(SyncStock, warehouse=7)
        assert job.state().is_finished
        assert job.result() == {"warehouse": 7, "attempt": 1, "run": 1, "key": ""}


def test_its_handle_can_be_had_by_name() -> None:
    with inline():
        assert handle(dispatch(SyncStock, warehouse=7).name).result()["warehouse"] == 7
        with pytest.raises(NoSuchJobError):
            handle("another").state()


def test_a_failure_is_the_jobs_and_not_the_dispatchers(capsys: pytest.CaptureFixture[str]) -> None:
    with inline():
        job = dispatch(SyncStock, warehouse=-1)
        with pytest.raises(JobFailedError, match="there is no warehouse -1") as failed:
            job.result()
    assert (failed.value.phase, failed.value.reason) == (Phase.FAILED, "PermanentFailure")
    assert "in handle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("class_", "method", "reason", "says"),
    [
        ("tests.unit.shop.SyncStock", "leave", "Error", "SystemExit: 3"),
        ("tests.unit.shop.SyncStock", "give_up", "PermanentFailure", "NoSuchWarehouse: there is"),
        ("tests.unit.shop.SyncStock", "open", "PermanentFailure", "JSON cannot carry: Object of"),
        ("tests.unit.shop.SyncStock", "name", "PermanentFailure", "JSON cannot carry: 'utf-8'"),
        ("tests.unit.shop.SyncStock", "_recount", "NotInImage", "SyncStock._recount is private"),
        ("tests.unit.shop.SyncStock", "halls", "NotInImage", "SyncStock.halls is no method"),
        ("tests.unit.shop.SyncShop", "count", "NotInImage", "SyncShop defines no method count"),
        ("tests.unit.shop.Unmarked", "handle", "NotInImage", "does not opt in"),
        ("shop.jobs.Elsewhere", "handle", "Error", "cannot be imported here"),
    ],
)
def test_what_would_fail_in_a_pod_fails_here_alike(
    class_: str, method: str, reason: str, says: str
) -> None:
    parameters = {"shelves": [1]} if method == "count" else {}
    with inline(), pytest.raises(JobFailedError, match=says) as failed:
        dispatch(class_, method=method, parameters=parameters).result()
    assert failed.value.reason == reason


def test_a_result_that_would_not_be_kept_is_not_had_here_either() -> None:
    with inline(), pytest.raises(ResultTooLargeError, match="4002 bytes"):
        dispatch(SyncStock, method="list_all").result()


def test_the_same_key_is_the_same_job() -> None:
    with inline():
        first = dispatch(SyncStock, warehouse=7, parameters={"key": "a"}, key="stock")
        again = dispatch(SyncStock, warehouse=7, parameters={"key": "a"}, key="stock")
        assert first.uid == again.uid
        with pytest.raises(NameTakenError, match="parameters differ"):
            dispatch(SyncStock, warehouse=8, parameters={"key": "a"}, key="stock")


def test_another_thread_can_wait_for_a_job_that_runs() -> None:
    with inline(), ThreadPoolExecutor() as threads:
        dispatched = threads.submit(dispatch, SyncStock, method="held", name="held")
        assert shop.BEGUN.wait(_WITHIN_S)
        assert handle("held").state().phase is Phase.RUNNING
        with pytest.raises(NotFinishedError):
            handle("held").wait(0.1)
        waited = threads.submit(handle("held").wait, _WITHIN_S)
        shop.GO_ON.set()
        assert waited.result(_WITHIN_S).phase is Phase.SUCCEEDED
        assert dispatched.result(_WITHIN_S).state().is_finished


def test_a_failed_job_can_be_retried_and_no_finished_one_changed() -> None:
    with inline():
        failed = dispatch(SyncStock, warehouse=-1)
        failed.retry()
        assert failed.state().run == 2
        with pytest.raises(RefusedError, match="already Succeeded"):
            dispatch(SyncStock, warehouse=7).cancel("too late")


def test_an_async_method_runs_whoever_dispatches_it() -> None:
    async def awaited() -> object:
        job = await aio.dispatch(SyncStock, method="count", shelves=[1, 2])
        return await job.result()

    with inline():
        assert dispatch(SyncStock, method="count", shelves=[1, 2]).result() == 3
        assert asyncio.run(awaited()) == 3


def test_it_holds_in_every_thread_and_ends_with_its_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    jobs: list[Handle] = []
    thread = threading.Thread(target=lambda: jobs.append(dispatch(SyncStock, warehouse=7)))
    with inline():
        thread.start()
        thread.join()
        assert jobs[0].result()["warehouse"] == 7
    with pytest.raises(NoClusterError, match="KUBECONFIG"):
        jobs[0].state()
