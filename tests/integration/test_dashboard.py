"""The dashboard in a real browser, on what a running operator mirrors."""

import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
import urllib3
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect
from tests import dashboards, operating, proxying, watching
from tests.browsing import sign_in
from tests.dashboards import Dashboard
from tests.mariadb import limited_user, locked, refusing
from tests.server import Jobs, Server, request, wait_until
from tests.watching import phase, submit, wait, wait_finished, wait_row

from bgjobs.dashboard.access import CURRENT_FOR_SECONDS
from bgjobs.dashboard.filters import utc_now
from bgjobs.mirror.schema import ATTEMPTS, ERROR_ROLLUPS, JOB_LABELS, LOG_TAILS

_ADMIN, _LOOKER, _LEAVER = "bgjobs-admin", "bgjobs-looker", "bgjobs-leaver"
_ANSWERS_WITHIN_S = 60
_ENDS_WITHIN_S = 3 * CURRENT_FOR_SECONDS
_MANY_POLLS_MS = 20_000
_STALE_WITHIN_MS = 90_000
_COUNTED_WITHIN_S = 20
_MANY = 30
"""More requests than the dashboard has connections to the database, fewer than it has threads."""
_HOUR = [{"lasts": "1h"}]
_HOSTILE = "<img src=x onerror=alert(1)>'; DROP TABLE jobs; --"
_PAGES = ("/", "/jobs", "/errors", "/analytics", "/configuration", "/health")


@pytest.fixture(scope="module")
def reader(database: sa.Engine) -> str:
    """The URL by which a dashboard gets to the database."""
    return limited_user(database, dashboards.DATABASE_USER, "SELECT")


@pytest.fixture(scope="module")
def dashboard(
    server: Server, jobs: Jobs, reader: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """With actions on, beside an operator that works in the namespace of `jobs`."""
    assert jobs.server is server
    dashboards.install(server)
    directory = tmp_path_factory.mktemp("dashboard")
    with dashboards.running(server, reader, directory, BGJOBS_ACTIONS="true") as running:
        yield running


@pytest.fixture
def admin(page: Page, server: Server, dashboard: Dashboard) -> Page:
    sign_in(page, dashboard.url, dashboards.token(server, _ADMIN))
    return page


@pytest.fixture(scope="module", name="done")
def _done(jobs: Jobs, database: sa.Engine) -> Any:
    """A job that has succeeded and is mirrored."""
    submit(jobs, "shown", parameters={"warehouse": 7, "api_token": "s3cret"}, priority="High")
    done = wait_finished(jobs, "shown")
    wait_row(database, done)
    return done


@pytest.fixture(scope="module", name="waiting")
def _waiting(jobs: Jobs, database: sa.Engine) -> Any:
    """A job that waits for a time that never comes, and is mirrored."""
    submit(jobs, "waiting", startAt="2999-01-01T00:00:00Z")
    waiting = wait(jobs, "waiting", watching.reason("Delayed"))
    wait_row(database, waiting)
    return waiting


@pytest.fixture(scope="module")
def error_group(jobs: Jobs, database: sa.Engine) -> str:
    """Of a job that has failed, and is counted among the errors."""
    uid = submit(jobs, "broken", pods=[{"exitCode": 1}], retries=0)
    wait_row(database, wait_finished(jobs, "broken"))
    found: list[str] = []

    def is_counted() -> bool:
        of_job = ATTEMPTS.c.uid == uid
        counted = ATTEMPTS.c.error_group == ERROR_ROLLUPS.c.error_group
        query = sa.select(ATTEMPTS.c.error_group).where(of_job, counted)
        with database.connect() as connection:
            found[:] = connection.scalars(query)
        return bool(found)

    wait_until(is_counted, lambda: "the error is not counted", _COUNTED_WITHIN_S)
    return found[0]


def _uid(job: Any) -> str:
    return str(job["metadata"]["uid"])


def _badge(page: Page, state: str) -> Any:
    return page.locator("#headline .st", has_text=re.compile(f"^{state}$"))


# Signing in.


def _get(dashboard: Dashboard, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request(
        "GET",
        dashboard.url + path,
        headers=headers,
        redirect=False,
        retries=False,
        timeout=_ANSWERS_WITHIN_S,
    )


@pytest.mark.parametrize("path", [*_PAGES, "/jobs/x", "/api/v1/jobs"])
def test_nobody_sees_anything(dashboard: Dashboard, done: Any, path: str) -> None:
    answer = _get(dashboard, path)
    assert answer.status == 401
    assert done["metadata"]["name"] not in answer.data.decode()


@pytest.mark.parametrize("account", ["bgjobs-viewer", "bgjobs-submitter"])
def test_whoever_may_not_look_is_told_what_they_lack(
    page: Page, server: Server, dashboard: Dashboard, account: str
) -> None:
    sign_in(page, dashboard.url, dashboards.token(server, account))
    expect(page.get_by_role("heading", name="You may not look at this")).to_be_visible()
    expect(page.locator("#main")).to_contain_text(
        f"kubectl create clusterrolebinding bgjobs-admin-bgjobs-system-{account} "
        f"--clusterrole=bgjobs-admin --serviceaccount=bgjobs-system:{account}"
    )
    answer = page.goto(f"{dashboard.url}/jobs")
    assert answer is not None
    assert answer.status == 403


def test_a_token_that_is_none_is_refused_at_the_form(page: Page, dashboard: Dashboard) -> None:
    sign_in(page, dashboard.url, "no.token.of-this-cluster")
    expect(page.get_by_role("alert")).to_contain_text("The API server does not know this token")
    assert page.context.cookies() == []


def test_a_session_is_out_of_reach_of_scripts_and_other_sites(admin: Page) -> None:
    [cookie] = admin.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert not cookie["value"].startswith("ey")
    admin.get_by_role("button", name="Sign out").click()
    expect(admin.get_by_label("Token")).to_be_visible()
    assert admin.context.cookies() == []


def test_a_page_from_before_signing_in_again_signs_out_too(
    page: Page, server: Server, dashboard: Dashboard
) -> None:
    token = dashboards.token(server, _ADMIN)
    sign_in(page, dashboard.url, token)
    other = page.context.new_page()
    other.goto(dashboard.url)
    other.get_by_role("button", name="Sign out").click()
    sign_in(other, dashboard.url, token)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.context.cookies() == []


def test_signing_in_leads_to_the_page_that_was_asked_for(
    page: Page, server: Server, dashboard: Dashboard
) -> None:
    page.goto(f"{dashboard.url}/jobs?state=Failed")
    page.get_by_label("Token").fill(dashboards.token(server, _ADMIN))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{dashboard.url}/jobs?state=Failed")


def test_a_token_that_has_expired_is_refused_at_the_form(
    page: Page, server: Server, dashboard: Dashboard
) -> None:
    token = dashboards.token(server, _ADMIN)
    sign_in(page, dashboard.url, dashboards.expiring(server, token, -1))
    expect(page.get_by_role("alert")).to_contain_text("it has expired")
    assert page.context.cookies() == []


def test_what_expires_or_is_taken_away_ends_a_session(server: Server, dashboard: Dashboard) -> None:
    token = dashboards.token(server, _ADMIN)
    expiring = {"Authorization": f"Bearer {dashboards.expiring(server, token, 10)}"}
    losing = {"Authorization": f"Bearer {dashboards.token(server, _LEAVER)}"}
    assert _get(dashboard, "/jobs", **expiring).status == 200
    assert _get(dashboard, "/jobs", **losing).status == 200
    dashboards.take_away(server, _LEAVER)

    def statuses() -> tuple[int, int]:
        return _get(dashboard, "/jobs", **expiring).status, _get(
            dashboard, "/jobs", **losing
        ).status

    wait_until(lambda: statuses() == (401, 403), lambda: f"it answers {statuses()}", _ENDS_WITHIN_S)


def test_an_open_page_says_that_its_session_has_ended(admin: Page, dashboard: Dashboard) -> None:
    admin.goto(f"{dashboard.url}/jobs")
    admin.context.clear_cookies()
    expect(admin.locator("#live")).to_contain_text("Your session has ended", timeout=20_000)


# Bad input.


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs?colour=red", 400),
        ("/jobs?state=Sleeping", 400),
        ("/jobs?before=-1", 400),
        ("/jobs?before=99991231T235959-" + "f" * 36, 200),
        ("/jobs?before=00000101T000000-" + "f" * 36, 400),
        ("/jobs?before=20300131T120307-" + "f" * 36 + "%27%20OR%201=1", 400),
        ("/jobs?columns=id%3BDROP", 400),
        ("/jobs?labels=%3Cscript%3E", 400),
        ("/jobs?name=%27%20OR%201%3D1%20--", 200),
        ("/jobs?name=" + "x" * 3000, 400),
        ("/jobs?class=%F0%9F%91%8B%00", 200),
        ("/jobs/" + "0" * 36, 404),
        ("/jobs/..%2F..%2Fetc%2Fpasswd", 404),
        ("/errors/nothing", 400),
        ("/errors/" + "0" * 12, 404),
        ("/errors?period=1y", 400),
        ("/errors?show=%3Cscript%3E", 400),
        ("/jobs/" + "0" * 36 + "?attempt=-1", 404),
        ("/jobs/" + "0" * 36 + "/attempts/99999999999-1/log", 404),
        ("/jobs/" + "0" * 36 + "/do/delete", 404),
        ("/jobs/shop/%27%20OR%201=1", 404),
        ("/api/v1/jobs?before=-1", 400),
        ("/analytics?priority=9", 400),
        ("/api/v1/jobs?state=Sleeping", 400),
        ("/api/v1/jobs/none", 404),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there_gets_a_clear_answer(
    server: Server, dashboard: Dashboard, path: str, status: int
) -> None:
    token = dashboards.token(server, _ADMIN)
    answer = _get(dashboard, path, Authorization=f"Bearer {token}")
    text = answer.data.decode()
    assert answer.status == status, text
    assert "Traceback" not in text
    assert "<script>" not in text.replace("<script src=", "")


@pytest.mark.parametrize("origin", ["http://example.org", "http://[", "null", ""])
def test_a_form_of_another_site_is_refused(dashboard: Dashboard, origin: str) -> None:
    headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"}
    answer = urllib3.request("POST", f"{dashboard.url}/sign-in", body="token=x", headers=headers)
    assert answer.status == 403


@pytest.mark.parametrize("target", ["//[", "//example.org", "/\\example.org", "http://[", "jobs"])
def test_signing_in_leads_to_no_other_site(
    server: Server, dashboard: Dashboard, target: str
) -> None:
    form = urlencode({"token": dashboards.token(server, _ADMIN), "next": target})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    sign_in_url = f"{dashboard.url}/sign-in"
    answer = urllib3.request("POST", sign_in_url, body=form, headers=headers, redirect=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/")


def test_while_the_database_is_down_it_says_so_and_comes_back_by_itself(
    admin: Page, dashboard: Dashboard, database: sa.Engine, done: Any
) -> None:
    with refusing(database, dashboards.DATABASE_USER):
        answer = admin.goto(f"{dashboard.url}/jobs?name=shown")
        assert answer is not None
        assert answer.status == 503
        expect(admin.get_by_role("heading", name="The database does not answer")).to_be_visible()
    expect(admin.get_by_role("link", name=done["metadata"]["name"])).to_be_visible(timeout=20_000)


@pytest.mark.usefixtures("dashboard")
def test_while_the_api_server_is_away_pages_say_so_and_come_back_by_themselves(
    page: Page, server: Server, reader: str, tmp_path: Path
) -> None:
    is_away = threading.Event()

    def asked(_: proxying.Request) -> None:
        if is_away.is_set():
            raise proxying.NoAnswerError

    with (
        proxying.proxy(server, asked) as api_url,
        dashboards.running(server, reader, tmp_path, api_url=api_url) as dashboard,
    ):
        sign_in(page, dashboard.url, dashboards.token(server, _ADMIN))
        page.goto(dashboard.url)
        heading, live = page.get_by_role("heading", level=1), page.locator("#live")
        expect(heading).to_have_text("Overview")
        is_away.set()
        expect(live).to_contain_text("The API server does not answer", timeout=20_000)
        expect(heading).to_have_text("Overview")
        answer = page.goto(dashboard.url)
        assert answer is not None
        assert answer.status == 503
        expect(heading).to_have_text("The API server does not answer")
        is_away.clear()
        expect(heading).to_have_text("Overview", timeout=20_000)
        expect(live).to_be_hidden()


def test_a_slow_database_gets_a_page_that_says_so_and_stalls_nobody_else(
    server: Server, dashboard: Dashboard, database: sa.Engine
) -> None:
    token = {"Authorization": f"Bearer {dashboards.token(server, _ADMIN)}"}
    with ThreadPoolExecutor(_MANY) as threads, locked(database, "meta"):
        asked = [threads.submit(_get, dashboard, "/jobs", **token) for _ in range(_MANY)]
        others = [_get(dashboard, path).status for path in ("/healthz", "/static/app.css", "/")]
        some_wait = not all(each.done() for each in asked)
        answers = [each.result() for each in asked]
    assert others == [200, 200, 401]
    assert some_wait
    assert {answer.status for answer in answers} == {503}
    assert all(b"The database does not answer" in answer.data for answer in answers)
    assert _get(dashboard, "/jobs", **token).status == 200


# The pages.


@pytest.mark.usefixtures("done")
def test_a_job_is_found_by_filters_that_the_address_holds(
    admin: Page, dashboard: Dashboard
) -> None:
    admin.goto(f"{dashboard.url}/jobs")
    admin.get_by_role("textbox", name="Name").fill("sho")
    admin.get_by_role("button", name="Filter").click()
    expect(admin).to_have_url(re.compile(r"name=sho"))
    row = admin.locator("tr[data-uid]")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Succeeded")
    row.get_by_role("link", name="shown").click()
    expect(_badge(admin, "Succeeded")).to_be_visible()
    expect(admin.locator("#asked")).to_contain_text('"api_token": "••••••"')
    expect(admin.locator("#asked")).to_contain_text("Masked here only")
    assert "s3cret" not in admin.content()


def test_pages_follow_each_other_without_gap_or_repeat(
    jobs: Jobs, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    for number in range(30):
        submit(jobs, f"paged-{number:02d}", labels=None, startAt="2999-01-01T00:00:00Z")
    watching.wait_row(database, wait(jobs, "paged-29", watching.reason("Delayed")))
    address = f"{dashboard.url}/jobs?name=paged-&state=Scheduled"
    expect_rows = admin.locator("tr[data-uid] a.name")
    for _ in range(40):
        admin.goto(address)
        if admin.locator("nav.chips .on").inner_text().endswith("30"):
            break
    expect(expect_rows).to_have_count(25)
    names = expect_rows.all_inner_texts()
    admin.get_by_role("link", name="Older").click()
    expect(expect_rows).to_have_count(5)
    names += expect_rows.all_inner_texts()
    assert sorted(names) == [f"paged-{number:02d}" for number in range(30)]


def test_a_job_is_followed_from_waiting_to_its_end_without_loading_the_page_again(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    submit(jobs, name, delay=3600)
    waiting = wait(jobs, name, watching.reason("Delayed"))
    wait_row(database, waiting)
    admin.goto(f"{dashboard.url}/jobs/{_uid(waiting)}")
    expect(_badge(admin, "Scheduled")).to_be_visible()
    admin.evaluate("window.stayed = true")
    watching.change(jobs, name, startRequests=1)
    expect(_badge(admin, "Succeeded")).to_be_visible(timeout=20_000)
    expect(admin.locator("#log")).to_contain_text("Log of attempt 1")
    assert admin.evaluate("window.stayed")


def test_the_attempt_that_is_read_stays_when_another_ends(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    backoff = {"seconds": 3600, "factor": 1, "maxSeconds": 3600}
    submit(jobs, name, pods=[{"exitCode": 1}, {}], retries=1, backoff=backoff)
    failed_once = wait(jobs, name, watching.reason("BackingOff"))
    wait_row(database, failed_once)
    admin.goto(f"{dashboard.url}/jobs/{_uid(failed_once)}")
    error, log = admin.locator("#error"), admin.locator("#log h2")
    expect(error).to_contain_text("Error of attempt 1")
    watching.change(jobs, name, startRequests=1)
    expect(_badge(admin, "Succeeded")).to_be_visible(timeout=20_000)
    expect(error).to_contain_text("Error of attempt 1")
    expect(log).to_have_text("Log of attempt 1, run 1")
    error.get_by_role("link", name="The latest: attempt 2").click()
    expect(log).to_have_text("Log of attempt 2, run 1")


@pytest.mark.usefixtures("done")
def test_newer_jobs_are_announced_and_move_nothing(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard
) -> None:
    admin.goto(f"{dashboard.url}/jobs")
    before = _first_row(admin)
    submit(jobs, name)
    newer = admin.get_by_role("link", name=re.compile("newer job"))
    expect(newer).to_be_visible(timeout=20_000)
    assert _first_row(admin) == before
    newer.click()
    expect(admin.get_by_role("link", name=name)).to_be_visible()


def test_a_list_that_was_empty_announces_newer_jobs_once_it_has_one(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard
) -> None:
    admin.goto(f"{dashboard.url}/jobs?name={name}")
    expect(admin.get_by_role("heading", name="No job matches")).to_be_visible()
    submit(jobs, f"{name}-1")
    rows = admin.locator("tr[data-uid]")
    expect(rows).to_have_count(1, timeout=20_000)
    submit(jobs, f"{name}-2")
    expect(admin.get_by_role("link", name="1 newer job")).to_be_visible(timeout=20_000)
    expect(rows).to_have_count(1)


def test_an_open_page_asks_for_one_answer_after_the_other(
    admin: Page, dashboard: Dashboard
) -> None:
    admin.clock.install()
    admin.goto(f"{dashboard.url}/jobs")
    asked: list[Route] = []
    admin.route("**/jobs", lambda route: asked.append(route))
    _pass_time(admin, asked, 1)
    admin.clock.run_for(_MANY_POLLS_MS)
    assert len(asked) == 1
    asked[0].continue_()
    _pass_time(admin, asked, 2)


def _pass_time(page: Page, asked: Sequence[Route], count: int) -> None:
    """Until the page has asked so often."""

    def is_there() -> bool:
        page.clock.run_for(_MANY_POLLS_MS)
        return len(asked) >= count

    wait_until(is_there, lambda: f"the page has asked {len(asked)} times", _ANSWERS_WITHIN_S)


def test_stale_data_is_told_while_it_is_stale_and_moves_nothing(
    admin: Page, dashboard: Dashboard, database: sa.Engine, done: Any
) -> None:
    admin.goto(f"{dashboard.url}/jobs?name={done['metadata']['name']}")
    before = _first_row(admin)
    stale = admin.get_by_text("Data as of")
    with refusing(database, operating.DATABASE_USER):
        expect(stale).to_be_in_viewport(timeout=_STALE_WITHIN_MS)
        assert _first_row(admin) == before
    expect(stale).to_have_count(0, timeout=_STALE_WITHIN_MS)
    assert _first_row(admin) == before


def _first_row(page: Page) -> Any:
    """Which job it is, and where it is seen."""
    row = page.locator("tr[data-uid]").first
    return row.get_attribute("data-uid"), row.bounding_box()


def test_a_page_that_has_not_changed_is_not_sent_again(
    server: Server, dashboard: Dashboard, done: Any
) -> None:
    token = {"Authorization": f"Bearer {dashboards.token(server, _ADMIN)}"}
    path = f"/jobs/{_uid(done)}"
    first = _get(dashboard, path, **token)
    again = _get(dashboard, path, **token, **{"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status) == (200, 304)


def test_parameters_labels_errors_and_logs_are_text_whatever_they_say(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    submit(jobs, name, parameters={"note": _HOSTILE, _HOSTILE: 1})
    done = wait_finished(jobs, name)
    wait_row(database, done)
    uid = _uid(done)
    # What no API server takes as a label, and no pod of these tests prints.
    label = {"uid": uid, "name": _HOSTILE, "value": _HOSTILE, "resource_version": "0" * 39}
    log = {"uid": uid, "run": 1, "attempt": 1, "text": f"ERROR {_HOSTILE}"}
    error = {"error_group": "f" * 12, "error_type": _HOSTILE, "error_place": _HOSTILE}
    with database.connect() as connection:
        connection.execute(sa.insert(JOB_LABELS), {**label, "created_at": utc_now()})
        connection.execute(sa.insert(LOG_TAILS), log)
        of_job = ATTEMPTS.c.uid == uid
        connection.execute(sa.update(ATTEMPTS).where(of_job).values(**error, message=_HOSTILE))
    admin.goto(f"{dashboard.url}/jobs/{uid}")
    for part in ("#asked", "#headline", "#log", "#yaml"):
        expect(admin.locator(part)).to_contain_text(_HOSTILE)
    assert admin.locator("img").count() == 0
    admin.goto(f"{dashboard.url}/errors/{'f' * 12}")
    expect(admin.get_by_role("heading", level=1)).to_have_text(_HOSTILE)
    assert admin.locator("img").count() == 0
    answer = admin.goto(f"{dashboard.url}/jobs/{uid}/attempts/1-1/log")
    assert answer is not None
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_list_shows_every_column_on_demand(admin: Page, dashboard: Dashboard, done: Any) -> None:
    admin.goto(f"{dashboard.url}/jobs?name=shown")
    admin.get_by_role("link", name="All columns").click()
    row = admin.locator("tr[data-uid]")
    expect(row).to_contain_text(_uid(done))
    expect(row).to_contain_text('{"api_token": "••••••", "warehouse": 7}')
    assert "s3cret" not in admin.content()


@pytest.mark.usefixtures("done")
def test_it_works_without_javascript(
    browser: Browser, server: Server, dashboard: Dashboard
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, dashboard.url, dashboards.token(server, _ADMIN))
    for path in _PAGES:
        answer = page.goto(dashboard.url + path)
        assert answer is not None
        assert answer.status == 200, path
    page.goto(f"{dashboard.url}/jobs?name=shown")
    page.get_by_role("link", name="shown").click()
    expect(_badge(page, "Succeeded")).to_be_visible()
    context.close()


def test_the_keyboard_leads_through_the_list(admin: Page, dashboard: Dashboard, done: Any) -> None:
    admin.goto(f"{dashboard.url}/jobs?name=shown")
    admin.keyboard.press("j")
    admin.keyboard.press("Enter")
    expect(admin).to_have_url(f"{dashboard.url}/jobs/{_uid(done)}")
    admin.keyboard.press("?")
    expect(admin.get_by_role("dialog", name="Keys")).to_be_visible()


def test_the_cluster_is_asked_why_a_job_waits_as_the_viewer_may_see_it(
    admin: Page, server: Server, dashboard: Dashboard, waiting: Any
) -> None:
    admin.goto(f"{dashboard.url}/jobs/{_uid(waiting)}")
    admin.get_by_role("link", name="Ask the cluster why").click()
    main = admin.locator("#main")
    expect(admin.get_by_role("heading", level=1)).to_have_text("Why it is pending")
    expect(main).to_contain_text("Starts at 2999-01-01T00:00:00Z (startAt).")
    expect(main).to_contain_text("kubectl bgjob start waiting")
    admin.context.clear_cookies()
    sign_in(admin, dashboard.url, dashboards.token(server, _LOOKER))
    admin.goto(f"{dashboard.url}/jobs/{_uid(waiting)}/why/now")
    expect(main).to_contain_text("forbidden")
    expect(main).not_to_contain_text("2999")


@pytest.mark.parametrize("path", ["why/now", "do/cancel"])
def test_a_page_with_nothing_to_keep_current_asks_for_nothing(
    admin: Page, dashboard: Dashboard, waiting: Any, path: str
) -> None:
    admin.clock.install()
    admin.goto(f"{dashboard.url}/jobs/{_uid(waiting)}/{path}")
    asked: list[str] = []
    admin.on("request", lambda request: asked.append(request.url))
    admin.clock.run_for(_MANY_POLLS_MS)
    with admin.expect_response("**/healthz"):
        admin.evaluate("fetch('/healthz')")
    assert admin.url not in asked


def test_why_another_job_of_the_same_name_waits_is_not_told(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    submit(jobs, name, startAt="2999-01-01T00:00:00Z")
    first = wait(jobs, name, watching.reason("Delayed"))
    wait_row(database, first)
    assert request(jobs.server, "DELETE", f"{jobs.path}/{name}").status == 200
    submit(jobs, name, startAt="2888-01-01T00:00:00Z")
    admin.goto(f"{dashboard.url}/jobs/{_uid(first)}/why/now")
    expect(admin.locator("#main")).to_contain_text("Another job has this name by now.")


@pytest.fixture
def every_page(done: Any, waiting: Any, error_group: str) -> list[str]:
    """The address of each page that an admin gets, and of those that say what is not there."""
    shown = f"/jobs/{_uid(done)}"
    waits = f"/jobs/{_uid(waiting)}"
    return [
        *_PAGES,
        *("/jobs?columns=all", "/jobs?name=none-is-called-so", "/jobs?colour=red", "/nothing"),
        *(shown, f"{shown}/do/retry", waits, f"{waits}/do/cancel", f"{waits}/why/now"),
        f"/errors/{error_group}",
    ]


def _open_each(
    page: Page, server: Server, dashboard: Dashboard, database: sa.Engine, addresses: Sequence[str]
) -> Iterator[str]:
    """Opens these pages and those that others see, one by one; yields what is open."""
    page.goto(f"{dashboard.url}/jobs")
    yield "signed out"
    sign_in(page, dashboard.url, dashboards.token(server, "bgjobs-viewer"))
    yield "forbidden"
    page.context.clear_cookies()
    sign_in(page, dashboard.url, dashboards.token(server, _ADMIN))
    for address in addresses:
        page.goto(dashboard.url + address)
        yield address
    with refusing(database, dashboards.DATABASE_USER):
        page.goto(f"{dashboard.url}/jobs")
        yield "the database is down"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_accessibility(
    browser: Browser,
    server: Server,
    dashboard: Dashboard,
    database: sa.Engine,
    every_page: list[str],
    scheme: Any,
) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    found = []
    for what in _open_each(page, server, dashboard, database, every_page):
        found += _serious(page, what)
    context.close()
    assert found == []


def _serious(page: Page, what: str) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [
        f"{what}: {each['id']}: {node['html'][:200]}"
        for each in violations
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def test_nothing_overflows_a_phone(
    browser: Browser,
    jobs: Jobs,
    server: Server,
    dashboard: Dashboard,
    database: sa.Engine,
    every_page: list[str],
) -> None:
    longest = "a." * 125 + "abc"
    submit(jobs, longest, parameters={"text": "x" * 60_000})
    done = wait_finished(jobs, longest)
    wait_row(database, done)
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    of_longest = f"/jobs/{_uid(done)}"
    addresses = [*every_page, of_longest, f"{of_longest}/do/retry", f"{of_longest}/why/now"]
    for what in _open_each(page, server, dashboard, database, addresses):
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, what
    context.close()


def test_nothing_is_loaded_from_elsewhere(admin: Page, dashboard: Dashboard, done: Any) -> None:
    asked: list[str] = []
    admin.on("request", lambda request: asked.append(request.url))
    for path in (*_PAGES, f"/jobs/{_uid(done)}"):
        admin.goto(dashboard.url + path)
    assert [url for url in asked if not url.startswith(dashboard.url)] == []


@pytest.mark.parametrize(
    ("config_map", "card"), [("bgjobs-allowlist", "#allowlist"), ("bgjobs-runtimes", "#runtimes")]
)
def test_a_broken_config_map_is_told_while_it_is_broken_and_not_taken_for_an_empty_one(
    admin: Page, server: Server, dashboard: Dashboard, config_map: str, card: str
) -> None:
    admin.goto(f"{dashboard.url}/configuration")
    shown = admin.locator(card)
    expect(shown.get_by_role("alert")).to_have_count(0)
    watching.set_key(server, config_map, "no-class", "imagee: other:1")
    try:
        expect(shown.get_by_role("alert")).to_contain_text("the last good one", timeout=20_000)
        expect(shown).not_to_contain_text("Nothing may run")
    finally:
        watching.set_key(server, config_map, "no-class", None)
    expect(shown.get_by_role("alert")).to_have_count(0, timeout=20_000)


# Actions.


def test_a_job_is_cancelled_with_a_reason_and_retried(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    submit(jobs, name, pods=[*_HOUR, {}])
    running = wait(jobs, name, phase("Running"))
    wait_row(database, running)
    admin.goto(f"{dashboard.url}/jobs/{_uid(running)}")
    admin.get_by_role("link", name="Cancel").click()
    admin.get_by_label("Why?").fill("the wrong list")
    admin.get_by_role("button", name="Cancel the job").click()
    expect(_badge(admin, "Cancelled")).to_be_visible(timeout=30_000)
    assert wait(jobs, name, phase("Cancelled"))["spec"]["cancelReason"] == "the wrong list"
    expect(admin.locator("#who")).to_contain_text(f"system:serviceaccount:bgjobs-system:{_ADMIN}")
    admin.get_by_role("link", name="Retry").click()
    admin.get_by_role("button", name="Retry").click()
    expect(_badge(admin, "Succeeded")).to_be_visible(timeout=30_000)


def test_a_reason_is_told_of_the_cancel_that_it_was_given_for(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    submit(jobs, name, pods=_HOUR)
    wait(jobs, name, phase("Running"))
    watching.change(jobs, name, cancelled=True, cancelReason="the wrong list")
    wait(jobs, name, phase("Cancelled"))
    watching.change(jobs, name, cancelled=False, retryRequests=1)
    wait(jobs, name, phase("Running"))
    watching.change(jobs, name, cancelled=True, cancelReason="too late")
    cancelled = wait(jobs, name, phase("Cancelled"))
    wait_row(database, cancelled)
    admin.goto(f"{dashboard.url}/jobs/{_uid(cancelled)}")
    cancels = admin.locator("#who dd", has_text="cancelled by")
    expect(cancels).to_have_count(2)
    expect(cancels.first).not_to_contain_text("too late")
    expect(cancels.last).to_contain_text("too late")


def test_a_cancel_needs_a_reason(
    jobs: Jobs, name: str, admin: Page, dashboard: Dashboard, database: sa.Engine
) -> None:
    submit(jobs, name, startAt="2999-01-01T00:00:00Z")
    waiting = wait(jobs, name, watching.reason("Delayed"))
    wait_row(database, waiting)
    admin.goto(f"{dashboard.url}/jobs/{_uid(waiting)}/do/cancel")
    admin.get_by_label("Why?").fill(" ")
    admin.get_by_role("button", name="Cancel the job").click()
    expect(admin.get_by_role("alert")).to_contain_text("Say why")
    assert wait(jobs, name, phase("Pending"))["spec"]["cancelled"] is False


def test_without_the_right_the_button_says_so(
    jobs: Jobs, name: str, page: Page, server: Server, dashboard: Dashboard, database: sa.Engine
) -> None:
    submit(jobs, name, startAt="2999-01-01T00:00:00Z")
    waiting = wait(jobs, name, watching.reason("Delayed"))
    wait_row(database, waiting)
    sign_in(page, dashboard.url, dashboards.token(server, _LOOKER))
    page.goto(f"{dashboard.url}/jobs/{_uid(waiting)}")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()
    expect(page.locator("#buttons")).to_contain_text("You may not patch BackgroundJobs")
    page.goto(f"{dashboard.url}/jobs/{_uid(waiting)}/do/cancel")
    page.get_by_label("Why?").fill("no right")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("alert")).to_contain_text("forbidden")
    assert watching.wait(jobs, name, phase("Pending"))["spec"]["cancelled"] is False


def test_an_action_needs_the_key_of_its_session(
    server: Server, dashboard: Dashboard, done: Any
) -> None:
    answer = urllib3.request(
        "POST",
        f"{dashboard.url}/jobs/{_uid(done)}/do/retry",
        body="form_key=forged",
        headers={
            "Authorization": f"Bearer {dashboards.token(server, _ADMIN)}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    assert answer.status == 403
    assert "not of your session" in answer.data.decode()
