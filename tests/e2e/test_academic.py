"""The academic service with everything real: pods, a database, a mail server, a browser."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.conftest import ROOT, STATE
from tests.server import wait_until

from bgjobs_local import academic_demo, cluster
from bgjobs_local.academic_demo import ADMIN, INSTRUCTOR, NAMESPACE, Person
from bgjobs_local.kubectl import Kubectl

_STUDENT = "dana@academic.example"
_COPIER = "ben@academic.example"
_FINISHED_WITHIN_MS = 120_000
_CREATED_WITHIN_SECONDS = 60
_KINDS = {"grade", "notify", "compare", "report"}
_ESSAY = (ROOT / "deploy/local/demo/essay.txt").read_text()
_HONEST = (
    "Salt on a snail's path kills the grass beside it, and the reason is osmosis. Grass roots have"
    " a membrane that water can cross and salt cannot. As long as the soil holds little salt, water"
    " follows the higher concentration into the root.\n\n"
    "In the leaf the water ends up in the vacuole of each cell. It pushes outward, the wall pushes"
    " back, and this turgor pressure makes a blade of grass stand up. You can see it without any"
    " instrument: mown grass lies flat by evening and stands again after a night of dew.\n\n"
    "Salty soil draws the water out. The membrane lets go of the wall as the cell shrinks, which"
    " botanists call plasmolysis. At first a good rain washes the salt away and the cells fill up"
    " once more, yet grass that stays plasmolysed for days turns yellow and dies."
)


@pytest.fixture(scope="module")
def password(kubectl: Kubectl) -> str:
    return academic_demo.people(kubectl)


@pytest.fixture(scope="module")
def url(kubectl: Kubectl) -> str:
    return academic_demo.service(kubectl)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_a_student_hands_in_and_everybody_sees_what_becomes_of_it(
    page: Page, kubectl: Kubectl, url: str, password: str
) -> None:
    submission = _hand_in(page, url, _STUDENT, password, _HONEST)
    page.evaluate("window.wasNotReloaded = true")
    expect(page.locator("#grade")).to_contain_text("of 100", timeout=_FINISHED_WITHIN_MS)
    expect(page.locator("#jobs li")).to_have_text(
        [re.compile("Done")] * len(_KINDS), timeout=_FINISHED_WITHIN_MS
    )
    assert page.evaluate("window.wasNotReloaded") is True
    assert _mails(kubectl, submission) == 1
    report = _jobs(kubectl, submission)["report"]
    waited = _time(report["status"]["startTime"]) - _time(report["metadata"]["creationTimestamp"])
    assert report["status"]["effectiveDelaySeconds"] == 13  # |15 - 2|, by its delay and retries
    assert waited >= timedelta(seconds=13)
    page.get_by_role("button", name="Sign out").click()
    _sign_in(page, url, INSTRUCTOR, password)
    page.goto(f"{url}/submissions/{submission}")
    expect(page.locator("#findings")).to_contain_text("None that stand out.")
    instructor = academic_demo.sign_in(url, INSTRUCTOR, password)
    course_id = _essay(instructor)["course_id"]
    page.goto(f"{url}/courses/{course_id}/analytics")
    expect(page.locator("#report")).to_contain_text(re.compile(r"[1-9]\d* graded, mean \d"))
    expect(page.locator("#report")).to_contain_text("Water in a plant")
    analytics = instructor("GET", f"/courses/{course_id}/analytics")
    made = instructor("GET", f"/submissions/{submission}")
    assert analytics["computed_at"] > made["submitted_at"]


def test_an_admin_follows_the_link_to_the_dashboard(page: Page, url: str, password: str) -> None:
    _sign_in(page, url, ADMIN, password)
    page.get_by_role("link", name=re.compile("^Jobs")).click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert not page.url.startswith(url)


def test_a_copied_text_is_shown_beside_its_source(page: Page, url: str, password: str) -> None:
    begin, _, rest = _ESSAY.partition("\n\n")
    submission = _hand_in(page, url, _COPIER, password, f"{rest}\n\n{begin}")
    expect(page.locator("#jobs li")).to_have_text(
        [re.compile("Done")] * len(_KINDS), timeout=_FINISHED_WITHIN_MS
    )
    assert page.locator("#findings").count() == 0, "a student sees no findings"
    page.get_by_role("button", name="Sign out").click()
    _sign_in(page, url, INSTRUCTOR, password)
    page.goto(f"{url}/submissions/{submission}")
    expect(page.locator("#findings")).to_contain_text("Elif Demir")
    page.get_by_role("link", name="Side by side with Elif Demir").first.click()
    assert page.locator("mark").count() >= 2


def test_a_program_finds_neither_a_secret_nor_a_way_out(url: str, password: str) -> None:
    spy = (
        "import os, socket\n"
        "said = []\n"
        "try:\n"
        "    said.append(open('/proc/1/environ').read())\n"
        "except OSError as error:\n"
        "    said.append('environ: ' + type(error).__name__)\n"
        "try:\n"
        "    socket.socket()\n"
        "except OSError as error:\n"
        "    said.append('network: ' + type(error).__name__)\n"
        "print(*said, *(name for name in os.environ if 'ACADEMIC' in name or 'KUBE' in name))\n"
    )
    student = academic_demo.sign_in(url, _STUDENT, password)
    program = academic_demo.assignment(student, "program")
    path = f"/assignments/{program['id']}/submissions"
    made = student("POST", path, {"key": "spies-around", "content": spy})
    [submission] = academic_demo.finished(lambda: [student("GET", f"/submissions/{made['id']}")])
    said = json.dumps(submission["grade"])
    assert submission["score"] == 0
    assert "environ: PermissionError network: PermissionError'" in said


def test_what_is_handed_in_while_the_api_server_is_down_gets_its_jobs_when_it_is_back(
    page: Page, kubectl: Kubectl, url: str, password: str
) -> None:
    with cluster.without_api_server(STATE):
        submission = _hand_in(page, url, _STUDENT, password, f"{_HONEST}\n\nBy candlelight.")
        expect(page.locator("#jobs")).to_contain_text("Unknown since", timeout=60_000)
    expect(page.locator("#grade")).to_contain_text("of 100", timeout=_FINISHED_WITHIN_MS)
    # In no order: those of which the first try got no answer come last.
    wait_until(
        lambda: _jobs(kubectl, submission).keys() == _KINDS,
        lambda: f"it has {_jobs(kubectl, submission).keys()}",
        _CREATED_WITHIN_SECONDS,
    )


def _sign_in(page: Page, url: str, email: str, password: str) -> None:
    page.goto(url)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def _hand_in(page: Page, url: str, email: str, password: str, text: str) -> str:
    """What a student does; the new submission's id."""
    _sign_in(page, url, email, password)
    page.get_by_role("link", name="Water in a plant").first.click()
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Hand in").click()
    page.wait_for_url(re.compile("/submissions/"))
    return page.url.rpartition("/")[2]


def _essay(person: Person) -> Any:
    return academic_demo.assignment(person, "text")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _mails(kubectl: Kubectl, submission: str) -> int:
    return len(academic_demo.mails(kubectl, submission))


def _jobs(kubectl: Kubectl, submission: str) -> Mapping[str, Any]:
    """The BackgroundJobs of a submission, by what they do."""
    return {
        name.partition("-")[0]: job
        for job in kubectl.objects("bgjob", "-n", NAMESPACE)
        if (name := job["metadata"]["name"]).endswith(submission)
    }
