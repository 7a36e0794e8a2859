"""An application in a pod of its own: its account, and its clients of threads and of asyncio."""

import asyncio
import inspect
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import operating
from tests import server as api
from tests.server import ROOT, Jobs

from bgjobs.client import Client, aio

ACCOUNT = "application"
_numbers = itertools.count(1)


def install(jobs: Jobs) -> None:
    """An account that may submit jobs in the namespace, and do no more than that."""
    roles = str(ROOT / "deploy/base/rbac-users.yaml")
    done = api.kubectl(jobs.server, "apply", "--server-side", f"--filename={roles}")
    assert done.returncode == 0, done.stderr
    where = ("-n", jobs.namespace)
    account = f"{jobs.namespace}:{ACCOUNT}"
    for command in (
        ("serviceaccount", ACCOUNT),
        ("rolebinding", ACCOUNT, "--clusterrole=bgjobs-submitter", f"--serviceaccount={account}"),
    ):
        done = api.kubectl(jobs.server, "create", *command, *where)
        assert done.returncode == 0, done.stderr


def kubeconfig(
    jobs: Jobs, directory: Path, api_url: str | None = None, account: str = ACCOUNT
) -> Path:
    """Of the account, for the API server or what stands in front of it."""
    path = f"/api/v1/namespaces/{jobs.namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = api.request(jobs.server, "POST", path, request)
    assert answer.status == 201, answer.message
    file = directory / f"kubeconfig-{next(_numbers)}"
    token = answer.body["status"]["token"]
    operating.write_kubeconfig(jobs.server, file, api_url or jobs.server.url, token)
    return file


class Awaited:
    """A client of asyncio, or its handle, which waits as one of threads does."""

    def __init__(self, runner: asyncio.Runner, target: Any) -> None:
        self._runner = runner
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            result = found(*arguments)
            if inspect.iscoroutine(result):
                result = self._runner.run(result)
            return Awaited(self._runner, result) if isinstance(result, aio.Handle) else result

        return call


@contextmanager
def client(kind: str, kubeconfig: Path, namespace: str) -> Iterator[Any]:
    """The client of "threads" or of "asyncio", to be used alike."""
    if kind == "threads":
        yield Client(kubeconfig=str(kubeconfig), namespace=namespace)
        return
    with asyncio.Runner() as runner:
        awaited = Awaited(runner, aio.Client(kubeconfig=str(kubeconfig), namespace=namespace))
        yield awaited
        awaited.close()
