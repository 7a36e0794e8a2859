"""The manifest of a child Job: one attempt, one pod, as little right as it needs."""

from typing import Any

import msgspec

from bgjobs.domain.decision import Start
from bgjobs.domain.resource import GROUP, KIND, VERSION, BackgroundJob, Priority
from bgjobs.domain.runtimes import active_deadline_seconds
from bgjobs.kube import labels

CONTAINER = "job"
CONTRACT_VERSION = "1"

_DEFAULT_RESOURCES = {
    "requests": {"cpu": "50m", "memory": "64Mi"},
    "limits": {"cpu": "1", "memory": "256Mi"},
}
_USER = 65532
_PRIORITY_CLASSES = {
    Priority.HIGH: "bgjobs-high",
    Priority.MEDIUM: "bgjobs-medium",
    Priority.LOW: "bgjobs-low",
}


def child_job(job: BackgroundJob, start: Start) -> dict[str, Any]:
    """The batch/v1 Job that runs one attempt of a BackgroundJob.

    backoffLimit 0 and the failure policy keep the cause of a failure in the
    Job's Failed condition even where the pod is gone; the deadline is the pod's,
    since a Job's own would delete the pod together with its log.
    """
    identity = {
        labels.UID: job.metadata.uid,
        labels.RUN: str(start.run),
        labels.ATTEMPT: str(start.attempt),
    }
    annotations = {
        labels.NAME: job.metadata.name,
        labels.CLASS: job.spec.class_,
        labels.METHOD: job.spec.method,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": start.job_name,
            "namespace": job.metadata.namespace,
            "labels": identity,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": job.metadata.name,
                    "uid": job.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "NotIn",
                            "values": [0],
                        },
                    },
                ]
            },
            "template": {
                "metadata": {
                    "labels": {**(start.runtime.settings.labels or {}), **identity},
                    "annotations": annotations,
                },
                "spec": _pod(job, start),
            },
        },
    }


def _pod(job: BackgroundJob, start: Start) -> dict[str, Any]:
    runtime = start.runtime.settings
    pod = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": active_deadline_seconds(job.spec, runtime),
        "terminationGracePeriodSeconds": runtime.termination_grace_period_seconds,
        "priorityClassName": _PRIORITY_CLASSES[job.spec.priority],
        "automountServiceAccountToken": runtime.service_account_name is not None,
        "serviceAccountName": runtime.service_account_name,
        "enableServiceLinks": False,
        "imagePullSecrets": runtime.image_pull_secrets,
        "nodeSelector": runtime.node_selector,
        "tolerations": runtime.tolerations,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, start)],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *(runtime.volumes or [])],
    }
    return {key: value for key, value in pod.items() if value is not None}


def _container(job: BackgroundJob, start: Start) -> dict[str, Any]:
    runtime = start.runtime.settings
    container = {
        "name": CONTAINER,
        "image": runtime.image,
        "imagePullPolicy": runtime.image_pull_policy,
        "env": [*(runtime.env or []), *_contract(job, start)],
        "envFrom": runtime.env_from,
        "resources": runtime.resources or _DEFAULT_RESOURCES,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *(runtime.volume_mounts or [])],
    }
    return {key: value for key, value in container.items() if value is not None}


def _contract(job: BackgroundJob, start: Start) -> list[dict[str, str]]:
    """The environment of the runner's contract (job-image/CONTRACT.md).

    The kubelet expands $(NAME) in values, Secrets included: every $ is doubled,
    or a parameter could read a Secret into a result.
    """
    variables = {
        "BGJOB_CONTRACT": CONTRACT_VERSION,
        "BGJOB_CLASS": job.spec.class_,
        "BGJOB_METHOD": job.spec.method,
        "BGJOB_PARAMETERS": msgspec.json.encode(job.spec.parameters).decode(),
        "BGJOB_NAME": job.metadata.name,
        "BGJOB_NAMESPACE": job.metadata.namespace,
        "BGJOB_UID": job.metadata.uid,
        "BGJOB_RUN": str(start.run),
        "BGJOB_ATTEMPT": str(start.attempt),
        "BGJOB_IDEMPOTENCY_KEY": f"{job.metadata.uid}-{start.run}",
    }
    return [{"name": n, "value": v.replace("$", "$$")} for n, v in variables.items()]
