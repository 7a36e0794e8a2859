"""The academic service in a real browser, with a running operator and a real database."""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.orm import Session
from tests import academics, watching
from tests import server as api
from tests.academics import ADMIN, INSTRUCTOR, OTHER_STUDENT, PASSWORD, STUDENT, TEXT, School
from tests.mariadb import fresh_database
from tests.operating import Operator
from tests.proxying import Way, proxy
from tests.server import Jobs, Server

from academic.store.schema import Report
from bgjobs_local.processes import ENVIRONMENT

_GRADING = "academic.jobs.AutomatedGrading"
_TIMED = 12
_CREATED_WITHIN_S = 180
"""Of the submissions made while the API server is away there are many, whose jobs have no order."""
_RUNTIMES, _ALLOWLIST = "bgjobs-runtimes", "bgjobs-allowlist"
_REPORT = {
    "students": 2,
    "submissions": 5,
    "late": 1,
    "graded": 4,
    "mean": 71.2,
    "median": 74.0,
    "distribution": [0, 0, 1, 0, 0, 1, 0, 1, 1, 0],
    "per_assignment": [
        {
            "assignment": "Water in a plant",
            "submissions": 5,
            "late": 1,
            "graded": 4,
            "mean": 71.2,
            "median": 74.0,
        }
    ],
    "per_criterion": [
        {"assignment": "Water in a plant", "name": "Concepts", "mean": 0.4, "graded": 4}
    ],
    "hardest": {"assignment": "Water in a plant", "name": "Concepts", "mean": 0.4, "graded": 4},
    "per_day": [["2026-09-29", 2], ["2026-10-02", 3]],
}


@pytest.fixture(scope="module")
def school(mariadb: int) -> Iterator[School]:
    school = academics.school(fresh_database(mariadb))
    yield school
    school.engine.dispose()


@pytest.fixture(scope="module")
def jobs(server: Server, operator: Operator) -> Jobs:
    """Those of the service, in its own namespace."""
    assert operator.process is not None
    return academics.deploy(server)


@pytest.fixture(scope="module")
def way() -> Way:
    return Way()


@pytest.fixture(scope="module")
def url(
    server: Server,
    jobs: Jobs,
    school: School,
    way: Way,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The service, on its way to the API server."""
    assert jobs.server is server
    directory: Path = tmp_path_factory.mktemp("academic")
    with (
        proxy(server, way.pass_on) as api_url,
        academics.serving(server, school, directory, api_url) as (url, _),
    ):
        try:
            yield url
        finally:
            way.open()


def _sign_in(page: Page, url: str, email: str, path: str = "/") -> None:
    page.goto(f"{url}{path}")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def _hand_in(page: Page, url: str, school: School, text: str = TEXT) -> str:
    """Returns the submission's id."""
    page.goto(f"{url}/assignments/{school.essay_id}")
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Hand in").click()
    expect(page.get_by_role("heading", name="Your submission")).to_be_visible()
    return page.url.rpartition("/")[2]


def _step(page: Page, name: str) -> Any:
    return page.locator("#jobs li", has_text=name).locator(".st")


def _created(jobs: Jobs, submission: str) -> dict[str, Any]:
    items = api.request(jobs.server, "GET", jobs.path).body["items"]
    return {
        each["metadata"]["name"]: each
        for each in items
        if each["metadata"]["name"].endswith(submission)
    }


def _delete(jobs: Jobs, name: str) -> None:
    path = f"{jobs.path}/{name}"
    assert api.request(jobs.server, "DELETE", path).status == 200
    api.await_true(f"{name} is gone", lambda: api.request(jobs.server, "GET", path).status == 404)


def _wait_until_created(jobs: Jobs, submission: str) -> None:
    api.wait_until(
        lambda: len(_created(jobs, submission)) == 4,
        lambda: f"there are only {[*_created(jobs, submission)]}",
        _CREATED_WITHIN_S,
    )


def _grade(school: School, submission: str) -> None:
    """As its pod does, which kwok only pretends to run."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bgjobs_runner", "run", _GRADING),
            *("--param", f'submission="{submission}"'),
        ],
        env={
            **ENVIRONMENT,
            "ACADEMIC_DATABASE_URL": school.engine.url.render_as_string(hide_password=False),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_student_hands_in_and_sees_without_a_reload_what_becomes_of_it(
    page: Page, url: str, school: School, jobs: Jobs
) -> None:
    _sign_in(page, url, STUDENT)
    submission = _hand_in(page, url, school)
    page.evaluate("window.wasNotReloaded = true")
    expect(_step(page, "Compare with others")).to_have_text("Scheduled", timeout=20_000)
    expect(_step(page, "Grade")).to_have_text("Done", timeout=20_000)
    _grade(school, submission)
    expect(page.locator("#grade")).to_contain_text("of 100", timeout=20_000)
    for step in ("Confirm by mail", "Compare with others", "Update the course's analytics"):
        expect(_step(page, step)).to_have_text("Done", timeout=40_000)
    assert page.evaluate("window.wasNotReloaded") is True
    created = _created(jobs, submission)
    assert {name.partition("-")[0]: job["spec"]["priority"] for name, job in created.items()} == {
        "grade": 1,
        "notify": 2,
        "compare": 2,
        "report": 3,
    }
    assert {
        job["metadata"]["annotations"]["bgjobs.dev/created-by"] for job in created.values()
    } == {"system:serviceaccount:academic:academic"}


def test_a_page_whose_jobs_are_over_asks_seldom(page: Page, url: str, school: School) -> None:
    student = academics.bearer(school, STUDENT)
    submission = academics.post(urllib3.PoolManager(), url, school, student, "all-over")["id"]
    path = f"/submissions/{submission}"
    _sign_in(page, url, STUDENT, path)
    expect(page.locator("[data-under-way]")).to_have_count(0, timeout=40_000)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    page.clock.install(time=at)
    page.goto(f"{url}{path}")
    with page.expect_response(f"{url}{path}") as answered:
        page.clock.pause_at(at + timedelta(hours=1))
    answered.value.finished()
    asked: list[Any] = []

    def note(request: Any) -> None:
        asked.append(request)

    page.on("request", note)
    page.clock.run_for(9_000)
    assert asked == []
    with page.expect_request(f"{url}{path}"):
        page.clock.run_for(10_000)


def test_why_it_waits_is_on_the_page(page: Page, url: str, school: School, jobs: Jobs) -> None:
    watching.set_key(jobs.server, _RUNTIMES, _GRADING, "paused: the rubric is being mended")
    try:
        _sign_in(page, url, STUDENT)
        _hand_in(page, url, school)
        expect(_step(page, "Grade")).to_have_text("Held", timeout=20_000)
        expect(page.locator("#jobs")).to_contain_text("the rubric is being mended")
    finally:
        watching.set_key(jobs.server, _RUNTIMES, _GRADING, None)
    expect(_step(page, "Grade")).to_have_text("Done", timeout=20_000)


def test_an_instructor_retries_a_grading_by_the_services_own_rights(
    page: Page, url: str, school: School, jobs: Jobs
) -> None:
    watching.set_key(jobs.server, _RUNTIMES, _GRADING, "paused: until it is forbidden")
    student = academics.bearer(school, STUDENT)
    made = academics.post(urllib3.PoolManager(), url, school, student, "retried-1")
    submission = made["id"]
    name = f"grade-{submission}"
    try:
        watching.wait(jobs, name, watching.reason("Paused"))
        watching.set_key(jobs.server, _ALLOWLIST, _GRADING, None)
    finally:
        watching.set_key(jobs.server, _RUNTIMES, _GRADING, None)
    watching.wait(jobs, name, watching.phase("Rejected"))
    watching.allow(jobs, _GRADING)
    _sign_in(page, url, INSTRUCTOR, f"/courses/{school.course_id}")
    row = page.locator("#submissions tr", has=page.locator(f'a[href="/submissions/{submission}"]'))
    expect(row.locator(".st")).to_have_text("Rejected", timeout=20_000)
    row.get_by_role("button", name="Retry").click()
    expect(row.locator(".st")).to_have_text("Done", timeout=20_000)
    done = watching.wait(jobs, name, watching.phase("Succeeded"))
    by = done["metadata"]["annotations"]["bgjobs.dev/retried-by"]
    assert by == "system:serviceaccount:academic:academic"


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_grading_that_failed_is_retried_even_if_its_job_is_gone(
    page: Page, url: str, school: School, jobs: Jobs, is_deleted: bool
) -> None:
    student = academics.bearer(school, STUDENT)
    watching.set_key(jobs.server, _RUNTIMES, _GRADING, "paused: until it is another one")
    try:
        key = f"failed-{is_deleted}"
        submission = academics.post(urllib3.PoolManager(), url, school, student, key)["id"]
        name = f"grade-{submission}"
        watching.wait(jobs, name, watching.reason("Paused"))
        _delete(jobs, name)
        # In its place one whose first pod fails.
        pods, parameters = [{"exitCode": 1}, {}], {"submission": submission}
        watching.submit(
            jobs, name, pods=pods, class_=_GRADING, parameters=parameters, retries=0, priority="Low"
        )
    finally:
        watching.set_key(jobs.server, _RUNTIMES, _GRADING, None)
    failed = watching.wait(jobs, name, watching.phase("Failed"))
    _sign_in(page, url, INSTRUCTOR, f"/submissions/{submission}")
    expect(_step(page, "Grade")).to_have_text("Failed", timeout=20_000)
    if is_deleted:
        _delete(jobs, name)
    page.locator("#jobs li", has_text="Grade").get_by_role("button", name="Retry").click()
    expect(_step(page, "Grade")).to_have_text("Done", timeout=20_000)
    done = watching.wait(jobs, name, watching.phase("Succeeded"))
    assert (done["metadata"]["uid"] != failed["metadata"]["uid"]) == is_deleted
    assert done["status"]["run"] == (1 if is_deleted else 2)


def test_a_submission_made_while_the_api_server_is_away_gets_its_jobs_once_it_is_back(
    page: Page, url: str, school: School, jobs: Jobs, way: Way
) -> None:
    _sign_in(page, url, STUDENT)
    way.close()
    try:
        submission = _hand_in(page, url, school)
        expect(page.locator("#jobs")).to_contain_text("Unknown since", timeout=20_000)
        expect(_step(page, "Grade")).to_have_text("Accepted")
        assert _created(jobs, submission) == {}
    finally:
        way.open()
    _wait_until_created(jobs, submission)
    expect(page.locator("#jobs")).not_to_contain_text("Unknown since", timeout=20_000)
    expect(_step(page, "Grade")).to_have_text("Done", timeout=30_000)
    assert len(_created(jobs, submission)) == 4


def test_an_api_server_that_hangs_or_is_away_makes_nobody_wait(
    url: str, school: School, jobs: Jobs, way: Way
) -> None:
    pool, headers = urllib3.PoolManager(), academics.bearer(school, STUDENT)
    states = {"up": way.open, "hanging": way.hang, "away": way.close}
    seconds: dict[str, list[float]] = {label: [] for label in states}
    submissions = []
    try:
        # In turns: this machine may be busier in one minute than in the next.
        for number in range(_TIMED):
            for label, begin in states.items():
                begin()
                began = time.monotonic()
                made = academics.post(pool, url, school, headers, f"timed-{label}-{number}")
                seconds[label].append(time.monotonic() - began)
                submissions.append(made["id"])
    finally:
        way.open()
    medians = {label: statistics.median(found) for label, found in seconds.items()}
    print(medians)
    assert max(medians["hanging"], medians["away"]) < 2 * medians["up"]
    for submission in submissions:
        _wait_until_created(jobs, submission)


def test_a_burst_of_25_makes_four_jobs_each_and_runs_none_twice(
    url: str, school: School, jobs: Jobs
) -> None:
    pool = urllib3.PoolManager(maxsize=25)
    signed_in = {who: academics.bearer(school, who) for who in (STUDENT, OTHER_STUDENT)}

    def hand_in(number: int) -> str:
        headers = signed_in[STUDENT if number % 2 else OTHER_STUDENT]
        # Each twice, as a double click does.
        first, second = (
            academics.post(pool, url, school, headers, f"burst-{number:04}")["id"] for _ in range(2)
        )
        assert first == second
        return str(first)

    with ThreadPoolExecutor(25) as threads:
        submissions = list(threads.map(hand_in, range(25)))
    assert len(set(submissions)) == 25

    def under_way() -> list[str]:
        return [
            name
            for submission in submissions
            for name, job in _created(jobs, submission).items()
            if not watching.finished(job)
        ]

    for submission in submissions:
        _wait_until_created(jobs, submission)
    api.wait_until(lambda: not under_way(), lambda: f"not over: {under_way()}", 90)
    everything = [job for each in submissions for job in _created(jobs, each).values()]
    assert len(everything) == 100
    assert {(job["status"]["phase"], job["status"]["attemptsTotal"]) for job in everything} == {
        ("Succeeded", 1)
    }


def test_the_main_path_works_without_javascript(browser: Browser, url: str, school: School) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    _sign_in(page, url, STUDENT)
    _hand_in(page, url, school)
    context.close()


def test_an_admin_finds_the_jobs_of_the_cluster(page: Page, url: str) -> None:
    _sign_in(page, url, ADMIN)
    link = page.get_by_role("link", name=re.compile("^Jobs"))
    expect(link).to_have_attribute("href", "http://dashboard.example")


def _pages(school: School) -> list[tuple[str, str]]:
    return [
        (STUDENT, "/"),
        (STUDENT, f"/courses/{school.course_id}"),
        (STUDENT, f"/assignments/{school.essay_id}"),
        (STUDENT, f"/assignments/{school.program_id}"),
        (STUDENT, f"/submissions/{school.submission_id}"),
        (STUDENT, "/notifications"),
        (STUDENT, "/nowhere"),
        (INSTRUCTOR, "/"),
        (INSTRUCTOR, f"/courses/{school.course_id}"),
        (INSTRUCTOR, f"/courses/{school.course_id}/analytics"),
        (INSTRUCTOR, f"/courses/{school.course_id}/assignments/new"),
        (INSTRUCTOR, f"/submissions/{school.submission_id}"),
        (INSTRUCTOR, f"/findings/{school.finding_id}"),
        (ADMIN, "/people"),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits_a_phone(
    browser: Browser, url: str, school: School, scheme: Any
) -> None:
    with Session(school.engine) as session:
        session.merge(Report(course_id=school.course_id, content=_REPORT))
        session.commit()
    _grade(school, school.submission_id)
    context = browser.new_context(
        viewport={"width": 390, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(f"{url}/")
    faults = [_faults(page)]
    for who, path in _pages(school):
        context.clear_cookies()
        token = academics.bearer(school, who)["Authorization"].removeprefix("Bearer ")
        context.add_cookies([{"name": "academic_session", "value": token, "url": url}])
        page.goto(f"{url}{path}")
        faults += [_faults(page)]
        width = page.evaluate("document.documentElement.scrollWidth")
        faults += [[f"{path} is {width} pixels wide"]] if width > 390 else []
    context.close()
    assert [fault for each in faults for fault in each] == []


def _faults(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{page.url}: {each['id']} {each['nodes'][0]['html'][:200]}" for each in found]
