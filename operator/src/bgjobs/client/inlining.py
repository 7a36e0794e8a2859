"""Jobs that run at once in the process that dispatches them, for an application's own tests."""

import asyncio
import contextlib
import inspect
import json
import time
import traceback
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bgjobs.client import signatures
from bgjobs.client.operations import Answer, Request
from bgjobs.domain.resource import Phase, Reason

Object = dict[str, Any]
Answers = Callable[[Request], Answer]

_NAMESPACE = "inline"
_MAX_RESULT_BYTES = 3 * 1024

_REASONS = {
    "bgjobs_runner.Refused": Reason.NOT_IN_IMAGE,
    "bgjobs_runner.BadParameters": Reason.BAD_PARAMETERS,
    "bgjobs_runner.PermanentFailure": Reason.PERMANENT_FAILURE,
    f"{__name__}.Refused": Reason.NOT_IN_IMAGE,
    f"{__name__}.ResultNotJson": Reason.PERMANENT_FAILURE,
}
"""By the full name of an exception or one of its bases, as the contract has it
(job-image/CONTRACT.md)."""


class Refused(Exception):  # noqa: N818 - the runner's name for it
    """This class or method may not run."""


class ResultNotJson(Exception):  # noqa: N818 - as above
    """The method returned what cannot be kept."""


@dataclass(frozen=True)
class InlineContext:
    """What a method with a parameter `context` gets, as from the runner."""

    name: str
    namespace: str
    uid: str
    run: int
    attempt: int
    idempotency_key: str


class Inline:
    """The jobs of one block, in place of an API server."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, str], Object] = {}

    def answer(self, request: Request) -> Answer:
        time.sleep(request.after_seconds)
        namespace = request.namespace or _NAMESPACE
        if request.watch_seconds is not None:
            # Another thread runs the job that is waited for: look again.
            return Answer(200, b"")
        if request.method == "POST" and request.body is not None:
            return self._create(namespace, request.body)
        name = request.name or request.query["fieldSelector"].removeprefix("metadata.name=")
        job = self.jobs.get((namespace, name))
        if request.name is None:
            items = [] if job is None else [job]
            return _answer(200, {"metadata": {"resourceVersion": ""}, "items": items})
        if job is None:
            return _refused(404, f'backgroundjobs.bgjobs.dev "{name}" not found')
        if request.body is not None:
            return self._patch(job, request.body["spec"])
        return _answer(200, job)

    def _create(self, namespace: str, manifest: Object) -> Answer:
        name = manifest["metadata"]["name"]
        metadata = {**manifest["metadata"], "namespace": namespace, "uid": str(uuid.uuid4())}
        job = {**manifest, "metadata": metadata, "spec": {**manifest["spec"]}}
        _begin(job, 1)
        if self.jobs.setdefault((namespace, name), job) is not job:
            return _refused(409, f'backgroundjobs.bgjobs.dev "{name}" already exists')
        _run(job)
        return _answer(201, job)

    def _patch(self, job: Object, spec: Object) -> Answer:
        status = job["status"]
        if "retryRequests" not in spec or status["phase"] != Phase.FAILED:
            return _refused(422, f"this job is already {status['phase']}: inline jobs run at once")
        job["spec"] |= spec
        _begin(job, status["run"] + 1)
        _run(job)
        return _answer(200, job)


def _begin(job: Object, run: int) -> None:
    job["metadata"]["resourceVersion"] = str(run)
    job["status"] = {
        "phase": Phase.RUNNING,
        "reason": Reason.RUNNING,
        "run": run,
        "effectiveRetries": 0,
        "observedRetryRequests": job["spec"].get("retryRequests", 0),
        "startTime": datetime.now(UTC).isoformat(),
    }


def _run(job: Object) -> None:
    run = job["status"]["run"]
    outcome = _perform(job, run)
    job["status"] = {
        **job["status"],
        "attempts": [{"run": run, "attempt": 1}],
        "completionTime": datetime.now(UTC).isoformat(),
        **outcome,
    }


def _perform(job: Object, run: int) -> Object:
    """Calls the method as the runner would, but once. What it printed and raised is shown."""
    spec, metadata = job["spec"], job["metadata"]
    context = InlineContext(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        run=run,
        attempt=1,
        idempotency_key=f"{metadata['uid']}-{run}",
    )
    try:
        function = _method(spec["class"], spec["method"])
        arguments = json.loads(json.dumps(spec["parameters"]))
        if signatures.takes_context(function):
            arguments["context"] = context
        result = function(**arguments)
        if inspect.iscoroutine(result):
            result = _awaited(result)
        kept = _encoded(result)
    except (Exception, SystemExit) as error:
        traceback.print_exception(error)
        kind = _full_name(type(error)).removeprefix("builtins.")
        return {"phase": Phase.FAILED, "reason": _reason(error), "message": f"{kind}: {error}"}
    is_kept = len(kept) <= _MAX_RESULT_BYTES
    return {
        "phase": Phase.SUCCEEDED,
        "reason": Reason.SUCCEEDED,
        "message": "",
        "result": json.loads(kept) if is_kept else {"truncated": True, "bytes": len(kept)},
    }


def _method(class_: str, method: str) -> Callable[..., Any]:
    cls = signatures.imported(class_)
    if cls is None:
        raise LookupError(f"{class_} cannot be imported here, so it cannot run inline")
    if "__bgjob__" not in vars(cls):
        raise Refused(f"{class_} does not opt in: put @bgjobs_runner.job above it")
    if method.startswith("_"):
        raise Refused(f"{class_}.{method} is private: only public methods can run")
    if method not in vars(cls):
        raise Refused(f"{class_} defines no method {method} (inherited ones do not count)")
    if not callable(found := getattr(cls, method)) or isinstance(found, type):
        raise Refused(f"{class_}.{method} is no method")
    function: Callable[..., Any] = getattr(cls(), method)
    return function


def _encoded(result: object) -> bytes:
    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJson(
            f"the method returned something that JSON cannot carry: {error}"
        ) from None


def _reason(error: BaseException) -> Reason:
    names = {_full_name(kind) for kind in type(error).__mro__}
    return next((reason for name, reason in _REASONS.items() if name in names), Reason.ERROR)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _awaited(coroutine: Coroutine[Any, Any, object]) -> object:
    """In a thread of its own: the caller's may run an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _answer(status: int, body: Object) -> Answer:
    return Answer(status, json.dumps(body).encode())


def _refused(status: int, message: str) -> Answer:
    return _answer(status, {"kind": "Status", "message": message})


_blocks: list[Inline] = []


def current() -> Answers | None:
    """What answers in place of the API server within the innermost block."""
    return _blocks[-1].answer if _blocks else None


@contextlib.contextmanager
def inline() -> Iterator[None]:
    """Within the block, in the whole process, dispatch runs a job at once, before it returns.

    Once, without delay or retry: the handle is that of a finished job. A job that fails does so in
    its handle's result(), as it would from afar, and prints its traceback. Of an outbox, drain()
    within the block runs the jobs.
    """
    block = Inline()
    _blocks.append(block)
    try:
        yield
    finally:
        _blocks.remove(block)
