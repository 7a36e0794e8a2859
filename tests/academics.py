"""The academic service on a database of its own: people, a course, and who is signed in."""

import contextlib
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import urllib3
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from tests import operating, watching
from tests import server as api
from tests.server import ROOT, Jobs, Server

from academic.service.accounts import Throttle, add_user, begin_session
from academic.service.submitting import submit
from academic.service.tracking import Contact
from academic.store.database import connect
from academic.store.migrate import upgrade
from academic.store.schema import (
    Assignment,
    Course,
    Finding,
    JobState,
    Kind,
    Role,
    Submission,
    User,
    utc_now,
)
from academic.web.app import create
from academic.web.context import COOKIE, Service
from bgjobs_local.processes import ENVIRONMENT

PASSWORD = "a password of the tests"
TEXT = "Water moves through a membrane to where more is dissolved in it.\n\nThat is osmosis."
RUBRIC = json.dumps(
    {
        "criteria": [
            {
                "kind": "terms",
                "name": "Concepts",
                "weight": 3,
                "concepts": [{"name": "osmosis", "context": ["water", "membrane", "dissolved"]}],
            },
            {"kind": "length", "name": "Length", "weight": 1, "minimum": 10, "maximum": 200},
        ]
    }
)
CASES = json.dumps(
    [
        {"input": "3 4\n", "expected_output": "7\n"},
        {"input": "-1 1\n", "expected_output": "0\n", "hidden": True},
    ]
)
ADMIN, INSTRUCTOR, STUDENT = "iris@school.example", "mira@school.example", "ada@school.example"
OTHER_STUDENT, OUTSIDER = "ben@school.example", "olaf@school.example"
OTHER_INSTRUCTOR = "otto@school.example"
_PEOPLE = {
    ADMIN: ("Iris", Role.ADMIN),
    INSTRUCTOR: ("Mira", Role.INSTRUCTOR),
    STUDENT: ("Ada", Role.STUDENT),
    OTHER_STUDENT: ("Ben", Role.STUDENT),
    OUTSIDER: ("Olaf", Role.STUDENT),
    OTHER_INSTRUCTOR: ("Otto", Role.INSTRUCTOR),
}
_ENROLLED = (INSTRUCTOR, STUDENT, OTHER_STUDENT)


@dataclass(frozen=True)
class School:
    """One course, with an essay and a program, and an essay that two students have handed in."""

    engine: sa.Engine
    course_id: int
    essay_id: int
    program_id: int
    submission_id: str
    """The essay of STUDENT."""
    finding_id: int
    """What OTHER_STUDENT, who handed in later, has in common with it."""


def school(url: str) -> School:
    """On an empty database."""
    engine = connect(url)
    upgrade(engine)
    with Session(engine) as session:
        course = Course(code="BIO-101", title="Cells and tissues")
        session.add(course)
        for email, (name, role) in _PEOPLE.items():
            user = add_user(session, email, name, role, PASSWORD)
            if email in _ENROLLED:
                course.members.append(user)
        due_at = utc_now() + timedelta(days=7)
        essay = Assignment(
            course=course,
            title="Water in a plant",
            prompt="Explain osmosis.",
            kind=Kind.TEXT,
            rubric=RUBRIC,
            due_at=due_at,
        )
        program = Assignment(
            course=course,
            title="A sum",
            prompt="Print the sum of two numbers.",
            kind=Kind.PROGRAM,
            rubric=CASES,
            due_at=due_at,
        )
        session.add_all((essay, program))
        session.commit()
        earlier = hand_in(session, STUDENT, essay)
        later = hand_in(session, OTHER_STUDENT, essay)
        finding = Finding(
            later_id=later.id, earlier_id=earlier.id, similarity=0.9, passages=[[0, 20, 0, 20]]
        )
        session.add(finding)
        session.commit()
        return School(engine, course.id, essay.id, program.id, earlier.id, finding.id)


def copy(school: School, directory: Path) -> School:
    """The same on a database of its own; of a school in SQLite."""
    assert school.engine.url.database is not None
    file = shutil.copy(school.engine.url.database, directory / "school.db")
    return replace(school, engine=connect(f"sqlite:///{file}"))


def hand_in(
    session: Session,
    email: str,
    assignment: Assignment,
    content: str = TEXT,
    key: str = "the-key-1",
) -> Submission:
    return submit(session, person(session, email), assignment, key, content)


def person(session: Session, email: str) -> User:
    return session.scalars(sa.select(User).where(User.email == email)).one()


def job_states(session: Session, submission_id: str) -> dict[str, JobState]:
    """By the classes' names."""
    states = session.scalars(sa.select(JobState).where(JobState.submission_id == submission_id))
    return {state.title: state for state in states}


def client(school: School, retry: Callable[[str], None] = lambda _: None) -> TestClient:
    """Of the service, without the threads that talk to a cluster; nobody is signed in."""
    service = Service(
        engine=school.engine,
        contact=Contact(),
        retry=retry,
        throttle=Throttle(lambda: 0.0),
        dashboard_url="http://dashboard.example",
    )
    return TestClient(create(service), raise_server_exceptions=False, follow_redirects=False)


def signed_in(client: TestClient, school: School, email: str) -> TestClient:
    """Without the form, which takes its time on purpose."""
    with Session(school.engine) as session:
        token = begin_session(session, person(session, email))
        session.commit()
    client.cookies.clear()
    client.cookies.set(COOKIE, token)
    return client


# The service as a process of its own, under its own account.

NAMESPACE = "academic"
CLASSES = (
    "academic.jobs.AutomatedGrading",
    "academic.jobs.CheckForPlagiarism",
    "academic.jobs.GenerateAnalyticsReport",
    "academic.jobs.NotifyStudentOfSubmission",
    "academic.sandbox.RunProgram",
)
_READY_WITHIN_S = 30


def deploy(server: Server) -> Jobs:
    """The namespace, the account and what narrows it, and the classes on the allowlist."""
    files = (
        f"--filename={ROOT}/academic/deploy/base/{name}.yaml"
        for name in ("namespace", "rbac", "admission")
    )
    done = api.kubectl(server, "apply", "--server-side", "--force-conflicts", *files)
    assert done.returncode == 0, done.stderr
    jobs = Jobs(server, NAMESPACE)
    for class_ in CLASSES:
        watching.allow(jobs, class_)
    return jobs


@contextlib.contextmanager
def serving(
    server: Server, school: School, directory: Path, api_url: str
) -> Iterator[tuple[str, Path]]:
    """Its address and its log, until the block ends. It talks to the API server at `api_url`."""
    kubeconfig, log, port = directory / "kubeconfig", directory / "log", operating.free_port()
    operating.write_kubeconfig(server, kubeconfig, api_url, _token(server))
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "academic", "serve"],
            env={
                **ENVIRONMENT,
                "KUBECONFIG": str(kubeconfig),
                "ACADEMIC_DATABASE_URL": school.engine.url.render_as_string(hide_password=False),
                "ACADEMIC_HTTP_HOST": "127.0.0.1",
                "ACADEMIC_HTTP_PORT": str(port),
                "ACADEMIC_DASHBOARD_URL": "http://dashboard.example",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        api.wait_until(
            lambda: process.poll() is not None or _answers(url),
            lambda: f"the service does not answer:\n{log.read_text()}",
            _READY_WITHIN_S,
        )
        assert process.poll() is None, f"the service has ended:\n{log.read_text()}"
        yield url, log
    except AssertionError as error:
        error.add_note(f"The end of the service's log:\n{log.read_text()[-6000:]}")
        raise
    finally:
        process.kill()
        process.wait()


def bearer(school: School, email: str) -> dict[str, str]:
    """The header of who is signed in."""
    with Session(school.engine) as session:
        token = begin_session(session, person(session, email))
        session.commit()
    return {"Authorization": f"Bearer {token}"}


def post(
    pool: urllib3.PoolManager, url: str, school: School, headers: dict[str, str], key: str
) -> Any:
    """Hands the text in; returns the answer."""
    answer = pool.request(
        "POST",
        f"{url}/api/v1/assignments/{school.essay_id}/submissions",
        json={"key": key, "content": TEXT},
        headers=headers,
        timeout=30,
    )
    assert answer.status == 201, answer.data
    return answer.json()


def _token(server: Server) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/academic/token"
    answer = api.request(server, "POST", path, request)
    assert answer.status == 201, answer.message
    return str(answer.body["status"]["token"])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
