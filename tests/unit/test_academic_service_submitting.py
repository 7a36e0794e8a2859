"""Handing in: what is taken, and which jobs come of it."""

import json
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from tests import academics
from tests.academics import STUDENT, TEXT, School

from academic.service.accounts import form_key
from academic.service.outbox import OUTBOX
from academic.service.submitting import LONGEST_PROGRAM_BYTES, LONGEST_TEXT_BYTES, planned_jobs
from academic.store.schema import JobState, Submission
from academic.web.context import COOKIE


@pytest.fixture
def student(school: School) -> TestClient:
    return academics.signed_in(academics.client(school), school, STUDENT)


def _hand_in(browser: TestClient, assignment: int, key: str = "form-0001", **form: Any) -> Any:
    files = form.pop("files", None)
    data = {"form_key": form_key(browser.cookies[COOKIE]), "key": key, **form}
    return browser.post(f"/assignments/{assignment}", data=data, files=files)


def _outbox(school: School) -> list[Any]:
    with Session(school.engine) as session:
        return [dict(row._mapping) for row in session.execute(sa.select(OUTBOX.table))]


def _count(school: School) -> int:
    with Session(school.engine) as session:
        return session.scalar(sa.select(sa.func.count(Submission.id))) or 0


def test_an_essay_has_four_jobs_with_the_priorities_retries_and_delays_of_the_issue(
    school: School,
) -> None:
    with Session(school.engine) as session:
        jobs = planned_jobs(session.get_one(Submission, school.submission_id))
    assert [(job.title, job.priority, job.retries, job.delay) for job in jobs] == [
        ("AutomatedGrading", 1, 3, 0),
        ("NotifyStudentOfSubmission", 2, 2, 0),
        ("CheckForPlagiarism", 2, 2, 10),
        ("GenerateAnalyticsReport", 3, 2, 15),
    ]


def test_the_jobs_are_in_the_outbox_as_soon_as_the_submission_is_there(
    school: School, student: TestClient
) -> None:
    before = len(_outbox(school))
    answer = _hand_in(student, school.essay_id, text=TEXT)
    assert answer.status_code == 303
    submission = answer.headers["Location"].rpartition("/")[2]
    new = _outbox(school)[before:]
    assert sorted(row["name"] for row in new) == [
        f"{verb}-{submission}" for verb in ("compare", "grade", "notify", "report")
    ]
    grading = next(row["manifest"] for row in new if row["name"].startswith("grade"))
    assert grading["spec"] == {
        "class": "academic.jobs.AutomatedGrading",
        "method": "handle",
        "parameters": {"submission": submission},
        "priority": 1,
        "delay": 0,
        "retries": 3,
        "ttlSecondsAfterFinished": 86400,
    }


def test_a_program_runs_as_a_job_of_its_own_which_is_told_no_expected_output(
    school: School, student: TestClient
) -> None:
    before = len(_outbox(school))
    _hand_in(student, school.program_id, text="print(7)")
    new = {row["manifest"]["spec"]["class"]: row["manifest"] for row in _outbox(school)[before:]}
    assert len(new) == 5
    parameters = new["academic.sandbox.RunProgram"]["spec"]["parameters"]
    assert parameters["source"] == "print(7)"
    assert parameters["inputs"] == ["3 4\n", "-1 1\n"]
    assert "expected" not in json.dumps(parameters)


def test_a_double_click_is_one_submission_with_one_set_of_jobs(
    school: School, student: TestClient
) -> None:
    first = _hand_in(student, school.essay_id, text=TEXT)
    count, jobs = _count(school), len(_outbox(school))
    second = _hand_in(student, school.essay_id, text=TEXT)
    assert second.headers["Location"] == first.headers["Location"]
    assert (_count(school), len(_outbox(school))) == (count, jobs)


def test_a_form_that_is_sent_again_with_another_text_is_not_taken_for_the_first(
    school: School, student: TestClient
) -> None:
    _hand_in(student, school.essay_id, text=TEXT)
    count, jobs = _count(school), len(_outbox(school))
    second = _hand_in(student, school.essay_id, text=f"{TEXT} One thing more.")
    assert second.status_code == 400
    assert "with another text" in second.text
    assert "One thing more." in second.text
    assert (_count(school), len(_outbox(school))) == (count, jobs)


def test_the_same_form_sent_by_many_at_once_is_one_submission(school: School) -> None:
    before = _count(school)
    browsers = [academics.signed_in(academics.client(school), school, STUDENT) for _ in range(4)]
    go, answers = threading.Barrier(len(browsers)), list[str]()

    def send(browser: TestClient) -> None:
        go.wait()
        answers.append(_hand_in(browser, school.essay_id, text=TEXT).headers["Location"])

    threads = [threading.Thread(target=send, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(browsers)
    assert len(set(answers)) == 1
    assert _count(school) == before + 1


def test_the_key_of_one_student_is_nothing_to_another(school: School) -> None:
    locations = set()
    for who in (STUDENT, academics.OTHER_STUDENT):
        browser = academics.signed_in(academics.client(school), school, who)
        locations.add(_hand_in(browser, school.essay_id, text=TEXT).headers["Location"])
    assert len(locations) == 2


def test_nothing_is_stored_where_the_jobs_cannot_be(school: School, student: TestClient) -> None:
    before = _count(school)
    with school.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE bgjobs_outbox RENAME TO elsewhere"))
    assert _hand_in(student, school.essay_id, text=TEXT).status_code == 503
    assert _count(school) == before
    with Session(school.engine) as session:
        states = session.scalars(sa.select(JobState.submission_id)).all()
        submissions = session.scalars(sa.select(Submission.id)).all()
    assert set(states) == set(submissions)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "nothing in it", id="nothing"),
        pytest.param(" \n\t ", "nothing in it", id="space alone"),
        pytest.param("x" * (LONGEST_TEXT_BYTES + 1), "may have 200,000", id="too long"),
        pytest.param("é" * 100_001, "may have 200,000", id="too long in bytes"),
        pytest.param("a\0b", "NUL", id="a NUL"),
    ],
)
def test_a_text_that_cannot_be_taken_is_refused_with_the_reason(
    school: School, student: TestClient, text: str, problem: str
) -> None:
    before = _count(school)
    answer = _hand_in(student, school.essay_id, text=text)
    assert answer.status_code == 400
    assert problem in answer.text
    assert _count(school) == before


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("essay.pdf", b"%PDF-1.7", "ends with .txt or .md"),
        ("essay.txt.exe", b"MZ", "ends with .txt or .md"),
        ("essay.txt", b"\xff\xfe\x00", "no UTF-8 text"),
        ("essay.txt", b"", "nothing in it"),
        ("program.py", b"print(1)", "ends with .txt or .md"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_with_the_reason(
    school: School, student: TestClient, name: str, content: bytes, problem: str
) -> None:
    answer = _hand_in(student, school.essay_id, files={"file": (name, content)})
    assert answer.status_code == 400
    assert problem in answer.text


def test_a_file_is_taken_with_its_name(school: School, student: TestClient) -> None:
    file = ("my essay.MD", "\ufeffWater moves.\r\nIt does.".encode())
    answer = _hand_in(student, school.essay_id, files={"file": file})
    page = student.get(answer.headers["Location"])
    assert "my essay.MD" in page.text
    assert "Water moves.\nIt does." in page.text


def test_a_program_that_no_job_can_be_given_is_refused(school: School, student: TestClient) -> None:
    answer = _hand_in(student, school.program_id, text="#" * (LONGEST_PROGRAM_BYTES + 1))
    assert answer.status_code == 400
    assert "may have 32,768" in answer.text


def test_what_is_far_too_large_is_refused_before_it_is_read(
    school: School, student: TestClient
) -> None:
    answer = _hand_in(student, school.essay_id, text="x" * 2_000_000)
    assert answer.status_code == 413


def test_what_was_typed_is_still_there_after_a_refusal(school: School, student: TestClient) -> None:
    answer = _hand_in(student, school.program_id, key="?", text="print('mine')")
    assert answer.status_code == 400
    assert "print(&#39;mine&#39;)" in answer.text


def test_html_in_a_submission_stays_text(school: School, student: TestClient) -> None:
    answer = _hand_in(student, school.essay_id, text="<img src=x onerror=alert(1)> is osmosis")
    assert "&lt;img src=x" in student.get(answer.headers["Location"]).text


def test_programs_hand_in_by_the_api(school: School, student: TestClient) -> None:
    path = f"/api/v1/assignments/{school.essay_id}/submissions"
    first, second = (
        student.post(path, json={"key": "program-1", "content": TEXT}) for _ in range(2)
    )
    assert first.status_code == 201
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["jobs"][0]["title"] == "AutomatedGrading"
    assert student.post(path, json={"key": "?", "content": TEXT}).status_code == 400


@pytest.mark.parametrize(
    ("name", "status"),
    [("", 201), ("an essay.TXT", 201), ("x.exe", 400), ("a\nb.txt", 400), ("../a.txt", 400)],
)
def test_programs_name_a_file_as_browsers_do(
    school: School, student: TestClient, name: str, status: int
) -> None:
    path = f"/api/v1/assignments/{school.essay_id}/submissions"
    given = {"key": "program-1", "content": TEXT, "file_name": name}
    assert student.post(path, json=given).status_code == status
