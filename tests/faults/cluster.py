"""What a cluster does with child Jobs: the Job controller, the kubelet, the garbage collector."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.apiserver import ApiServer, Key, Object, Request, Write, owner_uid

from bgjobs.kube import labels, paths
from bgjobs.kube.manifests import CONTAINER

_FINALIZER = "batch.kubernetes.io/job-tracking"
_LONGEST_REACTION_SECONDS = 0.3
_AT_ONCE = {"gracePeriodSeconds": 0}
_BACKOFF_LIMIT = "Job has reached the specified backoff limit"

Pods = list[tuple[Key, Object]]


@dataclass(frozen=True)
class Script:
    """What becomes of one pod."""

    starts_after_seconds: float = 0.1
    waits_for: str | None = None
    """Why it never starts: a kubelet's reason, or FailedCreate where there never is a pod."""
    runs_seconds: float = 0.2
    ending: str = "exit"
    """exit, out of memory, deadline, evicted, preempted, vanishes or node lost."""
    exit_code: int = 0
    message: str = ""
    stops_after_seconds: float = 0.5
    """From SIGTERM on."""
    stops_with: int = 143


class Cluster:
    """Reacts to what is written, each time a little later. Its state is the API server's."""

    def __init__(
        self, server: ApiServer, rng: random.Random, script: Callable[[str, int, int], Script]
    ) -> None:
        self._server = server
        self._rng = rng
        self._script = script
        self.pods_run = 0
        self._unreachable: set[str] = set()
        """The uids of pods whose node does not answer."""
        server.listeners.append(self._saw)

    def evict(self, key: Key) -> None:
        """As the eviction API does: the pod gets a condition, and the kubelet ends it."""
        self._disrupt(key, "EvictionByEvictionAPI")
        self._server.delete("scheduler", key, {})

    def nodes_return(self) -> None:
        self._unreachable.clear()
        for key, pod in self._server.of_kind("pods"):
            if _is_deleted(pod):
                self._later(0.1, self._kill, key, pod["metadata"]["uid"])

    def _saw(self, write: Write) -> None:
        key, last = write.key, write.last
        uid, soon = last["metadata"]["uid"], _LONGEST_REACTION_SECONDS * self._rng.random() ** 2
        if key.kind == "backgroundjobs" and write.after is None:
            for job_key, job in self._server.of_kind("jobs"):
                if owner_uid(job) == uid:
                    self._later(soon, self._sync_job, job_key, job["metadata"]["uid"])
        elif key.kind == "jobs" and owner_uid(last):
            self._later(soon, self._sync_job, key, uid)
        elif key.kind == "pods":
            job_key = Key("jobs", key.namespace, last["metadata"]["labels"]["job-name"])
            self._later(soon, self._sync_job, job_key, owner_uid(last))
            script = self._script_of(last)
            if write.before is None:
                begin = self._wait if script.waits_for else self._start
                self._later(script.starts_after_seconds, begin, key, uid)
            elif write.after and _is_deleted(last) and uid not in self._unreachable:
                self._later(script.stops_after_seconds, self._kill, key, uid)

    # The Job controller and the garbage collector

    def _sync_job(self, key: Key, uid: str) -> None:
        job = self._found(key, uid)
        pods = [(k, pod) for k, pod in self._server.of_kind("pods") if owner_uid(pod) == uid]
        gone = job is None or _is_deleted(job)
        ended = job is not None and bool(job["status"].get("conditions"))
        for pod_key, pod in pods:
            if gone and not _is_deleted(pod):
                self._server.delete("garbage-collector", pod_key, {})
            elif gone or ended:
                self._server.update("job-controller", pod_key, _release)
        if job is None:
            return
        if not gone and self._owner_is_gone(job):
            self._server.delete("garbage-collector", key, {})
        elif not ended and (condition := _condition(job, pods)):
            self._end_job(key, *condition)
        elif gone and not pods:
            self._server.update("garbage-collector", key, _release)
        elif not (gone or ended or pods or "active" in job["status"]):
            self._create_pod(key, job)

    def _owner_is_gone(self, job: Object) -> bool:
        owners = self._server.of_kind("backgroundjobs")
        return all(owner["metadata"]["uid"] != owner_uid(job) for _, owner in owners)

    def _create_pod(self, key: Key, job: Object) -> None:
        template, uid = job["spec"]["template"], job["metadata"]["uid"]
        owner = {"kind": "Job", "name": key.name, "uid": uid, "controller": True}
        if self._script_of(job).waits_for == "FailedCreate":
            said = {"reason": "FailedCreate", "message": 'pods "x" is forbidden: exceeded quota'}
            event = {"metadata": {"generateName": key.name}, **said, "involvedObject": owner}
            self._post(paths.events(key.namespace), event)
            return
        metadata = {
            "generateName": f"{key.name}-",
            "labels": {**template["metadata"]["labels"], "job-name": key.name},
            "annotations": template["metadata"]["annotations"],
            "finalizers": [_FINALIZER],
            "ownerReferences": [owner],
        }
        pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
        self._post(paths.pods(key.namespace), pod)
        self._server.update("job-controller", key, lambda job: job["status"].update(active=1))

    def _post(self, path: str, body: Object) -> None:
        self._server.handle("job-controller", Request("POST", path, {}, body))

    def _end_job(self, key: Key, type_: str, message: str) -> None:
        said = {"type": type_, "status": "True", "message": message}
        condition = {**said, "lastTransitionTime": self._server.time()}

        def end(job: Object) -> None:
            job["status"] = {"conditions": [condition]}

        self._server.update("job-controller", key, end, "status")

    # The kubelet

    def _start(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or _is_deleted(pod) or _has_ended(pod):
            return
        self.pods_run += 1
        state = {"running": {"startedAt": self._server.time()}}

        def start(pod: Object) -> None:
            pod["spec"]["nodeName"] = "node-1"
            pod["status"] = {"phase": "Running", **_container(state)}

        self._server.update("kubelet", key, start, "status")
        self._later(self._script_of(pod).runs_seconds, self._end, key, uid)

    def _wait(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or _is_deleted(pod):
            return
        waiting = {"reason": self._script_of(pod).waits_for, "message": "as the script says"}

        def wait(pod: Object) -> None:
            pod["status"] |= _container({"waiting": waiting})

        self._server.update("kubelet", key, wait, "status")

    def _end(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or _is_deleted(pod) or _has_ended(pod):
            return
        script = self._script_of(pod)
        match script.ending:
            case "exit":
                self._terminate(key, script.exit_code, message=script.message)
            case "out of memory":
                self._terminate(key, 137, "OOMKilled")
            case "deadline":
                self._terminate(key, 143, pod_reason="DeadlineExceeded")
            case "evicted":
                self.evict(key)
            case "preempted":
                self._disrupt(key, "PreemptionByScheduler")
                self._terminate(key, 137)
            case "vanishes":
                self._server.update("kubelet", key, _release)
                self._server.delete("kubelet", key, _AT_ONCE)
            case "node lost":
                self._unreachable.add(uid)
                self._later(script.stops_after_seconds, self._taint, key, uid)

    def _taint(self, key: Key, uid: str) -> None:
        """The node stays away: its pods are to go, and wait until somebody fences the node."""
        if pod := self._found(key, uid):
            self._disrupt(key, "DeletionByTaintManager")
            self._server.delete("taint-manager", key, {})
            self._later(5 * self._script_of(pod).stops_after_seconds, self._fence, key, uid)

    def _fence(self, key: Key, uid: str) -> None:
        self._unreachable.discard(uid)
        self._kill(key, uid)

    def _kill(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or uid in self._unreachable:
            return
        if not _has_ended(pod):
            self._terminate(key, self._script_of(pod).stops_with)
        if self._found(key, uid):
            self._server.delete("kubelet", key, _AT_ONCE)

    def _terminate(
        self, key: Key, code: int, reason: str = "", message: str = "", pod_reason: str = ""
    ) -> None:
        said = {"exitCode": code, "reason": reason or ("Error" if code else "Completed")}
        terminated = {**said, "message": message, "finishedAt": self._server.time()}

        def end(pod: Object) -> None:
            running = _state(pod).get("running")
            status = pod["status"]
            if running:
                status |= _container({"terminated": terminated | running})
            status["phase"] = "Failed" if code or not running else "Succeeded"
            if pod_reason:
                status["reason"] = pod_reason

        self._server.update("kubelet", key, end, "status")

    def _disrupt(self, key: Key, why: str) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": why, "message": why}

        def mark(pod: Object) -> None:
            pod["status"]["conditions"] = [condition]

        self._server.update("scheduler", key, mark, "status")

    def _script_of(self, object_: Object) -> Script:
        """Of a child Job or its pod."""
        given = object_["metadata"]["labels"]
        return self._script(job_name(object_), int(given[labels.RUN]), int(given[labels.ATTEMPT]))

    def _found(self, key: Key, uid: str) -> Object | None:
        found = self._server.objects.get(key)
        return found if found and found["metadata"]["uid"] == uid else None

    def _later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        asyncio.get_running_loop().call_later(seconds, action, *arguments)


def job_name(object_: Object) -> str:
    """The name of the BackgroundJob that a child Job or a pod is of."""
    return str(object_["metadata"]["annotations"][labels.NAME])


def _condition(job: Object, pods: Pods) -> tuple[str, str] | None:
    """The Job's end, as its backoffLimit 0 and its podFailurePolicy make it."""
    if not pods:
        vanished = "active" in job["status"] and not _is_deleted(job)
        return ("Failed", _BACKOFF_LIMIT) if vanished else None
    (_, namespace, name), pod = pods[0]
    if not _has_ended(pod):
        return None
    if pod["status"]["phase"] == "Succeeded":
        return "Complete", "Reached expected number of succeeded pods"
    what, rule = f"pod {namespace}/{name}", "matching FailJob rule at index"
    if pod["status"].get("conditions"):
        return "Failed", f"{what.capitalize()} has condition DisruptionTarget {rule} 0"
    if "terminated" not in _state(pod):
        return "Failed", _BACKOFF_LIMIT
    code = _state(pod)["terminated"]["exitCode"]
    return "Failed", f"Container {CONTAINER} for {what} failed with exit code {code} {rule} 1"


def _release(object_: Object) -> None:
    object_["metadata"]["finalizers"] = []


def _is_deleted(object_: Object) -> bool:
    return "deletionTimestamp" in object_["metadata"]


def _has_ended(pod: Object) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def _container(state: Object) -> Object:
    return {"containerStatuses": [{"name": CONTAINER, "state": state}]}


def _state(pod: Object) -> Object:
    statuses = pod["status"].get("containerStatuses", [])
    state: Object = statuses[0]["state"] if statuses else {}
    return state
