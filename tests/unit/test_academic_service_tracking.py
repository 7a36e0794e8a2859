"""What the service writes down of a BackgroundJob, and how the pages call it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session
from tests import academics
from tests.academics import ADMIN, INSTRUCTOR, STUDENT, School

from academic.service.accounts import form_key
from academic.service.job_words import attempt_words, state_of
from academic.service.outbox import OUTBOX
from academic.service.tracking import Contact, expected_names, last_contact, record, record_gone
from academic.store.database import connect
from academic.store.schema import (
    Assignment,
    JobState,
    LastContact,
    ProgramRun,
    Submission,
    utc_now,
)
from academic.web.context import COOKIE
from bgjobs.client import NoSuchJobError, UnreachableError

_RUN = {"outcome": "finished", "exit_code": 0, "output": "7\n", "digest": "", "error": ""}
_RESULT = {"runs": [_RUN]}


@pytest.fixture
def program(school: School) -> str:
    """A submission of a program."""
    with Session(school.engine) as session:
        assignment = session.get_one(Assignment, school.program_id)
        return academics.hand_in(session, STUDENT, assignment, "print(7)", "program-key").id


def _job(name: str, version: int, phase: str = "Running", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "resourceVersion": str(version)},
        "spec": {"retries": 3},
        "status": {
            "phase": phase,
            "reason": phase,
            "message": f"It is {phase}.",
            "run": 1,
            **status,
        },
    }


def _leave_the_outbox(school: School, *names: str) -> None:
    """As what was created does."""
    table = OUTBOX.table
    with school.engine.begin() as connection:
        connection.execute(table.delete().where(table.c.name.in_(names)))


def _attempt(number: int, run: int = 1) -> dict[str, int]:
    return {"run": run, "attempt": number}


def _record(
    school: School, job: dict[str, Any], again: Callable[[str], None] = lambda _: None
) -> None:
    record(school.engine, job, again)


def _state(school: School, name: str) -> JobState:
    with Session(school.engine) as session:
        return session.get_one(JobState, name)


def test_nothing_old_overwrites_what_is_newer(school: School) -> None:
    name = f"grade-{school.submission_id}"
    _record(school, _job(name, 12, "Succeeded"))
    _record(school, _job(name, 11, "Running"))
    assert _state(school, name).phase == "Succeeded"


def test_a_retry_by_hand_is_newer_than_the_failure(school: School) -> None:
    name = f"grade-{school.submission_id}"
    _record(school, _job(name, 12, "Failed"))
    _record(school, _job(name, 13, "Running"))
    assert _state(school, name).phase == "Running"


def test_the_last_end_of_a_program_that_is_to_run_again_is_not_written_down_anew(
    school: School, program: str
) -> None:
    asked = _job(f"run-{program}", 12, "Failed", observedRetryRequests=0)
    asked["spec"]["retryRequests"] = 1
    _record(school, asked)
    with Session(school.engine) as session:
        assert session.get(ProgramRun, program) is None


def test_jobs_of_others_in_the_namespace_are_left_alone(school: School) -> None:
    _record(school, _job("somebody-elses", 1, "Succeeded"))
    with Session(school.engine) as session:
        assert session.get(JobState, "somebody-elses") is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param({}, "", id="none began"),
        pytest.param(
            {"jobRef": _attempt(1), "effectiveRetries": 4}, "attempt 1 of 5", id="the first"
        ),
        pytest.param(
            {"attempts": [_attempt(1)], "jobRef": _attempt(2), "effectiveRetries": 3},
            "attempt 2 of 4",
            id="the second",
        ),
        pytest.param(
            {"attempts": [_attempt(1)], "effectiveRetries": 3}, "attempt 1 of 4", id="between"
        ),
        pytest.param(
            {"jobRef": _attempt(6), "effectiveRetries": 3, "disruptions": 5, "deferrals": 1},
            "attempt 6 of 10",
            id="disruptions and deferrals cost no retry",
        ),
        pytest.param(
            {"jobRef": _attempt(7), "effectiveRetries": 3, "disruptions": 6},
            "attempt 7 of 9",
            id="but no more than five disruptions",
        ),
        pytest.param(
            {"run": 2, "attempts": [_attempt(5)], "effectiveRetries": 4},
            "",
            id="none began of a second run",
        ),
        pytest.param(
            {
                "run": 2,
                "attempts": [_attempt(5)],
                "jobRef": _attempt(1, run=2),
                "effectiveRetries": 4,
            },
            "attempt 1 of 5",
            id="the first of a second run",
        ),
    ],
)
def test_attempts_are_counted(school: School, status: dict[str, Any], words: str) -> None:
    name = f"grade-{school.submission_id}"
    _record(school, _job(name, 5, **status))
    assert attempt_words(_state(school, name)) == words


@pytest.mark.parametrize(
    ("phase", "reason", "called"),
    [
        ("", "", "Accepted"),
        ("Pending", "Delayed", "Scheduled"),
        ("Retrying", "BackingOff", "Scheduled"),
        ("Pending", "Queued", "Queued"),
        ("Pending", "Paused", "Held"),
        ("Pending", "Starting", "Starting"),
        ("Pending", "ImagePullBackOff", "Starting"),
        ("Pending", "ANewReason", "Queued"),
        ("Running", "Running", "Running"),
        ("Succeeded", "Succeeded", "Done"),
        ("Failed", "OOMKilled", "Failed"),
        ("Rejected", "NotAllowed", "Rejected"),
    ],
)
def test_waiting_is_called_by_what_it_waits_for(phase: str, reason: str, called: str) -> None:
    assert state_of(JobState(phase=phase, reason=reason)).name == called


def test_what_came_of_a_program_is_there_for_its_grading(school: School, program: str) -> None:
    _record(school, _job(f"run-{program}", 7, "Succeeded", result=_RESULT))
    with Session(school.engine) as session:
        run = session.get_one(ProgramRun, program)
        assert (run.result, run.problem) == (_RESULT, "")


def test_why_a_program_could_not_be_run_is_there_and_gives_way_to_a_result(
    school: School, program: str
) -> None:
    name = f"run-{program}"
    _record(school, _job(name, 7, "Failed"))
    with Session(school.engine) as session:
        assert session.get_one(ProgramRun, program).problem == "It is Failed."
    _record(school, _job(name, 9, "Succeeded", result=_RESULT))
    with Session(school.engine) as session:
        assert session.get_one(ProgramRun, program).problem == ""


@pytest.mark.parametrize("status", [{}, {"result": {"runs": "many"}}])
def test_of_a_program_whose_output_was_lost_that_is_written_down_and_nothing_graded(
    school: School, program: str, status: dict[str, Any]
) -> None:
    _record(school, _job(f"grade-{program}", 6, "Failed"))
    asked: list[str] = []
    _record(school, _job(f"run-{program}", 7, "Succeeded", **status), asked.append)
    with Session(school.engine) as session:
        run = session.get_one(ProgramRun, program)
        assert (run.result, run.problem) == (None, "what it printed did not arrive")
    assert asked == []


@pytest.mark.parametrize(
    ("phase", "retried"), [("Failed", True), ("Retrying", False), ("Cancelled", False)]
)
def test_grading_that_gave_up_before_the_run_was_seen_is_asked_for_again(
    school: School, program: str, phase: str, retried: bool
) -> None:
    _record(school, _job(f"grade-{program}", 6, phase))
    asked: list[str] = []
    _record(school, _job(f"run-{program}", 7, "Succeeded", result=_RESULT), asked.append)
    assert asked == ([f"grade-{program}"] if retried else [])


def test_a_run_is_written_down_although_its_grading_cannot_be_asked_for(
    school: School, program: str
) -> None:
    def again(_: str) -> None:
        raise UnreachableError("no answer")

    _record(school, _job(f"grade-{program}", 6, "Failed"))
    _record(school, _job(f"run-{program}", 7, "Succeeded", result=_RESULT), again)
    with Session(school.engine) as session:
        assert session.get_one(ProgramRun, program).result == _RESULT


@pytest.mark.parametrize(
    ("minutes", "phases", "reports"),
    [
        pytest.param(1, ["Running", "Succeeded"], 0, id="the submission's own report waits"),
        pytest.param(6, ["Running", "Succeeded", "Succeeded"], 1, id="after an outage"),
        pytest.param(6, ["Failed", "Running", "Succeeded"], 1, id="retried"),
        pytest.param(6, ["Running", "Failed"], 0, id="there is no grade"),
    ],
)
def test_a_grade_that_came_too_late_for_its_report_has_another_one_made(
    school: School, minutes: int, phases: list[str], reports: int
) -> None:
    report = f"report-{school.submission_id}"
    with Session(school.engine) as session:
        submission = session.get_one(Submission, school.submission_id)
        submission.submitted_at = utc_now() - timedelta(minutes=minutes)
        session.commit()
    for version, phase in enumerate(phases, 1):
        _record(school, _job(f"grade-{school.submission_id}", version, phase))
    with school.engine.connect() as connection:
        made = {row.name: row.manifest for row in connection.execute(OUTBOX.table.select())}
    late = [each for name, each in made.items() if name.startswith(f"{report}-")]
    assert [each["spec"] for each in late] == [made[report]["spec"]] * reports


def test_the_states_are_unknown_once_the_api_server_stops_answering() -> None:
    contact = Contact()
    assert contact.unknown_since is None
    contact.is_lost = True
    assert contact.unknown_since == contact.last
    contact.answered()
    assert contact.unknown_since is None
    contact.last = silent = utc_now() - timedelta(minutes=1)
    assert contact.unknown_since == silent


def test_a_service_that_is_started_while_the_api_server_is_away_knows_since_when_it_is(
    school: School,
) -> None:
    assert last_contact(school.engine).unknown_since is None
    before = utc_now() - timedelta(hours=2)
    with Session(school.engine) as session:
        session.add(LastContact(at=before))
        session.commit()
    assert last_contact(school.engine).unknown_since == before


def test_a_service_starts_while_the_database_is_away() -> None:
    away = connect("mysql+pymysql://nobody@127.0.0.1:1/none")
    assert last_contact(away).unknown_since is None


def test_the_page_says_since_when_the_states_are_unknown(school: School) -> None:
    browser = academics.signed_in(academics.client(school), school, STUDENT)
    path = f"/submissions/{school.submission_id}"
    assert "Unknown since" not in browser.get(path).text
    browser.app.state.service.contact.is_lost = True  # type: ignore[attr-defined]
    assert "Unknown since" in browser.get(path).text


def test_the_page_says_that_a_second_attempt_is_running(school: School) -> None:
    browser = academics.signed_in(academics.client(school), school, STUDENT)
    attempts, under_way = [_attempt(1)], _attempt(2)
    name = f"grade-{school.submission_id}"
    _record(school, _job(name, 5, attempts=attempts, jobRef=under_way, effectiveRetries=3))
    text = browser.get(f"/submissions/{school.submission_id}").text
    assert "Running</span>" in text
    assert "Attempt 2 of 4. It is Running." in text


def test_a_page_that_has_not_changed_is_not_sent_again(school: School) -> None:
    browser = academics.signed_in(academics.client(school), school, STUDENT)
    path = f"/submissions/{school.submission_id}"
    headers = {"If-None-Match": browser.get(path).headers["ETag"]}
    assert browser.get(path, headers=headers).status_code == 304
    _record(school, _job(f"grade-{school.submission_id}", 5))
    assert browser.get(path, headers=headers).status_code == 200


def test_a_job_that_was_deleted_under_way_is_gone_and_one_that_had_ended_stays(
    school: School,
) -> None:
    running, done = f"grade-{school.submission_id}", f"notify-{school.submission_id}"
    _leave_the_outbox(school, running, done)
    _record(school, _job(running, 5))
    _record(school, _job(done, 6, "Succeeded"))
    record_gone(school.engine, [running, done])
    assert (_state(school, running).phase, _state(school, done).phase) == ("Gone", "Succeeded")


def test_what_ended_while_the_service_was_away_is_gone_and_what_waits_in_the_outbox_is_not(
    school: School,
) -> None:
    names = [f"{verb}-{school.submission_id}" for verb in ("grade", "notify", "compare", "report")]
    running, done, unseen, waiting = names
    _leave_the_outbox(school, running, done, unseen)
    _record(school, _job(running, 5))
    _record(school, _job(done, 6, "Succeeded"))
    assert expected_names(school.engine) >= {running, unseen}
    assert not expected_names(school.engine) & {done, waiting}
    record_gone(school.engine, names)
    phases = [_state(school, name).phase for name in names]
    assert phases == ["Gone", "Succeeded", "Gone", ""]


def test_a_page_is_marked_as_under_way_until_all_its_jobs_are_over(school: School) -> None:
    browser = academics.signed_in(academics.client(school), school, STUDENT)
    paths = (f"/submissions/{school.submission_id}", f"/courses/{school.course_id}")
    names = [f"{verb}-{school.submission_id}" for verb in ("grade", "notify", "compare", "report")]
    for name in names:
        assert all("data-under-way" in browser.get(path).text for path in paths)
        _record(school, _job(name, 5, "Succeeded"))
    assert not any("data-under-way" in browser.get(path).text for path in paths)


# Retrying.


@pytest.mark.parametrize("who", [INSTRUCTOR, ADMIN])
def test_a_failed_grading_is_retried_by_the_service(school: School, who: str) -> None:
    name = f"grade-{school.submission_id}"
    _record(school, _job(name, 5, "Failed"))
    asked: list[str] = []
    browser = academics.signed_in(academics.client(school, asked.append), school, who)
    form = {"job": name, "form_key": form_key(browser.cookies[COOKIE])}
    answer = browser.post(f"/submissions/{school.submission_id}/retry", data=form)
    assert answer.status_code == 303
    assert asked == [name]


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Pending"])
def test_what_has_not_failed_is_not_retried(school: School, phase: str) -> None:
    name = f"grade-{school.submission_id}"
    _record(school, _job(name, 5, phase))
    asked: list[str] = []
    browser = academics.signed_in(academics.client(school, asked.append), school, INSTRUCTOR)
    path = f"/api/v1/submissions/{school.submission_id}/jobs/{name}/retry"
    answer = browser.post(path)
    assert (answer.status_code, asked) == (400, [])
    assert "Only a job that has failed" in answer.json()["error"]


def test_a_job_of_another_submission_is_not_retried_by_this_one(
    school: School, program: str
) -> None:
    name = f"grade-{program}"
    _record(school, _job(name, 5, "Failed"))
    asked: list[str] = []
    browser = academics.signed_in(academics.client(school, asked.append), school, INSTRUCTOR)
    path = f"/api/v1/submissions/{school.submission_id}/jobs/{name}/retry"
    assert browser.post(path).status_code == 400
    assert asked == []


def test_grading_a_program_that_could_not_be_run_runs_it_again_first(
    school: School, program: str
) -> None:
    for verb in ("run", "grade"):
        _record(school, _job(f"{verb}-{program}", 5, "Failed"))
    asked: list[str] = []
    browser = academics.signed_in(academics.client(school, asked.append), school, INSTRUCTOR)
    answer = browser.post(f"/api/v1/submissions/{program}/jobs/grade-{program}/retry")
    assert answer.status_code == 202
    assert asked == [f"run-{program}", f"grade-{program}"]
    with Session(school.engine) as session:
        assert session.get(ProgramRun, program) is None


def test_grading_a_program_whose_output_was_lost_runs_it_again_under_another_name(
    school: School, program: str
) -> None:
    run, grading = f"run-{program}", f"grade-{program}"
    _record(school, _job(run, 5, "Succeeded"))
    _record(school, _job(grading, 6, "Failed"))
    asked: list[str] = []
    browser = academics.signed_in(academics.client(school, asked.append), school, INSTRUCTOR)
    path = f"/api/v1/submissions/{program}/jobs/{grading}/retry"
    for version in (8, 10):
        assert browser.post(path).status_code == 202
        with Session(school.engine) as session:
            another = academics.job_states(session, program)["RunProgram"]
            assert (another.name.rpartition("-")[0], another.phase) == (run, "")
            assert session.get(ProgramRun, program) is None
        # Lost once more.
        _record(school, _job(another.name, version, "Succeeded"))
    assert asked == [grading] * 2
    with school.engine.connect() as connection:
        made = {row.name: row.manifest for row in connection.execute(OUTBOX.table.select())}
    runs = [each for name, each in made.items() if name.startswith(run)]
    assert [each["spec"] for each in runs] == [made[run]["spec"]] * 3
    # The first is nobody's now.
    _record(school, _job(run, 20, "Succeeded", result=_RESULT))
    with Session(school.engine) as session:
        assert session.get_one(ProgramRun, program).result is None


@pytest.mark.parametrize("phase", ["Failed", "Gone"])
def test_a_job_that_was_deleted_is_made_anew(school: School, program: str, phase: str) -> None:
    names = [f"{verb}-{program}" for verb in ("run", "grade")]
    table = OUTBOX.table
    with school.engine.begin() as connection:
        first = {row.name: row.manifest for row in connection.execute(table.select())}
        connection.execute(table.delete())
    for name in names:
        _record(school, _job(name, 5, "Running" if phase == "Gone" else phase))
    if phase == "Gone":
        record_gone(school.engine, names)

    def again(name: str) -> None:
        raise NoSuchJobError(f"There is no BackgroundJob {name}.")

    browser = academics.signed_in(academics.client(school, again), school, INSTRUCTOR)
    assert f'value="grade-{program}"' in browser.get(f"/submissions/{program}").text
    answer = browser.post(f"/api/v1/submissions/{program}/jobs/grade-{program}/retry")
    assert answer.status_code == 202
    with school.engine.begin() as connection:
        made = {row.name: row.manifest for row in connection.execute(table.select())}
    assert made == {name: first[name] for name in names}
    # Of the new one, whatever its version.
    _record(school, _job(names[0], 1, "Succeeded", result=_RESULT))
    assert [_state(school, name).phase for name in names] == ["Succeeded", ""]


def test_why_the_cluster_does_not_take_a_job_for_now_is_on_the_page_without_a_retry(
    school: School,
) -> None:
    name = f"grade-{school.submission_id}"
    table = OUTBOX.table
    due_at = utc_now() + timedelta(minutes=5)
    refused = {"due_at": due_at, "refusal": "The quota is used up.", "tries": 7}
    with school.engine.begin() as connection:
        connection.execute(table.update().where(table.c.name == name).values(refused))
    browser = academics.signed_in(academics.client(school), school, INSTRUCTOR)
    path = f"/submissions/{school.submission_id}"
    text = browser.get(path).text
    assert "it is tried again: The quota is used up." in text
    assert f'value="{name}"' not in text
    assert browser.post(f"/api/v1{path}/jobs/{name}/retry").status_code == 400
    with school.engine.connect() as connection:
        row = connection.execute(table.select().where(table.c.name == name)).one()
    assert (row.due_at, row.tries) == (due_at, 7)


def test_a_job_that_the_cluster_refused_says_so_and_is_offered_again(school: School) -> None:
    name = f"grade-{school.submission_id}"
    table = OUTBOX.table
    refused = {"due_at": None, "refusal": "It is not on the allowlist.", "tries": 1}
    with school.engine.begin() as connection:
        connection.execute(table.update().where(table.c.name == name).values(refused))
    asked: list[str] = []
    browser = academics.signed_in(academics.client(school, asked.append), school, INSTRUCTOR)
    path = f"/submissions/{school.submission_id}"
    assert "The cluster refused it: It is not on the allowlist." in browser.get(path).text
    form = {"job": name, "form_key": form_key(browser.cookies[COOKIE])}
    assert browser.post(f"{path}/retry", data=form).status_code == 303
    assert asked == []
    assert "The cluster refused it" not in browser.get(path).text
