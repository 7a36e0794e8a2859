"""What the pages of the academic service show, and what they make of bad input."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from tests import academics
from tests.academics import ADMIN, INSTRUCTOR, OTHER_STUDENT, OUTSIDER, STUDENT, School

from academic.service.accounts import form_key
from academic.service.outbox import OUTBOX
from academic.service.submitting import LONGEST_PROGRAM_BYTES
from academic.store.schema import Grade, Kind, Notification, Report, Submission, utc_now
from academic.web.context import COOKIE
from academic.web.course_charts import bars, course_charts, top
from academic.web.examples import RUBRICS
from academic.web.side_by_side import Piece, marked

_LONG_CASES = json.dumps([{"input": "1" * 10_000, "expected_output": "1"}] * 3)


@pytest.fixture
def instructor(school: School) -> TestClient:
    return academics.signed_in(academics.client(school), school, INSTRUCTOR)


def _post(browser: TestClient, path: str, **form: str) -> Any:
    return browser.post(path, data={"form_key": form_key(browser.cookies[COOKIE]), **form})


def _graded(school: School) -> None:
    with Session(school.engine) as session:
        criteria = [
            {"name": "Concepts", "weight": 3, "score": 0.5, "explanation": "Say what osmosis is."}
        ]
        session.add(Grade(submission_id=school.submission_id, score=61.5, criteria=criteria))
        session.commit()


def test_a_grade_is_shown_with_what_led_to_it(school: School) -> None:
    _graded(school)
    page = academics.signed_in(academics.client(school), school, STUDENT).get(
        f"/submissions/{school.submission_id}"
    )
    assert "61.5" in page.text
    assert "Say what osmosis is." in page.text


def test_another_score_is_shown_with_its_reason_beside_the_first(
    school: School, instructor: TestClient
) -> None:
    _graded(school)
    path = f"/submissions/{school.submission_id}"
    assert _post(instructor, f"{path}/score", score="80", reason="The example is good.").is_redirect
    student = academics.signed_in(instructor, school, STUDENT)
    text = student.get(path).text
    assert "Mira gave 80" in text
    assert "The example is good." in text
    assert "By the rubric alone it was 61.5" in text
    assert student.get(f"/api/v1{path}").json()["score"] == 80
    assert "another score" in student.get("/notifications").text
    report = f"report-{school.submission_id}"
    with school.engine.connect() as connection:
        manifests = {row.name: row.manifest for row in connection.execute(OUTBOX.table.select())}
    [anew] = [name for name in manifests if name.startswith(f"{report}-")]
    assert manifests[anew]["spec"] == manifests[report]["spec"]


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        ("101", "r"),
        ("-1", "r"),
        ("nan", "r"),
        ("much", "r"),
        ("", "r"),
        ("50", " "),
        ("1e999", "r"),
    ],
)
def test_a_score_that_is_none_is_refused(
    school: School, instructor: TestClient, score: str, reason: str
) -> None:
    path = f"/submissions/{school.submission_id}"
    answer = _post(instructor, f"{path}/score", score=score, reason=reason)
    assert answer.status_code == 400
    assert instructor.get(f"/api/v1{path}").json()["score"] is None


def test_another_score_is_given_by_the_api(school: School, instructor: TestClient) -> None:
    path = f"/api/v1/submissions/{school.submission_id}"
    given = instructor.post(f"{path}/overrides", json={"score": 80, "reason": "A good example."})
    assert (given.status_code, given.json()["score"]) == (201, 80)
    assert instructor.get(path).json()["score"] == 80
    for score in (101, -1):
        refused = instructor.post(f"{path}/overrides", json={"score": score, "reason": "r"})
        assert (refused.status_code, "0 to 100" in refused.json()["error"]) == (400, True)


def test_an_assignment_is_published(school: School, instructor: TestClient) -> None:
    path = f"/courses/{school.course_id}/assignments/new"
    form = {"title": "Diffusion", "prompt": "Explain it.", "due_at": "2030-01-02T12:00"}
    answer = _post(instructor, path, kind="text", rubric=academics.RUBRIC, **form)
    assert answer.status_code == 303
    page = instructor.get(answer.headers["Location"])
    assert "Explain it." in page.text
    assert "Explains osmosis." in page.text


@pytest.mark.parametrize("kind", ["text", "program"])
def test_the_rubric_that_the_form_begins_with_can_be_published(
    school: School, instructor: TestClient, kind: str
) -> None:
    path = f"/courses/{school.course_id}/assignments/new"
    form = {"title": "T", "prompt": "P", "due_at": "2030-01-02T12:00"}
    assert _post(instructor, path, kind=kind, rubric=RUBRICS[Kind(kind)], **form).is_redirect


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"title": ""}, "Give a title"),
        ({"prompt": ""}, "Say what is asked for"),
        ({"due_at": "soon"}, "Give a time"),
        ({"rubric": "{"}, "rubric"),
        ({"rubric": '{"criteria": []}'}, "criteria"),
        ({"kind": "program", "rubric": _LONG_CASES}, "inputs are too long together"),
    ],
)
def test_an_assignment_that_cannot_be_is_refused_and_kept_in_the_form(
    school: School, instructor: TestClient, changed: dict[str, str], problem: str
) -> None:
    form = {
        "kind": "text",
        "title": "A fine title",
        "prompt": "P of the form",
        "due_at": "2030-01-02T12:00",
        "rubric": academics.RUBRIC,
        **changed,
    }
    answer = _post(instructor, f"/courses/{school.course_id}/assignments/new", **form)
    assert answer.status_code == 400
    assert problem in answer.text
    assert form["title"] in answer.text


def test_a_program_of_the_longest_kind_is_taken_by_an_assignment_with_long_inputs(
    school: School, instructor: TestClient
) -> None:
    cases = [{"input": "1" * 10_000, "expected_output": "1"}] * 2
    form = {"title": "T", "prompt": "P", "due_at": "2030-01-02T12:00", "rubric": json.dumps(cases)}
    path = f"/courses/{school.course_id}/assignments/new"
    assignment = _post(instructor, path, kind="program", **form).headers["Location"]
    student = academics.signed_in(instructor, school, STUDENT)
    program = ("print(input())\n" * LONGEST_PROGRAM_BYTES)[:LONGEST_PROGRAM_BYTES]
    assert _post(student, assignment, key="long-program", text=program).is_redirect


def test_passages_are_shown_side_by_side(school: School, instructor: TestClient) -> None:
    page = instructor.get(f"/findings/{school.finding_id}").text
    assert page.count("<mark><sup>1</sup>Water moves through </mark>") == 2
    assert "90 % in common" in page


@pytest.mark.parametrize("of", ["courses", "assignments"])
def test_an_instructor_sees_every_submission_page_by_page(
    school: School, instructor: TestClient, of: str
) -> None:
    at = utc_now()
    with Session(school.engine) as session:
        for number in range(450):
            session.add(
                Submission(
                    id=f"{number:016}",
                    key=f"paged-{number}",
                    content="x",
                    student=academics.person(session, STUDENT),
                    assignment_id=school.essay_id,
                    # Many at the same moment.
                    submitted_at=at + timedelta(seconds=number // 300),
                )
            )
        session.commit()
        every = set(session.scalars(sa.select(Submission.id)))
    path = f"/{of}/{school.course_id if of == 'courses' else school.essay_id}"
    seen = list[str]()
    query: str | None = ""
    while query is not None:
        text = instructor.get(path + query).text
        table = text[text.index('<div id="submissions"') :]
        seen += re.findall(r'<a class="name" href="/submissions/(\w+)"', table)
        link = re.search(r'href="(\?before=\w+)"', table)
        query = link[1] if link else None
    assert len(seen) == len(every) == 452
    assert set(seen) == every


def test_the_first_page_shows_what_was_handed_in_last_however_much_that_is(school: School) -> None:
    first = utc_now() - timedelta(days=1)
    with Session(school.engine) as session:
        student = academics.person(session, STUDENT)
        for number in range(202):
            of = school.program_id if number < 2 else school.essay_id
            session.add(
                Submission(
                    id=f"{number:016}",
                    key=f"listed-{number}",
                    content="x",
                    student=student,
                    assignment_id=of,
                    submitted_at=first + timedelta(seconds=number),
                )
            )
        # Of another student, and at the same moment as one of this.
        last = session.get_one(Submission, school.submission_id)
        others = academics.hand_in(session, OTHER_STUDENT, last.assignment, key="listed-other")
        others.submitted_at = last.submitted_at
        session.commit()
    text = academics.signed_in(academics.client(school), school, STUDENT).get("/").text
    shown = re.findall(r'href="/submissions/(\w+)"', text)
    assert sorted(shown) == sorted([f"{1:016}", school.submission_id])


def test_the_api_lists_what_was_handed_in_before(school: School, instructor: TestClient) -> None:
    path = f"/api/v1/courses/{school.course_id}/submissions"
    latest, earlier = instructor.get(path).json()
    assert [each["id"] for each in instructor.get(f"{path}?before={latest['id']}").json()] == [
        earlier["id"]
    ]
    assert instructor.get(f"{path}?before=none").status_code == 404


def test_the_api_is_described_as_it_answers(school: School, instructor: TestClient) -> None:
    document = instructor.get("/api/openapi.json").json()
    described = {
        f"{method} {path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    [bearer] = document["components"]["securitySchemes"].items()
    assert (bearer[1]["type"], bearer[1]["scheme"]) == ("http", "bearer")
    open_to_all = {name for name, each in described.items() if "security" not in each}
    assert open_to_all == {"post /api/v1/sessions"}
    problem = document["components"]["schemas"]["Problem"]["properties"].keys()
    for operation in described.values():
        assert operation["responses"].keys() >= {"400", "401", "403", "404"}
        assert "422" not in operation["responses"]
    client = academics.client(school)
    answers = {
        400: instructor.post(f"/api/v1/assignments/{school.essay_id}/submissions", json={}),
        401: client.get("/api/v1/me"),
        403: academics.signed_in(client, school, STUDENT).get(
            f"/api/v1/courses/{school.course_id}/analytics"
        ),
        404: instructor.get("/api/v1/submissions/none"),
    }
    for status, answer in answers.items():
        assert (answer.status_code, answer.json().keys()) == (status, problem)


def test_the_times_of_the_api_have_a_zone(school: School, instructor: TestClient) -> None:
    with Session(school.engine) as session:
        session.add(Report(course_id=school.course_id, content={}))
        session.commit()
    shown = instructor.get(f"/api/v1/submissions/{school.submission_id}").json()
    report = instructor.get(f"/api/v1/courses/{school.course_id}/analytics").json()
    for time in (shown["submitted_at"], report["computed_at"]):
        assert datetime.fromisoformat(time).tzinfo == UTC


def test_a_course_without_a_report_says_when_there_will_be_one(
    school: School, instructor: TestClient
) -> None:
    assert "No report yet" in instructor.get(f"/courses/{school.course_id}/analytics").text


def test_notifications_are_counted_until_they_are_read(school: School) -> None:
    student = academics.signed_in(academics.client(school), school, STUDENT)
    with Session(school.engine) as session:
        user = academics.person(session, STUDENT)
        session.add(Notification(user_id=user.id, key="k", text="Look <here>", path="/"))
        session.commit()
    assert "Look &lt;here&gt;" in student.get("/notifications").text
    assert '<span class="count">1' in student.get("/").text
    _post(student, "/notifications")
    assert '<span class="count">' not in student.get("/").text


def test_an_admin_adds_people_and_courses_and_finds_the_jobs(school: School) -> None:
    admin = academics.signed_in(academics.client(school), school, ADMIN)
    person = {"email": "New@School.example", "name": "Nia", "role": "student"}
    assert _post(admin, "/people", password=academics.PASSWORD, **person).is_redirect
    assert _post(admin, "/courses", code="CHE-1", title="Atoms").is_redirect
    assert _post(admin, "/enrolments", email="new@school.example", course_id="2").is_redirect
    assert 'href="http://dashboard.example"' in admin.get("/people").text
    nia = academics.signed_in(admin, school, "new@school.example")
    text = nia.get("/").text
    assert "CHE-1" in text
    assert "BIO-101" not in text
    assert "dashboard.example" not in text


@pytest.mark.parametrize(
    ("path", "form", "problem"),
    [
        ("/people", {"email": "x@y.z", "name": "X", "role": "god", "password": "x" * 10}, "role"),
        (
            "/people",
            {"email": STUDENT, "name": "X", "role": "student", "password": "x" * 10},
            "has",
        ),
        ("/courses", {"code": "", "title": "T"}, "code"),
        ("/courses", {"code": "BIO-101", "title": "T"}, "already"),
        ("/enrolments", {"email": "nobody@y.z", "course_id": "1"}, "no student"),
        ("/enrolments", {"email": ADMIN, "course_id": "1"}, "no student"),
        ("/enrolments", {"email": STUDENT, "course_id": "99"}, "no such course"),
    ],
)
def test_what_an_admin_cannot_mean_is_refused(
    school: School, path: str, form: dict[str, str], problem: str
) -> None:
    admin = academics.signed_in(academics.client(school), school, ADMIN)
    answer = _post(admin, path, **form)
    assert answer.status_code == 400
    assert problem in answer.text


@pytest.mark.parametrize(
    ("path", "form", "status", "text"),
    [
        (
            "/people",
            {"email": "new@x.org", "name": "Nia", "role": "student", "password": "x" * 10},
            400,
            "new@x.org has an account already.",
        ),
        ("/courses", {"code": "CHE-1", "title": "Atoms"}, 400, "There is a course CHE-1 already."),
        ("/enrolments", {"email": OUTSIDER, "course_id": "1"}, 303, ""),
    ],
)
def test_what_two_admins_add_at_once_is_there_already_for_the_second(
    school: School, path: str, form: dict[str, str], status: int, text: str
) -> None:
    first, second = (academics.signed_in(academics.client(school), school, ADMIN) for _ in range(2))
    answers = []

    def add_first(*_: object) -> None:
        """Between the second's look and its own adding."""
        answers.append(_post(first, path, **form).status_code)

    sa.event.listen(Session, "before_flush", add_first, once=True)
    answer = _post(second, path, **form)
    assert (answers, answer.status_code) == ([303], status)
    assert text in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nowhere", 404),
        ("/courses/99", 404),
        ("/courses/x", 400),
        ("/courses/99999999999999999999999", 400),
        ("/assignments/-1", 400),
        ("/submissions/" + "f" * 3000, 404),
        ("/submissions/'%20OR%201=1", 404),
        ("/findings/0", 404),
        ("/api/v1/courses/99/submissions", 404),
        ("/courses/1/assignments/new?kind=poem", 400),
    ],
)
def test_odd_addresses_get_a_plain_page(instructor: TestClient, path: str, status: int) -> None:
    answer = instructor.get(path)
    assert answer.status_code == status
    assert "Traceback" not in answer.text


def test_a_database_that_is_gone_gets_a_plain_page(school: School, instructor: TestClient) -> None:
    with school.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE notifications")
    answer = instructor.get("/")
    assert answer.status_code == 503
    assert "The database does not answer" in answer.text


async def test_many_requests_at_once_are_answered_in_turn(school: School) -> None:
    paths = ("/", "/notifications", "/api/v1/me", "/api/v1/courses")
    transport = httpx.ASGITransport(academics.client(school).app)
    headers = academics.bearer(school, STUDENT)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        asked = [client.get(path, headers=headers) for path in paths * 25]
        answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200] * 100


def test_every_answer_has_a_strict_content_security_policy(instructor: TestClient) -> None:
    for path in ("/", "/nowhere", "/static/app.js", "/api/v1/me"):
        assert "default-src 'none'" in instructor.get(path).headers["Content-Security-Policy"]


def test_a_browser_asks_whether_its_scripts_are_those_of_the_page(instructor: TestClient) -> None:
    first = instructor.get("/static/app.js")
    assert "no-cache" in first.headers["Cache-Control"]
    again = instructor.get("/static/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, "no-cache" in again.headers["Cache-Control"]) == (304, True)


def test_the_address_of_the_form_to_sign_out_leads_to_a_page(instructor: TestClient) -> None:
    answer = instructor.get("/sign-out")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


# Pieces and charts.


@pytest.mark.parametrize(
    ("passages", "pieces"),
    [
        ([], [("abcdefgh", 0)]),
        ([(0, 8)], [("abcdefgh", 1)]),
        ([(2, 4)], [("ab", 0), ("cd", 1), ("efgh", 0)]),
        ([(4, 6), (0, 2)], [("ab", 2), ("cd", 0), ("ef", 1), ("gh", 0)]),
        ([(0, 4), (2, 6)], [("abcd", 1), ("ef", 2), ("gh", 0)]),
        ([(0, 6), (2, 4)], [("abcdef", 1), ("gh", 0)]),
    ],
)
def test_a_text_is_cut_at_its_passages_and_nothing_is_lost(
    passages: list[tuple[int, int]], pieces: list[tuple[str, int]]
) -> None:
    assert marked("abcdefgh", passages) == [Piece(*each) for each in pieces]


@pytest.mark.parametrize(("highest", "end"), [(0, 1), (1, 1), (3, 5), (5, 5), (11, 20), (99, 100)])
def test_an_axis_ends_at_a_round_number(highest: int, end: int) -> None:
    assert top(highest) == end


def test_a_chart_says_what_it_shows() -> None:
    assert bars([("0", 0), ("10", 2)], "Scores").label == "Scores: 10: 2"


def test_days_without_a_submission_have_their_place() -> None:
    report = {"distribution": [0] * 10, "per_day": [["2026-09-29", 1], ["2026-10-02", 3]]}
    chart = course_charts(report)["Submissions by day"]
    names = [mark.title for mark in chart.marks if mark.attributes.get("class") == "hit"]
    assert names == [
        "29 Sep: 1 submission",
        "30 Sep: 0 submissions",
        "1 Oct: 0 submissions",
        "2 Oct: 3 submissions",
    ]
