"""What is submitted: BackgroundJobs, and plain Jobs with the very pods that those get."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import yaml
from tests import server as api
from tests.server import ROOT

from bgjobs.domain.decision import Start
from bgjobs.domain.ranking import Candidate
from bgjobs.domain.resource import parse
from bgjobs.domain.runtimes import parse_runtimes, runtime_for
from bgjobs.kube import manifests
from bgjobs.kube.labels import UID

PLAIN = "bench/uid"
"""The label of plain Jobs and their pods, in place of the one by which the operator sees pods."""

_RUNTIMES = parse_runtimes(yaml.safe_load((ROOT / "deploy/base/runtimes.yaml").read_text())["data"])
_PARAMETERS = {"warehouse": 7, "items": ["bolts", "nuts"]}


def background_job(
    name: str, class_: str, labels: Mapping[str, str] | None = None, **spec: Any
) -> bytes:
    body = _background_job(name, class_, **spec)
    body["metadata"]["labels"] = dict(labels or {})
    return orjson.dumps(body)


def plain_job(name: str, class_: str) -> bytes:
    """The Job that the operator would make, but nobody's, and not to be seen by it."""
    metadata = {
        "name": name,
        "namespace": "bench",
        "uid": str(uuid.uuid4()),
        "resourceVersion": "1",
        "creationTimestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    job = parse({**_background_job(name, class_), "metadata": metadata})
    runtime = runtime_for(_RUNTIMES, class_)
    candidate = Candidate(
        uid=job.metadata.uid,
        by_hand=False,
        priority=job.spec.priority,
        could_start_since=job.metadata.creation_timestamp,
        group=runtime.key,
        group_limit=0,
    )
    start = Start(job_name=name, run=1, attempt=1, runtime=runtime, candidate=candidate)
    manifest = manifests.child_job(job, start)
    del manifest["metadata"]["ownerReferences"]
    for part in (manifest, manifest["spec"]["template"]):
        part["metadata"]["labels"][PLAIN] = part["metadata"]["labels"].pop(UID)
    return orjson.dumps(manifest)


def _background_job(name: str, class_: str, **spec: Any) -> Any:
    return api.manifest(name, class_=class_, parameters=_PARAMETERS, **spec)
