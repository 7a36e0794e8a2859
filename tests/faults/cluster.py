"""What a cluster does with child Jobs: the Job controller, the kubelet, the garbage collector."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.apiserver import ApiServer, Key, Object, Write, owner_uid

from bgjobs.kube import labels
from bgjobs.kube.manifests import CONTAINER

_FINALIZER = "batch.kubernetes.io/job-tracking"
_LONGEST_REACTION_SECONDS = 0.3
_GRACE = {"gracePeriodSeconds": 0}


@dataclass(frozen=True)
class Script:
    """What becomes of one pod."""

    starts_after_seconds: float = 0.1
    waits_for: str | None = None
    """Why it never starts: a kubelet's reason."""
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
        self,
        server: ApiServer,
        rng: random.Random,
        script: Callable[[str, int, int], Script],
    ) -> None:
        self._server = server
        self._rng = rng
        self._script = script
        self.pods_run = 0
        self.unreachable: set[str] = set()
        """The uids of pods whose node does not answer."""
        server.listeners.append(self._saw)

    def evict(self, key: Key) -> None:
        """As the eviction API does: the pod gets a condition, and the kubelet ends it."""
        self._disrupt(key, "EvictionByEvictionAPI")
        self._delete(key)

    def nodes_return(self) -> None:
        self.unreachable.clear()
        for key, pod in self._server.of_kind("pods"):
            if "deletionTimestamp" in pod["metadata"]:
                self._later(0.1, self._kill, key, pod["metadata"]["uid"])

    def _saw(self, write: Write) -> None:
        key, last = write.key, write.last
        soon = self._rng.uniform(0.002, _LONGEST_REACTION_SECONDS)
        match key.kind:
            case "backgroundjobs" if write.after is None:
                for job_key, job in self._server.of_kind("jobs"):
                    if owner_uid(job) == last["metadata"]["uid"]:
                        self._later(soon, self._sync_job, job_key, job["metadata"]["uid"])
            case "jobs" if owner_uid(last):
                self._later(soon, self._sync_job, key, last["metadata"]["uid"])
            case "pods":
                job_key = Key("jobs", key.namespace, last["metadata"]["labels"]["job-name"])
                self._later(soon, self._sync_job, job_key, owner_uid(last))
                self._saw_pod(write)

    def _saw_pod(self, write: Write) -> None:
        key, pod = write.key, write.after
        if pod is None:
            return
        uid, script = pod["metadata"]["uid"], self._script_of(pod)
        if write.before is None and script.waits_for is None:
            self._later(script.starts_after_seconds, self._start, key, uid)
        elif write.before is None:
            self._later(script.starts_after_seconds, self._wait, key, uid)
        elif "deletionTimestamp" in pod["metadata"] and uid not in self.unreachable:
            self._later(script.stops_after_seconds, self._kill, key, uid)

    # The Job controller and the garbage collector

    def _sync_job(self, key: Key, uid: str) -> None:
        job = self._found(key, uid)
        pods = [(k, pod) for k, pod in self._server.of_kind("pods") if owner_uid(pod) == uid]
        ended = job is not None and bool(job["status"].get("conditions"))
        for pod_key, pod in pods:
            if (job is None or _deleted(job)) and not _deleted(pod):
                self._delete(pod_key)
            elif job is None or ended or _deleted(job):
                self._server.update("job-controller", pod_key, _release)
        if job is None:
            return
        if self._owner_is_gone(job):
            self._server.delete("garbage-collector", key, {})
        elif not ended and (condition := _condition(job, pods)):
            self._set_condition(key, *condition)
        elif _deleted(job):
            if not pods:
                self._server.update("garbage-collector", key, _release)
        elif not pods and not ended and "active" not in job["status"]:
            self._create_pod(key, job)

    def _owner_is_gone(self, job: Object) -> bool:
        uid = owner_uid(job)
        owners = self._server.of_kind("backgroundjobs")
        return all(owner["metadata"]["uid"] != uid for _, owner in owners)

    def _create_pod(self, key: Key, job: Object) -> None:
        template = job["spec"]["template"]
        metadata = {
            "generateName": f"{key.name}-",
            "labels": {**template["metadata"]["labels"], "job-name": key.name},
            "annotations": template["metadata"]["annotations"],
            "finalizers": [_FINALIZER],
            "ownerReferences": [
                {"kind": "Job", "name": key.name, "uid": job["metadata"]["uid"], "controller": True}
            ],
        }
        pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
        self._server.handle(
            "job-controller", "POST", f"/api/v1/namespaces/{key.namespace}/pods", {}, pod
        )
        self._server.update("job-controller", key, lambda job: job["status"].update(active=1))

    def _set_condition(self, key: Key, type_: str, message: str) -> None:
        condition = {
            "type": type_,
            "status": "True",
            "message": message,
            "lastTransitionTime": self._server.time(),
        }

        def end(job: Object) -> None:
            job["status"] = {"conditions": [condition]}

        self._server.update("job-controller", key, end, "status")

    # The kubelet

    def _start(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or _deleted(pod) or _ended(pod):
            return
        self.pods_run += 1
        started = {"running": {"startedAt": self._server.time()}}

        def start(pod: Object) -> None:
            pod["spec"]["nodeName"] = "node-1"
            pod["status"] = {"phase": "Running", **_container(started)}

        self._server.update("kubelet", key, start, "status")
        self._later(self._script_of(pod).runs_seconds, self._end, key, uid)

    def _wait(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or _deleted(pod):
            return
        waiting = {"reason": self._script_of(pod).waits_for, "message": "as the script says"}

        def wait(pod: Object) -> None:
            pod["status"] |= _container({"waiting": waiting})

        self._server.update("kubelet", key, wait, "status")

    def _end(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or _ended(pod) or _deleted(pod):
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
                self._server.delete("kubelet", key, _GRACE)
            case "node lost":
                self.unreachable.add(uid)
                self._later(script.stops_after_seconds, self._taint, key, uid)

    def _taint(self, key: Key, uid: str) -> None:
        """The node stays away: its pods are marked for deletion, and wait for its return."""
        if pod := self._found(key, uid):
            if not _deleted(pod):
                self._disrupt(key, "DeletionByTaintManager")
                self._delete(key)
            self._later(5 * self._script_of(pod).stops_after_seconds, self._fence, key, uid)

    def _fence(self, key: Key, uid: str) -> None:
        """Somebody says that the node is out of service."""
        self.unreachable.discard(uid)
        self._kill(key, uid)

    def _kill(self, key: Key, uid: str) -> None:
        pod = self._found(key, uid)
        if pod is None or uid in self.unreachable:
            return
        if not _ended(pod):
            self._terminate(key, self._script_of(pod).stops_with)
        if self._found(key, uid):
            self._server.delete("kubelet", key, _GRACE)

    def _terminate(
        self,
        key: Key,
        exit_code: int,
        reason: str = "",
        message: str = "",
        pod_reason: str | None = None,
    ) -> None:
        terminated = {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            "message": message,
            "finishedAt": self._server.time(),
        }

        def end(pod: Object) -> None:
            status = pod["status"]
            running = _state(pod).get("running")
            if running:
                terminated["startedAt"] = running["startedAt"]
                status |= _container({"terminated": terminated})
            status["phase"] = "Failed" if exit_code or not running else "Succeeded"
            if pod_reason:
                status["reason"] = pod_reason

        self._server.update("kubelet", key, end, "status")

    def _disrupt(self, key: Key, reason: str) -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason}

        def mark(pod: Object) -> None:
            pod["status"]["conditions"] = [{**condition, "message": reason}]

        self._server.update("scheduler", key, mark, "status")

    def _delete(self, key: Key) -> None:
        self._server.delete("garbage-collector", key, {})

    def _script_of(self, pod: Object) -> Script:
        given = pod["metadata"]["labels"]
        return self._script(job_name(pod), int(given[labels.RUN]), int(given[labels.ATTEMPT]))

    def _found(self, key: Key, uid: str) -> Object | None:
        found = self._server.objects.get(key)
        return found if found and found["metadata"]["uid"] == uid else None

    def _later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        asyncio.get_running_loop().call_later(seconds, action, *arguments)


def job_name(object_: Object) -> str:
    """The name of the BackgroundJob that a child Job or a pod is of."""
    return str(object_["metadata"]["annotations"][labels.NAME])


def _condition(job: Object, pods: list[tuple[Key, Object]]) -> tuple[str, str] | None:
    """The Job's end, as its backoffLimit 0 and its podFailurePolicy make it."""
    if not pods:
        vanished = "active" in job["status"] and not _deleted(job)
        limit = "Job has reached the specified backoff limit"
        return ("Failed", limit) if vanished else None
    key, pod = pods[0]
    if not _ended(pod):
        return None
    if pod["status"]["phase"] == "Succeeded":
        return "Complete", "Reached expected number of succeeded pods"
    name = f"{key.namespace}/{key.name}"
    if pod["status"].get("conditions"):
        return (
            "Failed",
            f"Pod {name} has condition DisruptionTarget matching FailJob rule at index 0",
        )
    code = _state(pod).get("terminated", {}).get("exitCode")
    if code is None:
        return "Failed", "Job has reached the specified backoff limit"
    return (
        "Failed",
        f"Container {CONTAINER} for pod {name} failed with exit code {code} matching FailJob rule "
        "at index 1",
    )


def _release(object_: Object) -> None:
    object_["metadata"]["finalizers"] = []


def _deleted(object_: Object) -> bool:
    return "deletionTimestamp" in object_["metadata"]


def _ended(pod: Object) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def _container(state: Object) -> Object:
    return {"containerStatuses": [{"name": CONTAINER, "state": state}]}


def _state(pod: Object) -> Object:
    statuses = pod["status"].get("containerStatuses", [])
    state: Object = statuses[0]["state"] if statuses else {}
    return state
