"""The demo's other half: a student hands in an essay, and what the academic service makes of it."""

import json
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from bgjobs_local.errors import LocalError
from bgjobs_local.kubectl import Kubectl, node_address

_ESSAY = Path(__file__).parents[2] / "demo" / "essay.txt"
NAMESPACE = "academic"
_PORT = 30881
"""Of the node, by academic/deploy/local/service.yaml."""
STUDENT, INSTRUCTOR, ADMIN = (f"{name}@academic.example" for name in ("elif", "mira", "admin"))
_COPIED_FROM: Mapping[str, set[str]] = {
    "Ben Castillo": set(),
    "Chen Wei": {"Ada Brandt"},
    "Dana Novak": set(),
    "Elif Demir": set(),
}
"""Of whom it is known, from whose essay theirs has passages."""
_FINISHED_WITHIN_SECONDS = 240
_ANSWERED_WITHIN_SECONDS = 60
_LOOK_EVERY_SECONDS = 0.5
_JOBS = 4
_BURST = 25
_BURST_WITHIN_SECONDS = 900
_BURST_LOOK_EVERY_SECONDS = 5


@dataclass(frozen=True)
class Person:
    """Somebody who has signed in to the service."""

    address: str
    token: str

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The service's answer to a request of its JSON API."""
        return _request(method, f"{self.address}{path}", body, self.token)


def run(kubectl: Kubectl, password: str) -> list[str]:
    """Returns what differs from what was expected."""
    with _reached(kubectl) as address:
        student, instructor = (sign_in(address, who, password) for who in (STUDENT, INSTRUCTOR))
        essay = assignment(student, "text")
        problems, graded = _hand_in(kubectl, student, essay)
        problems += _mail(kubectl, graded["id"]) + _course(instructor, essay, graded)
        return problems + _burst(kubectl, student, essay)


def run_without_api_server(
    kubectl: Kubectl, password: str, without: Callable[[], AbstractContextManager[None]]
) -> list[str]:
    """Shows what becomes of an essay that is handed in meanwhile; returns what is not as expected.

    The service is reached past the API server, which only the local cluster offers.
    """
    student = sign_in(service(kubectl), STUDENT, password)
    path = f"/assignments/{assignment(student, 'text')['id']}/submissions"
    print("\nThe API server is killed, and an essay handed in:")
    with without():
        began = time.monotonic()
        made = student("POST", path, _essay("By candlelight."))
        print(f"{time.monotonic() - began:5.1f} s  submission {made['id']}")
    began = time.monotonic()
    jobs = _follow(student, made["id"], began)["jobs"]
    return [] if len(jobs) == _JOBS else [f"the submission has {len(jobs)} jobs, not {_JOBS}"]


def _essay(*added: str) -> Mapping[str, str]:
    """What is sent to hand it in; the same again is the same submission."""
    content = "\n\n".join((_ESSAY.read_text(), *added))
    return {"key": f"demo-{secrets.token_hex(8)}", "content": content}


def _hand_in(kubectl: Kubectl, student: Person, essay: Any) -> tuple[list[str], Any]:
    """Shows what becomes of an essay; the submission when its jobs have succeeded."""
    print(f"\n{STUDENT} hands in an essay, and sends the form twice:")
    given = _essay()
    began = time.monotonic()
    path = f"/assignments/{essay['id']}/submissions"
    first, second = (student("POST", path, given) for _ in range(2))
    print(f"{time.monotonic() - began:5.1f} s  submission {first['id']}, and the same again")
    graded = _follow(student, first["id"], began)
    print(f"\nThe grade: {graded['score']:.0f} of 100")
    for criterion in graded["grade"]["criteria"]:
        print(f"  {criterion['name']:<12}{criterion['score']:4.0%}  {criterion['explanation']}")
    problems = [] if first["id"] == second["id"] else ["the form sent twice is two submissions"]
    names = kubectl("get", "bgjob", "-n", NAMESPACE, "-o", "name").split()
    jobs = [name for name in names if name.endswith(first["id"])]
    if len(jobs) != _JOBS:
        problems.append(f"the submission has the jobs {jobs}, not {_JOBS}")
    return problems, graded


def _burst(kubectl: Kubectl, student: Person, essay: Any) -> list[str]:
    """Shows many submissions at once: all finish, and no job runs twice."""
    print(f"\n{_BURST} versions of it are handed in at once, each form sent twice:")
    path, began = f"/assignments/{essay['id']}/submissions", time.monotonic()

    def hand_in(number: int) -> set[str]:
        given = _essay(f"Version {number}.")
        return {student("POST", path, given)["id"] for _ in range(2)}

    with ThreadPoolExecutor(_BURST) as threads:
        submissions = [each for made in threads.map(hand_in, range(_BURST)) for each in made]
    print(f"{time.monotonic() - began:5.1f} s  {len(submissions)} submissions")
    wanted, shown = _BURST * _JOBS, 0
    while True:
        jobs = [
            job
            for job in kubectl.objects("bgjob", "-n", NAMESPACE)
            if job["metadata"]["name"].endswith(tuple(submissions))
        ]
        over = sum("completionTime" in job.get("status", {}) for job in jobs)
        if over > shown:
            print(f"{time.monotonic() - began:5.1f} s  {over} jobs are over", flush=True)
            shown = over
        if over >= wanted:
            break
        if time.monotonic() - began > _BURST_WITHIN_SECONDS:
            raise LocalError(
                f"Only {over} of {wanted} jobs finished: kubectl get bgjob -n academic"
            )
        time.sleep(_BURST_LOOK_EVERY_SECONDS)
    ends = Counter((job["status"]["phase"], job["status"]["attemptsTotal"]) for job in jobs)
    problems = [] if ends == {("Succeeded", 1): wanted} else [f"the burst's jobs ended as {ends}"]
    arrived = _message_ids(kubectl)
    if any(arrived[f"submission-{submission}"] != 1 for submission in submissions):
        problems.append(f"not one mail arrived for each submission of the burst: {arrived}")
    return problems


def people(kubectl: Kubectl) -> str:
    """Fills the service's database unless it is filled, and returns the password of its people."""
    exec_ = ("exec", "-n", NAMESPACE, "deployment/academic", "--", "python", "-m", "academic")
    password = _password(kubectl)
    try:
        kubectl(*exec_, "seed", "--password", password)
    except LocalError as error:
        if "has people already" not in str(error):
            raise
    return password


def assignment(person: Person, kind: str) -> Any:
    """The person's first one of that kind, text or program."""
    courses = person("GET", "/courses")
    return next(a for course in courses for a in course["assignments"] if a["kind"] == kind)


def service(kubectl: Kubectl) -> str:
    """Where the local cluster's node answers for it."""
    return f"http://{node_address(kubectl)}:{_PORT}"


def sign_ins() -> str:
    return f"{STUDENT} (student), {INSTRUCTOR} (instructor) or {ADMIN}"


@contextmanager
def _reached(kubectl: Kubectl) -> Iterator[str]:
    """The service's address in any cluster, while the block lasts."""
    command = [*kubectl.argv, "port-forward", "-n", NAMESPACE, "service/academic", ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not (found := re.match(r"Forwarding from (127\.0\.0\.1:\d+) ", line)):
                raise LocalError("The academic service cannot be reached by kubectl port-forward.")
            yield f"http://{found[1]}"
        finally:
            process.terminate()


def _password(kubectl: Kubectl) -> str:
    """Made once, as the database's are."""
    secret = ("secret", "people", "-n", NAMESPACE)
    if "secret/people" not in kubectl("get", "secrets", "-n", NAMESPACE, "-o", "name").split():
        literal = f"--from-literal=password={secrets.token_urlsafe(9)}"
        kubectl("create", "secret", "generic", "people", "-n", NAMESPACE, literal)
    return kubectl("get", *secret, "-o", "go-template={{.data.password | base64decode}}")


def sign_in(address: str, email: str, password: str) -> Person:
    api = f"{address}/api/v1"
    answer = _request("POST", f"{api}/sessions", {"email": email, "password": password})
    return Person(api, answer["token"])


def _request(method: str, url: str, body: Any = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_ANSWERED_WITHIN_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise LocalError(f"{method} {url} answers {error.code}: {said}") from error
    except OSError as error:
        raise LocalError(f"{method} {url} gets no answer: {error}") from error


def _follow(student: Person, submission: str, began: float) -> Any:
    """Shows every change of a submission's jobs until all have succeeded."""
    shown: dict[str, str] = {}

    def look() -> Any:
        found = student("GET", f"/submissions/{submission}")
        for job in found["jobs"]:
            line = f"{job['title']:<28}{job['phase'] or 'on its way':<12}{job['message']}"
            if shown.get(job["name"]) != line:
                shown[job["name"]] = line
                print(f"{time.monotonic() - began:5.1f} s  {line}", flush=True)
        return found

    return finished(lambda: [look()])[0]


def finished(look: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    """The submissions, once all their jobs have succeeded."""
    deadline = time.monotonic() + _FINISHED_WITHIN_SECONDS
    while True:
        submissions = look()
        phases = {job["phase"] for each in submissions for job in each["jobs"]}
        if phases == {"Succeeded"}:
            return submissions
        if phases & {"Failed", "Rejected", "Cancelled"}:
            raise LocalError(f"A job did not succeed: kubectl describe bgjob -n {NAMESPACE}")
        if time.monotonic() > deadline:
            raise LocalError(
                f"The jobs did not finish within {_FINISHED_WITHIN_SECONDS} s: "
                f"kubectl describe bgjob -n {NAMESPACE}"
            )
        time.sleep(_LOOK_EVERY_SECONDS)


def _message_ids(kubectl: Kubectl) -> Counter[str]:
    """What stands before the @, of all mails that arrived."""
    box = ("exec", "-n", NAMESPACE, "deployment/postbox", "--", "sh", "-c")
    lines = kubectl(*box, "grep -h '^Message-ID: <' /mail/box/new/*")
    return Counter(re.findall(r"<([^@]+)@", lines))


def mails(kubectl: Kubectl, submission: str) -> list[EmailMessage]:
    """All that arrived for a submission."""
    box = ("exec", "-n", NAMESPACE, "deployment/postbox", "--", "sh", "-c")
    pattern = f"Message-ID: <submission-{submission}@"
    files = kubectl(*box, f"grep -l '{pattern}' /mail/box/new/* || true").split()
    return [
        message_from_string(kubectl(*box, f"cat {file}"), policy=policy.default) for file in files
    ]


def _mail(kubectl: Kubectl, submission: str) -> list[str]:
    """Shows the mail that arrived for a submission."""
    arrived = mails(kubectl, submission)
    for mail in arrived:
        print(f"\nThe mail that arrived: “{mail['Subject']}” to {mail['To']}")
    addressees = [str(mail["To"]) for mail in arrived]
    is_right = len(addressees) == 1 and STUDENT in addressees[0]
    return [] if is_right else [f"not one mail to {STUDENT} arrived but {addressees}"]


def _course(instructor: Person, essay: Any, graded: Any) -> list[str]:
    """Shows what the instructor sees: the grades, who copied from whom, the course as a whole."""
    path = f"/courses/{essay['course_id']}"
    # The latest come first. Each one's first is the seed's, whatever visitors have added.
    first = {each["student"]: each["id"] for each in instructor("GET", f"{path}/submissions")}
    shown = {**first, graded["student"]: graded["id"]}.values()
    submissions = finished(
        lambda: [one for one in instructor("GET", f"{path}/submissions") if one["id"] in shown]
    )
    students = {each["id"]: each["student"] for each in submissions}
    problems = []
    print("\nThe course, as its instructor sees it:")
    for each in submissions:
        findings = instructor("GET", f"/submissions/{each['id']}/findings")
        own = [finding for finding in findings if finding["later_id"] == each["id"]]
        shared = "".join(
            f"  {finding['similarity']:.0%} of it is in {students[finding['earlier_id']]}'s"
            for finding in own
        )
        print(f"  {each['student']:<16}{each['score']:3.0f} of 100{shared}")
        sources = {students[finding["earlier_id"]] for finding in own}
        if sources != (wanted := _COPIED_FROM.get(each["student"], sources)):
            problems.append(f"{each['student']} copied from {sources or 'nobody'}, not {wanted}")
    analytics = instructor("GET", f"{path}/analytics")
    print(f"  {analytics['submissions']} submissions, on average {analytics['mean']:.0f} of 100")
    if analytics["computed_at"] < graded["submitted_at"]:
        problems.append("the course's analytics are older than the submission")
    return problems
