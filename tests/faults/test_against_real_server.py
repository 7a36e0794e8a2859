"""The simulated API server and cluster answer as real ones do: one script, run on both."""

import asyncio
import random
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
from tests import operating, server, watching
from tests.faults import virtualtime
from tests.faults.apiserver import ApiServer, Object
from tests.faults.cluster import Cluster, Script
from tests.faults.network import Client, Network

from bgjobs.domain.decision import Start
from bgjobs.domain.ranking import Candidate
from bgjobs.domain.resource import Priority, parse
from bgjobs.domain.runtimes import ResolvedRuntime, Runtime
from bgjobs.kube import labels, manifests, paths
from bgjobs.kube.api import Api, ApiError
from bgjobs.kube.clock import ServerClock
from bgjobs_local.controlplane import ControlPlane

_NAMESPACE = "simulated"
_MERGE = "application/merge-patch+json"
_WITHIN_SECONDS = 60
"""The garbage collector learns of a new CRD only every 30 s."""
_PODS: dict[str, Object] = {
    "succeeds": {"lasts": "1s"},
    "fails": {"lasts": "1s", "exitCode": 3},
    "stopped": {"lasts": "1h"},
}
"""What kwok is told of them (tests/stages), and the simulation:"""
_SCRIPTS = {
    "succeeds": Script(runs_seconds=1),
    "fails": Script(runs_seconds=1, exit_code=3),
    "stopped": Script(runs_seconds=3600),
}


async def script(api: Api) -> AsyncIterator[tuple[str, Any]]:
    """What is asked, and of the answers what does not depend on the time."""
    jobs = paths.background_job(_NAMESPACE, "")[:-1]

    async def change(name: str, body: object) -> Object:
        return await api._request("PATCH", f"{jobs}/{name}", body=body, content_type=_MERGE)

    async def set_status(name: str, version: str, **status: Any) -> Object:
        return await api.patch(paths.status(_NAMESPACE, name), _status_patch(version, status))

    created = [await api.create(jobs, _manifest(name)) for name in ("b", "a", "c")]
    yield "created", [_metadata(each) for each in created]
    yield "status by default", {key: created[0]["status"][key] for key in ("phase", "reason")}
    yield "create again", await _refusal(api.create(jobs, _manifest("a")))
    yield "get nothing", await api.get(f"{jobs}/none")
    first = await api.get_list(jobs, limit="2")
    token = first["metadata"]["continue"]
    second = await api.get_list(jobs, limit="2", **{"continue": token})
    yield "pages", [_names(first), _names(second), bool(second["metadata"].get("continue"))]
    yield "pages are of one version", _version(first) == _version(second)

    before = await change("a", {"spec": {"retries": 1}})
    yield "spec changed", _metadata(before)
    same = await change("a", {"spec": {"retries": 1}})
    yield (
        "nothing changed",
        same["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"],
    )
    same = await change("a", {"status": {"phase": "Running", "reason": "Running"}})
    yield "status not changed", same == before
    version = before["metadata"]["resourceVersion"]
    running = await set_status("a", version, phase="Running", reason="Running")
    yield (
        "status changed",
        [_metadata(running), running["status"], running["spec"] == before["spec"]],
    )
    yield "conflict", await _refusal(set_status("a", version, phase="Failed", reason="Error"))
    yield "status of nothing", await _refusal(set_status("none", version, phase="Failed"))

    for spec in (
        {"startRequests": 1},
        {"retryRequests": 1},
        {"startRequests": 2},
        {"cancelled": True},
        {"cancelled": False},
    ):
        yield f"{spec} while running", await _refusal(change("a", {"spec": spec}))
    a = (await api.get_list(jobs))["items"][0]
    await set_status("a", _version(a), phase="Cancelled", reason="Cancelled")
    for spec in (
        {"retryRequests": 1},
        {"retryRequests": 1, "cancelled": False},
        {"cancelled": True},
        {"retryRequests": 3},
    ):
        yield f"{spec} when cancelled", await _refusal(change("a", {"spec": spec}))

    listing = await api.get_list(jobs, fieldSelector="status.phase!=Cancelled")
    yield "selected", _names(listing)
    yield "too old a version", await _refusal(_events(api, jobs, "1", 1))
    b = await api.get(f"{jobs}/b")
    assert b
    succeeded = await set_status(
        "b", b["metadata"]["resourceVersion"], phase="Succeeded", reason="Succeeded"
    )
    await change("c", {"metadata": {"labels": {"x": "y"}}})
    for field, value in (("uid", "other"), ("resourceVersion", b["metadata"]["resourceVersion"])):
        options = {"preconditions": {"uid": b["metadata"]["uid"], field: value}}
        yield f"delete of another {field}", await _refusal(api.delete(f"{jobs}/b", options))
    await api.delete(f"{jobs}/b", {"preconditions": {"uid": succeeded["metadata"]["uid"]}})
    await api.delete(f"{jobs}/c", {})
    yield "delete of nothing", await _refusal(api.delete(f"{jobs}/c", {}))
    since = listing["metadata"]["resourceVersion"]
    yield "watched", await _events(api, jobs, since, 3, fieldSelector="status.phase!=Succeeded")
    yield "watched by label", await _events(api, jobs, since, 1, labelSelector="x=y")

    # Child Jobs and their pods

    pods = paths.pods(_NAMESPACE)
    for name in _PODS:
        job = parse(await api.create(jobs, _manifest(name)))
        version = _version(await api.get_list(pods))
        child = await api.create(paths.jobs(_NAMESPACE), manifests.child_job(job, _start(name)))
        path = paths.job(_NAMESPACE, name)
        selectors = {
            "labelSelector": f"{labels.UID}={job.metadata.uid}",
            "fieldSelector": "status.phase!=Pending",
        }
        yield f"{name}: created", _metadata(child)
        if name == "stopped":
            yield f"{name}: runs", await _events(api, pods, version, 1, **selectors)
            await api.delete(path, {"propagationPolicy": "Foreground"})
            yield f"{name}: being deleted", _metadata((await api.get(path)) or child)
        else:
            yield f"{name}: its pod", await _events(api, pods, version, 3, **selectors)
            yield f"{name}: its end", _conditions(await _until(api, path, _conditions))
            await api.delete(f"{jobs}/{name}", {"propagationPolicy": "Background"})
        yield f"{name}: collected", await _until(api, path, lambda job: job is None)


def test_the_simulation_answers_as_a_real_cluster(control_plane: ControlPlane) -> None:
    real = server.connect(control_plane)
    server.install(real)
    operating.install(real)
    watching.new_namespace(real, _NAMESPACE)
    answers = asyncio.run(_ask_a_real_one(control_plane))
    assert virtualtime.run(_ask_the_simulation) == answers


async def _ask_the_simulation(loop: virtualtime.VirtualTimeLoop) -> list[tuple[str, Any]]:
    simulated, rng = ApiServer(loop.time), random.Random(0)
    Cluster(simulated, rng, lambda name, *_: _SCRIPTS[name])
    return [answer async for answer in script(Client(Network(simulated, rng), "operator"))]


async def _ask_a_real_one(control_plane: ControlPlane) -> list[tuple[str, Any]]:
    tls = ssl.create_default_context(cafile=control_plane.ca)
    tls.load_cert_chain(control_plane.client.certificate, control_plane.client.key)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        api = Api(session, control_plane.server, ServerClock())
        return [answer async for answer in script(api)]


def _manifest(name: str) -> Object:
    parameters = {"pods": [_PODS[name]]} if name in _PODS else {}
    manifest: Object = server.manifest(name, parameters=parameters)
    return manifest


def _start(name: str) -> Start:
    runtime = ResolvedRuntime(key="default", settings=Runtime(image="x"))
    candidate = Candidate(
        uid="",
        by_hand=False,
        priority=Priority.MEDIUM,
        could_start_since=datetime.now(UTC),
        group="",
        group_limit=0,
    )
    return Start(job_name=name, run=1, attempt=1, runtime=runtime, candidate=candidate)


def _status_patch(version: str, status: Object) -> list[Object]:
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/status", "value": status},
    ]


async def _refusal(answer: Awaitable[Any]) -> int | None:
    """The HTTP status of a refusal; None where it was none."""
    try:
        await answer
    except ApiError as error:
        return error.status
    return None


async def _events(
    api: Api, path: str, since: str, count: int, **selectors: str
) -> list[tuple[Any, ...]]:
    """The first events since a version. Bookmarks come when a server likes."""
    told: list[tuple[Any, ...]] = []
    async with asyncio.timeout(_WITHIN_SECONDS):
        async for event in api.watch(path, resourceVersion=since, **selectors):
            if event["type"] != "BOOKMARK":
                object_ = event["object"]
                name = re.sub("(?<=[a-z])-[a-z0-9]*$", "", object_["metadata"]["name"])
                told.append((event["type"], name, object_["status"]["phase"]))
            if len(told) == count:
                break
    return told


async def _until(api: Api, path: str, condition: Callable[[Object | None], Any]) -> Object | None:
    found = await api.get(path)
    async with asyncio.timeout(_WITHIN_SECONDS):
        while not condition(found):
            found = await api.get(path)
    return found


def _metadata(object_: Object) -> Object:
    """What of it does not depend on time and place."""
    metadata = object_["metadata"]
    return {
        "name": metadata["name"],
        "generation": metadata["generation"],
        "finalizers": metadata.get("finalizers", []),
        "deleting": "deletionTimestamp" in metadata,
        "labels": sorted(metadata.get("labels", {})),
    }


def _version(object_: Object) -> str:
    return str(object_["metadata"]["resourceVersion"])


def _names(listing: Object) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


def _conditions(job: Object | None) -> list[tuple[str, str]]:
    """How a Job ended. The names of pods are random."""
    conditions = job["status"].get("conditions", []) if job else []
    return [
        (condition["type"], re.sub("pod [^ ]+", "pod", condition.get("message", "")))
        for condition in conditions
        if condition["type"] in ("Complete", "Failed")
    ]
