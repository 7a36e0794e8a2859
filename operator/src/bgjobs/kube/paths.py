"""The API server's paths of what the operator and the plugin read and write."""

from bgjobs.domain.resource import GROUP, PLURAL, VERSION

ALL_BACKGROUND_JOBS = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
UNSUCCEEDED = "status.phase!=Succeeded"
"""The BackgroundJobs that are watched: those that succeeded may be a hundred thousand."""
ALL_JOBS = "/apis/batch/v1/jobs"
ALL_PODS = "/api/v1/pods"


def background_jobs(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"


def background_job(namespace: str, name: str) -> str:
    return f"{background_jobs(namespace)}/{name}"


def status(namespace: str, name: str) -> str:
    return f"{background_job(namespace, name)}/status"


def jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def job(namespace: str, name: str) -> str:
    return f"{jobs(namespace)}/{name}"


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def log(namespace: str, pod: str) -> str:
    return f"{pods(namespace)}/{pod}/log"


def events(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/events"


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def leases(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


def lease(namespace: str, name: str) -> str:
    return f"{leases(namespace)}/{name}"
