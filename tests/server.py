"""BackgroundJobs as plain requests to a real API server, so that tests see what users see."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from bgjobs_local.controlplane import ControlPlane

ROOT = Path(__file__).parents[1]
CLASS = "contract.jobs.Sample"
METHODS = ("handle", "other")
ALLOWLIST = "/api/v1/namespaces/bgjobs-system/configmaps/bgjobs-allowlist"
_ACTIVE_WITHIN_S = 30
_MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Answer:
    """What the API server said; `message` is what kubectl would print."""

    status: int
    body: Mapping[str, Any]

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclass(frozen=True)
class Server:
    url: str
    pool: urllib3.PoolManager
    control_plane: ControlPlane


@dataclass(frozen=True)
class Jobs:
    """The BackgroundJobs of one namespace."""

    server: Server
    namespace: str

    @property
    def path(self) -> str:
        return f"/apis/bgjobs.dev/v1alpha1/namespaces/{self.namespace}/backgroundjobs"


def connect(control_plane: ControlPlane) -> Server:
    """As the administrator."""
    pool = urllib3.PoolManager(
        ca_certs=str(control_plane.ca),
        cert_file=str(control_plane.client.certificate),
        key_file=str(control_plane.client.key),
    )
    return Server(control_plane.server, pool, control_plane)


def request(
    server: Server,
    method: str,
    path: str,
    body: object = None,
    *,
    user: str | None = None,
    content_type: str = "application/json",
    accept: str = "application/json",
) -> Answer:
    """`user` may do everything, but is another one than the administrator."""
    headers = {"Content-Type": content_type, "Accept": accept}
    if user:
        headers |= {"Impersonate-User": user, "Impersonate-Group": "system:masters"}
    data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    response = server.pool.request(method, server.url + path, body=data, headers=headers)
    return Answer(response.status, response.json())


def manifest(
    name: str,
    annotations: Mapping[str, str] | None = None,
    class_: str = CLASS,
    **spec: Any,
) -> Any:
    """A BackgroundJob of an allowed class."""
    return {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {"name": name, **({"annotations": annotations} if annotations else {})},
        "spec": {"class": class_, **spec},
    }


def create(
    jobs: Jobs,
    name: str,
    *,
    user: str | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Answer:
    body = manifest(name, annotations, **spec)
    return request(jobs.server, "POST", jobs.path, body, user=user)


def created(
    jobs: Jobs,
    name: str,
    *,
    user: str | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Mapping[str, Any]:
    """The new job as the API server stored it."""
    answer = create(jobs, name, user=user, annotations=annotations, **spec)
    assert answer.status == 201, answer.message
    return answer.body


def patch(jobs: Jobs, name: str, body: object, *, user: str | None = None) -> Answer:
    return request(
        jobs.server, "PATCH", f"{jobs.path}/{name}", body, user=user, content_type=_MERGE
    )


def patch_spec(jobs: Jobs, name: str, *, user: str | None = None, **spec: Any) -> Answer:
    return patch(jobs, name, {"spec": spec}, user=user)


def patch_status(jobs: Jobs, name: str, status: object) -> Answer:
    """As the operator does it."""
    path = f"{jobs.path}/{name}/status"
    return request(jobs.server, "PATCH", path, {"status": status}, content_type=_MERGE)


def kubectl(
    server: Server, *arguments: str, standard_input: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Its files of its own (discovery cache, preferences) lie beside the kubeconfig."""
    kubeconfig = server.control_plane.kubeconfig
    return subprocess.run(
        [str(server.control_plane.kubectl), *arguments],
        input=standard_input,
        env={"HOME": str(kubeconfig.parent), "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def install(server: Server) -> None:
    """Apply the CRD, the admission policies and an allowlist; return once all are in force."""
    _apply(server, "-k", str(ROOT / "crds"))
    crd = "crd/backgroundjobs.bgjobs.dev"
    _kubectl(server, "wait", "--for=condition=Established", "--timeout=30s", crd)
    _apply(server, "-k", str(ROOT / "deploy/base/admission"))
    for name in ("bgjobs-system", "contract-probe"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        _apply(server, "-f", "-", standard_input=json.dumps(namespace))
    allow(server, {CLASS: " ".join(METHODS)})

    probe = Jobs(server, "contract-probe")
    await_true("the allowlist in force", lambda: create(probe, "probe").status in (201, 409))
    await_true("other classes refused", lambda: _refused(_dry_run(probe, class_="probe.Other")))
    await_true("large parameters refused", lambda: _refused(_dry_run(probe, large=True)))
    await_true(
        "who creates a job stamped",
        lambda: "annotations" in _dry_run(probe).body.get("metadata", {}),
    )
    forged = {"metadata": {"annotations": {"bgjobs.dev/started-by": "probe"}}}
    await_true("forged annotations refused", lambda: _refused(patch(probe, "probe", forged)))


def allow(server: Server, data: Mapping[str, str]) -> None:
    """Put keys on the allowlist, beside what others put there."""
    content = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "bgjobs-allowlist", "namespace": "bgjobs-system"},
        "data": dict(data),
    }
    _apply(server, "-f", "-", standard_input=json.dumps(content))


def await_true(what: str, condition: Callable[[], bool]) -> None:
    """For what the API server's own watches bring about."""
    wait_until(condition, lambda: f"not yet: {what}", _ACTIVE_WITHIN_S)


def wait_until(
    condition: Callable[[], bool], otherwise: Callable[[], str], within_s: float
) -> None:
    """For what no watch tells; fails with what `otherwise` says."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"after {within_s:.0f} s {otherwise()}"
        time.sleep(0.05)  # between two looks, or they would take a core from what is waited for


def _dry_run(probe: Jobs, *, class_: str = CLASS, large: bool = False) -> Answer:
    parameters = {"text": "x" * 65536} if large else {}
    body = manifest("probe-dry-run", class_=class_, parameters=parameters)
    return request(probe.server, "POST", f"{probe.path}?dryRun=All", body)


def _refused(answer: Answer) -> bool:
    return answer.status in (403, 413)


def _apply(server: Server, *what: str, standard_input: str | None = None) -> None:
    _kubectl(
        server,
        "apply",
        "--server-side",
        "--field-manager=contract-tests",
        *what,
        standard_input=standard_input,
    )


def _kubectl(server: Server, *arguments: str, standard_input: str | None = None) -> None:
    done = kubectl(server, *arguments, standard_input=standard_input)
    assert done.returncode == 0, done.stderr
