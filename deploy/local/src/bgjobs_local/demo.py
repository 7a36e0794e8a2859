"""The demo: jobs on real input, from apply to finish, compared with what should happen."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgjobs_local.errors import LocalError
from bgjobs_local.kubectl import Kubectl, node_address

_DEMO = Path(__file__).parents[2] / "demo"
_NAMESPACE = "demo"
_FINISHED_WITHIN_SECONDS = 120
_MIRRORED_WITHIN_SECONDS = 10
_LOOK_EVERY_SECONDS = 0.5
_NEAR = 0.8
_PAIRS_SHOWN = 5
_DASHBOARD_PORT = 30880
"""Of the node, by deploy/overlays/local/dashboard.yaml."""

_COLUMNS = ("name", "phase", "attempts_total", "run_seconds", "result")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """How a job of the demo must end. `result` says what is wrong with a result, if anything."""

    phase: str
    attempts: int
    result: Callable[[Any], str | None]


def _no_result(result: Any) -> str | None:
    return None if result is None else f"it has the result {result}"


def _near_twins(result: Any) -> str | None:
    pairs = (result or {}).get("pairs", [])
    twins = [pair for pair in pairs[:2] if {pair["a"], pair["b"]} == {"LGPL-2", "LGPL-2.1"}]
    if twins and twins[0]["similarity"] > _NEAR:
        return None
    return f"LGPL-2 and LGPL-2.1 are not among its two most similar pairs: {pairs[:2]}"


def _the_greeting(result: Any) -> str | None:
    greeting = {"greeting": "Grüße, $(HOME) 👋"}
    return None if result == greeting else f"its result is {result}, not {greeting}"


@dataclass(frozen=True)
class Act:
    """A change of a job's spec, made once the job is in its phase for this reason."""

    job: str
    reason: str
    spec: Mapping[str, Any]


_EXPECTED = {
    "compare-licences": Expected("Succeeded", 1, _near_twins),
    "fails-twice": Expected("Succeeded", 3, lambda _: None),
    "fails-for-good": Expected("Failed", 4, _no_result),
    "delayed": Expected("Succeeded", 1, _the_greeting),
    "tonight": Expected("Succeeded", 1, lambda _: None),
    "held": Expected("Succeeded", 2, _no_result),
    "mistake": Expected("Succeeded", 2, _no_result),
    "nap-first": Expected("Succeeded", 1, _no_result),
    "nap-by-hand": Expected("Succeeded", 1, _no_result),
    "nap-high": Expected("Succeeded", 1, _no_result),
    "nap-low": Expected("Succeeded", 1, _no_result),
}
_ACTS = (
    Act("nap-by-hand", "Queued", {"startRequests": 1}),
    Act("tonight", "Delayed", {"startRequests": 1}),
    Act("held", "Running", {"suspend": True}),
    Act("held", "Suspended", {"suspend": False}),
    Act("mistake", "Running", {"cancelled": True, "cancelReason": "the wrong list"}),
    Act("mistake", "Cancelled", {"cancelled": False, "retryRequests": 1}),
)
"""In the order in which they are done, for each job."""
_STARTED_IN_ORDER = ("nap-first", "nap-by-hand", "nap-high", "nap-low")
_REFUSAL = "class shop.jobs.DropTables (method handle) is not on the allowlist"


def run(kubectl: Kubectl) -> list[str]:
    """Runs the demo and returns what differs from what was expected."""
    kubectl("apply", "--server-side", "-f", "-", stdin=_namespace())
    kubectl("delete", "backgroundjobs", "--all", "-n", _NAMESPACE)
    say = "\n$ kubectl apply -n demo -f deploy/local/demo/"
    print(f"{say}allowed.yaml")
    print(kubectl("apply", "-n", _NAMESPACE, "-f", str(_DEMO / "allowed.yaml")), end="")
    print(f"{say}refused.yaml")
    problems = _apply_refused(kubectl)
    jobs = _follow(kubectl)
    from_api = [_api_row(job) for job in jobs]
    from_mysql = _mirrored(kubectl, [job["metadata"]["uid"] for job in jobs], from_api)
    print(f"\nFrom the API server:\n{_table(from_api)}")
    print(f"\nFrom MySQL:\n{_table(from_mysql)}")
    print(f"\nThe most similar licences:\n{_pairs(jobs)}")
    if from_mysql != from_api:
        problems.append("the rows in MySQL are not the BackgroundJobs in the API server")
    for job in jobs:
        problems += _differences(job)
    started = {job["metadata"]["name"]: job["status"].get("startTime", "") for job in jobs}
    if sorted(_STARTED_IN_ORDER, key=lambda name: started[name]) != [*_STARTED_IN_ORDER]:
        problems.append(f"{', '.join(_STARTED_IN_ORDER)} did not start in this order")
    return problems


def sign_in(kubectl: Kubectl) -> str:
    """A token of somebody who may look at the dashboard and act there."""
    kubectl("apply", "--server-side", "-f", str(_DEMO / "admin.yaml"))
    return kubectl("create", "token", "admin", "-n", _NAMESPACE, "--duration=8h").strip()


def dashboard(kubectl: Kubectl) -> str:
    """Where the local cluster's node answers for it."""
    return f"http://{node_address(kubectl)}:{_DASHBOARD_PORT}"


def _namespace() -> str:
    metadata = {
        "name": _NAMESPACE,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    }
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def _apply_refused(kubectl: Kubectl) -> list[str]:
    try:
        kubectl("apply", "-n", _NAMESPACE, "-f", str(_DEMO / "refused.yaml"))
    except LocalError as refusal:
        print(refusal)
        return [] if _REFUSAL in str(refusal) else ["not-allowed was refused for another reason"]
    return ["not-allowed was not refused"]


def _follow(kubectl: Kubectl) -> Sequence[dict[str, Any]]:
    """Shows every change of the jobs, and changes some by hand, until all have finished."""
    print()
    shown: dict[str, str] = {}
    acts = list(_ACTS)
    started = time.monotonic()
    while True:
        jobs = kubectl.objects("backgroundjobs", "-n", _NAMESPACE)
        for job in jobs:
            name, status = job["metadata"]["name"], job["status"]
            line = f"{name:<18}{status['phase']:<12}{status['message']}"
            if shown.get(name) != line:
                shown[name] = line
                print(f"{time.monotonic() - started:5.1f} s  {line}", flush=True)
            act = next((act for act in acts if act.job == name), None)
            if act is not None and act.reason == status["reason"]:
                acts.remove(act)
                _change(kubectl, act)
        if not acts and all("completionTime" in job["status"] for job in jobs):
            return jobs
        if time.monotonic() - started > _FINISHED_WITHIN_SECONDS:
            raise LocalError(
                f"The jobs did not finish within {_FINISHED_WITHIN_SECONDS} s: "
                "kubectl describe bgjob -n demo; "
                "kubectl logs -n bgjobs-system deployment/bgjobs-operator"
            )
        time.sleep(_LOOK_EVERY_SECONDS)


def _change(kubectl: Kubectl, act: Act) -> None:
    patch = json.dumps({"spec": act.spec})
    print(f"$ kubectl patch bgjob {act.job} -n demo --type=merge -p '{patch}'", flush=True)
    kubectl("patch", "bgjob", act.job, "-n", _NAMESPACE, "--type=merge", "-p", patch)


def _mirrored(kubectl: Kubectl, uids: Sequence[str], wanted: Sequence[Row]) -> Sequence[Row]:
    """The rows in MySQL, once they are the wanted ones or time is up."""
    deadline = time.monotonic() + _MIRRORED_WITHIN_SECONDS
    while True:
        rows = _mysql_rows(kubectl, uids)
        if rows == wanted or time.monotonic() > deadline:
            return rows
        time.sleep(_LOOK_EVERY_SECONDS)


def _mysql_rows(kubectl: Kubectl, uids: Sequence[str]) -> list[Row]:
    query = (
        "SELECT JSON_OBJECT('name', name, 'phase', phase, 'attempts_total', attempts_total, "
        "'run_seconds', run_seconds, 'result', result) FROM jobs JOIN job_details USING (uid) "
        f"WHERE uid IN ({', '.join(repr(uid) for uid in uids)}) ORDER BY name"
    )
    client = "mariadb --default-character-set=utf8mb4 --batch --raw --skip-column-names bgjobs -e"
    pod = ("exec", "-n", "bgjobs-system", "statefulset/mariadb", "--")
    rows = [json.loads(line) for line in kubectl(*pod, *client.split(), query).splitlines()]
    return [{**row, "result": json.loads(row["result"] or "null")} for row in rows]


def _api_row(job: Mapping[str, Any]) -> Row:
    status = job["status"]
    return {
        "name": job["metadata"]["name"],
        "phase": status["phase"],
        "attempts_total": status["attemptsTotal"],
        "run_seconds": status.get("runSeconds"),
        "result": status.get("result"),
    }


def _table(rows: Sequence[Row]) -> str:
    lines = [("NAME", "PHASE", "ATTEMPTS", "RUN TIME", "RESULT")]
    for row in rows:
        name, phase, attempts, seconds, result = (row[column] for column in _COLUMNS)
        run_time = "" if seconds is None else f"{seconds:g} s"
        text = "" if result is None else json.dumps(result, ensure_ascii=False)
        lines.append((name, phase, str(attempts), run_time, text[:60] + "…" * (len(text) > 60)))
    return "\n".join(f"{a:<18}{b:<12}{c:<10}{d:<10}{e}".rstrip() for a, b, c, d, e in lines)


def _pairs(jobs: Sequence[Mapping[str, Any]]) -> str:
    """The first pairs that compare-licences ranked."""
    result = next(
        job["status"].get("result") for job in jobs if "licences" in job["metadata"]["name"]
    )
    return "\n".join(
        f"{pair['similarity']:6.1%}  {pair['a']} and {pair['b']}"
        for pair in (result or {}).get("pairs", [])[:_PAIRS_SHOWN]
    )


def _differences(job: Mapping[str, Any]) -> list[str]:
    name, status = job["metadata"]["name"], job["status"]
    expected = _EXPECTED[name]
    found = []
    if status["phase"] != expected.phase:
        found.append(f"{name} is {status['phase']}, not {expected.phase}: {status['message']}")
    if status["attemptsTotal"] != expected.attempts:
        found.append(f"{name} took {status['attemptsTotal']} attempts, not {expected.attempts}")
    if wrong := expected.result(status.get("result")):
        found.append(f"{name}: {wrong}")
    return found
