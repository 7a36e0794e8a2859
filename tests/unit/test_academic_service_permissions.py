"""Who may do what in the academic service: the table, and every page and call behind it."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from tests import academics
from tests.academics import (
    ADMIN,
    INSTRUCTOR,
    OTHER_INSTRUCTOR,
    OTHER_STUDENT,
    OUTSIDER,
    STUDENT,
    School,
)

from academic.service.accounts import form_key
from academic.service.permissions import PERMISSIONS, Action, Reach
from academic.store.schema import Role
from academic.web.context import COOKIE

# Who may: an admin, the course's instructor, another instructor, whose submission it is, another
# student of the course, a student of none.
_WHO = (ADMIN, INSTRUCTOR, OTHER_INSTRUCTOR, STUDENT, OTHER_STUDENT, OUTSIDER)
_CALLS = {
    # action: (method, address, yes or no for each of them)
    Action.SEE_COURSE: ("GET", "/courses/{course}", "yynyyn"),
    Action.SUBMIT: ("POST", "/assignments/{essay}", "nnnyyn"),
    Action.SEE_SUBMISSION: ("GET", "/submissions/{submission}", "yynynn"),
    Action.SEE_COURSE_SUBMISSIONS: ("GET", "/api/v1/courses/{course}/submissions", "yynyyn"),
    Action.OVERRIDE_GRADE: ("POST", "/submissions/{submission}/score", "nynnnn"),
    Action.SEE_FINDINGS: ("GET", "/findings/{finding}", "nynnnn"),
    Action.SEE_ANALYTICS: ("GET", "/courses/{course}/analytics", "yynnnn"),
    Action.RETRY_JOB: ("POST", "/submissions/{submission}/retry", "yynnnn"),
    Action.WRITE_ASSIGNMENT: ("GET", "/courses/{course}/assignments/new", "nynnnn"),
    Action.MANAGE_PEOPLE: ("GET", "/people", "ynnnnn"),
}
_API_CALLS = (
    ("GET", "/api/v1/assignments/{essay}", "yynyyn"),
    ("GET", "/api/v1/submissions/{submission}", "yynynn"),
    ("GET", "/api/v1/submissions/{submission}/findings", "nynnnn"),
    ("GET", "/api/v1/courses/{course}/analytics", "yynnnn"),
    ("POST", "/api/v1/assignments/{essay}/submissions", "nnnyyn"),
    ("POST", "/api/v1/submissions/{submission}/overrides", "nynnnn"),
    ("POST", "/api/v1/submissions/{submission}/jobs/none/retry", "yynnnn"),
    ("POST", "/people", "ynnnnn"),
    ("POST", "/courses", "ynnnnn"),
    ("POST", "/enrolments", "ynnnnn"),
    ("POST", "/courses/{course}/assignments/new", "nynnnn"),
)
_FORM = {
    "key": "another-key",
    "text": academics.TEXT,
    "score": "50",
    "reason": "r",
    "job": "none",
    "kind": "text",
}
_JSON = {"key": "a-third-key", "content": academics.TEXT, "score": 50, "reason": "r"}


@pytest.fixture(scope="module")
def school(sqlite_school: School, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    school = academics.copy(sqlite_school, tmp_path_factory.mktemp("school"))
    yield school
    school.engine.dispose()


@pytest.fixture(scope="module")
def browsers(school: School) -> dict[str, TestClient]:
    return {who: academics.signed_in(academics.client(school), school, who) for who in _WHO}


def _status(school: School, browser: TestClient, method: str, address: str) -> int:
    path = address.format(
        course=school.course_id,
        essay=school.essay_id,
        submission=school.submission_id,
        finding=school.finding_id,
    )
    if method == "GET":
        return int(browser.get(path).status_code)
    if path.startswith("/api/"):
        return int(browser.post(path, json=_JSON).status_code)
    data = {**_FORM, "form_key": form_key(browser.cookies[COOKIE])}
    return int(browser.post(path, data=data).status_code)


@pytest.mark.parametrize("who", _WHO)
@pytest.mark.parametrize(
    ("method", "address", "answers"), [*_CALLS.values(), *_API_CALLS], ids=lambda each: str(each)
)
def test_each_may_do_what_the_table_says_and_no_more(
    school: School,
    browsers: dict[str, TestClient],
    who: str,
    method: str,
    address: str,
    answers: str,
) -> None:
    status = _status(school, browsers[who], method, address)
    may = answers[_WHO.index(who)] == "y"
    assert (status != 403) == may
    assert status < 500


def test_every_action_is_tried() -> None:
    assert set(_CALLS) == set(Action) == set(PERMISSIONS)


def test_students_see_of_a_course_what_they_handed_in_and_nothing_else(
    school: School, browsers: dict[str, TestClient]
) -> None:
    path = f"/api/v1/courses/{school.course_id}/submissions"
    assert {each["student"] for each in browsers[STUDENT].get(path).json()} == {"Ada"}
    assert {each["student"] for each in browsers[INSTRUCTOR].get(path).json()} == {"Ada", "Ben"}


def test_of_other_peoples_work_a_student_gets_nothing_to_read(
    school: School, browsers: dict[str, TestClient]
) -> None:
    answer = browsers[OTHER_STUDENT].get(f"/submissions/{school.submission_id}")
    assert "membrane" not in answer.text


def test_the_table_gives_students_nothing_of_others() -> None:
    seen = {action for action, reach in PERMISSIONS.items() if reach[Role.STUDENT] is Reach.ALL}
    assert seen == set()


@pytest.mark.parametrize(
    "path", ["/", "/courses/1", "/people", "/notifications", "/api/v1/me", "/api/v1/courses"]
)
def test_nobody_sees_anything_without_signing_in(school: School, path: str) -> None:
    answer = academics.client(school).get(path)
    assert answer.status_code == 401
    assert "BIO-101" not in answer.text


def test_a_form_of_another_session_changes_nothing(
    school: School, browsers: dict[str, TestClient]
) -> None:
    browser = browsers[INSTRUCTOR]
    others = form_key(browsers[ADMIN].cookies[COOKIE])
    path = f"/submissions/{school.submission_id}/score"
    for key in (others, ""):
        answer = browser.post(path, data={"score": "1", "reason": "forged", "form_key": key})
        assert answer.status_code == 403
    assert "forged" not in browser.get(f"/submissions/{school.submission_id}").text


def test_a_request_from_another_site_is_refused(
    school: School, browsers: dict[str, TestClient]
) -> None:
    browser = browsers[INSTRUCTOR]
    data = {"score": "1", "reason": "r", "form_key": form_key(browser.cookies[COOKIE])}
    answer = browser.post(
        f"/submissions/{school.submission_id}/score",
        data=data,
        headers={"Origin": "https://elsewhere.example"},
    )
    assert answer.status_code == 403
