"""Submits BackgroundJobs and waits, on watches, for what becomes of them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import yaml
from tests import server as api
from tests.server import Jobs, Server

CLASS = "kwok.jobs.Scripted"
"""Its pods do what the parameter `pods` says (tests/stages)."""

OPERATOR_NAMESPACE = "bgjobs-system"
_WITHIN_S = 20
_ACTIONS = sa.text("SELECT action, ordinal, by_user, at FROM actions WHERE uid = :uid")
_ROW = sa.text("SELECT * FROM jobs JOIN job_details USING (uid) WHERE uid = :uid")

Object = Mapping[str, Any]
Condition = Callable[[Any], bool]


def submit(
    jobs: Jobs, name: str, *, pods: Sequence[Object] = (), class_: str = CLASS, **spec: Any
) -> str:
    """Create a BackgroundJob whose pods end as `pods` says; return its uid."""
    parameters = spec.pop("parameters", {}) | ({"pods": list(pods)} if pods else {})
    job = api.created(jobs, name, class_=class_, parameters=parameters, **spec)
    return str(job["metadata"]["uid"])


def change(jobs: Jobs, name: str, **spec: Any) -> None:
    answer = api.patch_spec(jobs, name, **spec)
    assert answer.status == 200, answer.message


def finished(job: Any) -> bool:
    return any(c["type"] == "Finished" and c["status"] == "True" for c in conditions(job))


def conditions(job: Any) -> Sequence[Any]:
    return list(job["status"].get("conditions", ()))


def phase(name: str) -> Condition:
    return lambda job: job["status"]["phase"] == name


def reason(name: str) -> Condition:
    return lambda job: job["status"]["reason"] == name


def wait(jobs: Jobs, name: str, until: Condition, within_s: float = _WITHIN_S) -> Any:
    """The BackgroundJob once it is as wanted; fails, showing it, if it never is."""
    seen: Any = None
    for event in watch(jobs.server, jobs.path, f"metadata.name={name}", within_s):
        seen = event["object"]
        if event["type"] != "DELETED" and until(seen):
            return seen
    if seen:
        del seen["metadata"]["managedFields"]
    raise AssertionError(
        f"BackgroundJob {name} is not as wanted after {within_s:.0f} s:\n{yaml.safe_dump(seen)}"
    )


def wait_finished(jobs: Jobs, name: str, within_s: float = _WITHIN_S) -> Any:
    return wait(jobs, name, finished, within_s)


def watch(
    server: Server, path: str, field_selector: str, within_s: float, label_selector: str = ""
) -> Iterator[Any]:
    """The objects there are as ADDED events, then what happens to them, for a while."""
    response = server.pool.request(
        "GET",
        server.url + path,
        fields={
            "watch": "true",
            "fieldSelector": field_selector,
            "labelSelector": label_selector,
            "timeoutSeconds": str(int(within_s) + 1),
        },
        preload_content=False,
        timeout=within_s + 5,
    )
    deadline = time.monotonic() + within_s
    try:
        for line in response:
            yield json.loads(line)
            if time.monotonic() > deadline:
                return
    finally:
        response.close()
        response.release_conn()


def child_jobs(jobs: Jobs, uid: str) -> list[Any]:
    return _labelled(jobs.server, jobs_path(jobs), uid)


def pods(jobs: Jobs, uid: str) -> list[Any]:
    return _labelled(jobs.server, pods_path(jobs), uid)


def _labelled(server: Server, path: str, uid: str) -> list[Any]:
    answer = api.request(server, "GET", f"{path}?labelSelector=bgjobs.dev/uid={uid}")
    assert answer.status == 200, answer.message
    return list(answer.body["items"])


def jobs_path(jobs: Jobs) -> str:
    return f"/apis/batch/v1/namespaces/{jobs.namespace}/jobs"


def pods_path(jobs: Jobs) -> str:
    return f"/api/v1/namespaces/{jobs.namespace}/pods"


def wait_event(server: Server, namespace: str, name: str, reason: str) -> Any:
    """The Event of that reason about the object of that name."""
    selector = f"involvedObject.name={name},reason={reason}"
    path = f"/api/v1/namespaces/{namespace}/events"
    for event in watch(server, path, selector, _WITHIN_S):
        return event["object"]
    raise AssertionError(f"no Event {reason} about {namespace}/{name} within {_WITHIN_S} s")


def set_key(server: Server, config_map: str, key: str, value: str | None) -> None:
    """Change one key of one of the operator's ConfigMaps; None takes it away."""
    answer = api.request(
        server,
        "PATCH",
        f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps/{config_map}",
        {"data": {key: value}},
        content_type="application/merge-patch+json",
    )
    assert answer.status == 200, answer.message


def allow(jobs: Jobs, class_: str) -> None:
    """Put the class on the allowlist; return once it can be submitted."""
    set_key(jobs.server, "bgjobs-allowlist", class_, "handle")
    body = api.manifest("dry-run", class_=class_)
    api.await_true(
        f"{class_} is allowed",
        lambda: api.request(jobs.server, "POST", f"{jobs.path}?dryRun=All", body).status == 201,
    )


def new_namespace(server: Server, name: str, labels: Mapping[str, str] | None = None) -> Jobs:
    """A namespace that takes pods."""
    answer = api.request(
        server,
        "POST",
        "/api/v1/namespaces",
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": dict(labels or {})},
        },
    )
    assert answer.status == 201, answer.message
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    api.await_true(
        f"namespace {name} takes pods",
        lambda: api.request(server, "GET", account).status == 200,
    )
    return Jobs(server, name)


def wait_row(database: sa.Engine, job: Any) -> Mapping[str, Any]:
    """The mirror's row of this BackgroundJob, with its details, once it is of this version."""
    version = str(job["metadata"]["resourceVersion"])
    return wait_row_where(
        database,
        job["metadata"]["uid"],
        lambda row: row["resource_version"].lstrip("0") == version,
    )


def actions(database: sa.Engine, uid: str) -> dict[tuple[str, int], tuple[str, datetime]]:
    """By the mirror: who did which action the how manieth time, and when."""
    with database.connect() as connection:
        rows = connection.execute(_ACTIONS, {"uid": uid})
        return {(row.action, row.ordinal): (row.by_user, row.at) for row in rows}


def wait_row_where(database: sa.Engine, uid: str, condition: Condition) -> Mapping[str, Any]:
    """The row once it is as wanted; fails, showing it, if it never is."""
    rows: list[Any] = []

    def is_there() -> bool:
        with database.connect() as connection:
            rows[:] = connection.execute(_ROW, {"uid": uid}).mappings()
        return any(condition(row) for row in rows)

    api.wait_until(is_there, lambda: f"the row is not as wanted: {[*map(dict, rows)]}", _WITHIN_S)
    return dict(rows[0])
