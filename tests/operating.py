"""The operator as a process of its own, under its own account."""

import contextlib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from tests import server as api
from tests.server import ROOT, Server

from bgjobs.domain.resource import TERMINAL_PHASES
from bgjobs_local.processes import ENVIRONMENT

_READY_WITHIN_S = 30
_ALL = "/apis/bgjobs.dev/v1alpha1/backgroundjobs"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/bgjobs-system/leases/bgjobs-operator"
_ACCOUNT = "/api/v1/namespaces/bgjobs-system/serviceaccounts/bgjobs-operator"
DATABASE_USER = "bgjobs"


@dataclass
class Operator:
    """How the operator is started, and its process."""

    kubeconfig: Path
    database_url: str
    log: Path
    port: int
    arguments: Sequence[str] = ("-m", "bgjobs")
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return f"operator-{self.port}"


def install(server: Server) -> None:
    """What of deploy/base the operator needs beside the CRD."""
    files = ("namespace", "priority-classes", "rbac", "runtimes")
    done = api.kubectl(
        server,
        *("apply", "--server-side", "--force-conflicts"),
        *(f"--filename={ROOT}/deploy/base/{name}.yaml" for name in files),
    )
    assert done.returncode == 0, done.stderr


def delete_leftovers(server: Server) -> None:
    """BackgroundJobs of tests that need no operator, which would run them all.

    And the Lease of an operator that was killed, whose end would be waited for.
    """
    api.request(server, "DELETE", LEASE)
    delete_unfinished(server)


def delete_unfinished(server: Server) -> None:
    """BackgroundJobs that would hold the places of others."""
    for job in api.request(server, "GET", _ALL).body["items"]:
        if job["status"]["phase"] in TERMINAL_PHASES:
            continue
        where, name = job["metadata"]["namespace"], job["metadata"]["name"]
        api.request(
            server,
            "DELETE",
            f"/apis/bgjobs.dev/v1alpha1/namespaces/{where}/backgroundjobs/{name}",
        )


@contextlib.contextmanager
def running(
    server: Server,
    database_url: str,
    directory: Path,
    api_url: str | None = None,
    **settings: str,
) -> Iterator[Operator]:
    """The operator on a database without tables, until the block ends.

    It talks to the API server at `api_url`, where that is another address than the server's own.
    """
    _migrate(database_url)
    kubeconfig = directory / "kubeconfig"
    _write_kubeconfig(server, kubeconfig, api_url or server.url)
    operator = Operator(kubeconfig, database_url, directory / "log", free_port())
    start(operator, **settings)
    try:
        yield operator
    except AssertionError as error:
        error.add_note(f"The end of the operator's log:\n{log_tail(operator)}")
        raise
    finally:
        kill(operator)


@contextlib.contextmanager
def beside(server: Server, operator: Operator, directory: Path, api_url: str) -> Iterator[Operator]:
    """Another process on the same database, not yet started; it is ended with the block."""
    kubeconfig = directory / "kubeconfig"
    _write_kubeconfig(server, kubeconfig, api_url)
    other = Operator(kubeconfig, operator.database_url, directory / "log", free_port())
    try:
        yield other
    except AssertionError as error:
        error.add_note(f"The end of the other operator's log:\n{log_tail(other)}")
        raise
    finally:
        if other.process is not None:
            kill(other)


def start(operator: Operator, **settings: str) -> None:
    """Returns once it is ready. `settings` are further BGJOBS_* variables."""
    begin(operator, **settings)
    try:
        api.wait_until(
            lambda: ended(operator) or is_ready(operator),
            lambda: f"the operator is not ready:\n{log_tail(operator)}",
            _READY_WITHIN_S,
        )
        assert not ended(operator), f"the operator has ended:\n{log_tail(operator)}"
    except AssertionError:
        kill(operator)
        raise


def begin(operator: Operator, **settings: str) -> None:
    with operator.log.open("ab") as log:
        operator.process = subprocess.Popen(
            # The kernel ends it if pytest is killed.
            ["setpriv", "--pdeathsig", "KILL", sys.executable, *operator.arguments],
            env={
                **ENVIRONMENT,
                "KUBECONFIG": str(operator.kubeconfig),
                "BGJOBS_DATABASE_URL": operator.database_url,
                "BGJOBS_HTTP_PORT": str(operator.port),
                # Started again under the same name, as a container in its pod, it leads at once.
                "BGJOBS_POD_NAME": operator.name,
                **operator.settings,
                **settings,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def kill(operator: Operator) -> None:
    """As a node that fails does: it gets no chance to end in order."""
    assert operator.process is not None
    operator.process.kill()
    operator.process.wait()


def end(operator: Operator, within_s: float) -> int:
    """As a rollout does: it is asked to end, and its exit code is returned."""
    assert operator.process is not None
    operator.process.terminate()
    return operator.process.wait(within_s)


@contextlib.contextmanager
def stopped(operator: Operator) -> Iterator[None]:
    """As a machine does that hangs for a while: it goes on where it was."""
    assert operator.process is not None
    operator.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        operator.process.send_signal(signal.SIGCONT)


def ended(operator: Operator) -> bool:
    return operator.process is None or operator.process.poll() is not None


@contextlib.contextmanager
def restarted(operator: Operator, **settings: str) -> Iterator[None]:
    """Runs it with other settings until the block ends."""
    kill(operator)
    start(operator, **settings)
    try:
        yield
    finally:
        kill(operator)
        start(operator)


@contextlib.contextmanager
def otherwise(
    operator: Operator, api_url: str, arguments: Sequence[str], **settings: str
) -> Iterator[None]:
    """Runs it with another way to the API server and another program until the block ends."""
    kubeconfig = operator.kubeconfig.read_text()
    other = yaml.safe_load(kubeconfig)
    other["clusters"][0]["cluster"]["server"] = api_url
    kept = operator.arguments, operator.settings
    kill(operator)
    operator.kubeconfig.write_text(yaml.safe_dump(other))
    operator.arguments, operator.settings = arguments, settings
    start(operator)
    try:
        yield
    finally:
        kill(operator)
        operator.kubeconfig.write_text(kubeconfig)
        operator.arguments, operator.settings = kept
        start(operator)


def metric(operator: Operator, sample: str) -> float:
    """The value of one sample, named with its labels as /metrics writes them; 0 if it is absent."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    values = [line.removeprefix(f"{sample} ") for line in lines if line.startswith(f"{sample} ")]
    return float(values[0]) if values else 0.0


def log_tail(operator: Operator, lines: int = 60) -> str:
    return "\n".join(operator.log.read_text(errors="replace").splitlines()[-lines:])


def _write_kubeconfig(server: Server, path: Path, url: str) -> None:
    """With a token of the account that deploy/base/rbac.yaml grants the operator's rights to."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = api.request(server, "POST", f"{_ACCOUNT}/token", request)
    assert answer.status == 201, answer.message
    write_kubeconfig(server, path, url, answer.body["status"]["token"])


def write_kubeconfig(server: Server, path: Path, url: str, token: str) -> None:
    name = "operator"
    cluster = {"server": url, "certificate-authority": str(server.control_plane.ca)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))


def _migrate(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bgjobs.mirror"],
        env={**ENVIRONMENT, "BGJOBS_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_ready(operator: Operator) -> bool:
    return _answers(operator, "readyz")


def is_alive(operator: Operator) -> bool:
    return _answers(operator, "healthz")


def _answers(operator: Operator, probe: str) -> bool:
    url = f"http://127.0.0.1:{operator.port}/{probe}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
