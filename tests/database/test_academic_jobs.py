"""The academic jobs on a real database and a real mail server, run as the runner runs them."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Connection
from sqlalchemy.orm import Session
from tests import academics
from tests.academics import INSTRUCTOR, OTHER_STUDENT, STUDENT, School
from tests.mariadb import fresh_database
from tests.operating import free_port

import academic.jobs
from academic import mail
from academic.analytics import course_analytics
from academic.jobs import (
    AutomatedGrading,
    CheckForPlagiarism,
    GenerateAnalyticsReport,
    NotifyStudentOfSubmission,
)
from academic.sandbox.outputs import digest
from academic.service import coursework
from academic.store.schema import (
    Assignment,
    Finding,
    Grade,
    Notification,
    ProgramRun,
    Report,
    Submission,
    utc_now,
)
from bgjobs_local.processes import ENVIRONMENT
from bgjobs_runner import PermanentFailure, RetryLater
from bgjobs_runner.pytest_plugin import JobRunner

_ESSAY = (
    "A plant cell takes in water through its membrane, because more is dissolved inside than in "
    "the soil around it. This is osmosis, and it goes on until the wall presses back.\n\n"
    "In dry weather the cells lose that water again and the leaves hang down until it rains."
)
_HONEST = (
    "When I put a slice of cucumber into salt, a puddle formed around it within minutes. The salt "
    "had drawn the liquid out of every cell by osmosis: water crosses a membrane towards the side "
    "where more is dissolved.\n\nGardeners know that too much fertilizer burns a lawn the same way."
)


class Postbox:
    """A mail server's own part: it keeps what it is given."""

    url = ""
    refuses_with = ""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _connection: Connection, envelope: Envelope
    ) -> str:
        if self.refuses_with:
            return self.refuses_with
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"


@pytest.fixture(scope="module")
def _school(mariadb: int) -> Iterator[School]:
    school = academics.school(fresh_database(mariadb))
    yield school
    school.engine.dispose()


@pytest.fixture
def postbox() -> Iterator[Postbox]:
    postbox = Postbox()
    controller = Controller(postbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    postbox.url = f"smtp://127.0.0.1:{controller.port}"
    yield postbox
    controller.stop()


@pytest.fixture
def school(_school: School, postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> School:
    """With what the runtime of the jobs gives them."""
    for name, value in _environment(_school, postbox).items():
        monkeypatch.setenv(name, value)
    return _school


def _environment(school: School, postbox: Postbox) -> dict[str, str]:
    return {
        "ACADEMIC_DATABASE_URL": school.engine.url.render_as_string(hide_password=False),
        "ACADEMIC_SMTP_URL": postbox.url,
        "ACADEMIC_MAIL_FROM": "academic@school.example",
        "ACADEMIC_PUBLIC_URL": "http://academic.example/",
    }


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"test-{abs(hash(request.node.nodeid))}"


def _hand_in(school: School, key: str, text: str = _ESSAY, who: str = STUDENT) -> str:
    with Session(school.engine) as session:
        assignment = session.get_one(Assignment, school.essay_id)
        return academics.hand_in(session, who, assignment, text, key).id


def _hand_in_program(school: School, key: str, source: str) -> str:
    with Session(school.engine) as session:
        assignment = session.get_one(Assignment, school.program_id)
        return academics.hand_in(session, STUDENT, assignment, source, key).id


def _told(school: School, submission: str) -> list[str]:
    with Session(school.engine) as session:
        path = f"/submissions/{submission}"
        told = sa.select(Notification.key).where(Notification.path == path)
        return sorted(session.scalars(told))


def test_a_text_is_graded_and_its_student_told_once_however_often_it_runs(
    school: School, key: str, bgjob: JobRunner
) -> None:
    submission = _hand_in(school, key)
    first = bgjob.run(AutomatedGrading, {"submission": submission})
    second = bgjob.run(AutomatedGrading, {"submission": submission}, attempt=2)
    assert first == second
    with Session(school.engine) as session:
        grade = session.get_one(Grade, submission)
        assert {"score": round(grade.score, 1)} == first
        assert [each["name"] for each in grade.criteria] == ["Concepts", "Length"]
        assert all(each["explanation"] for each in grade.criteria)
    assert _told(school, submission) == [f"graded-{submission}"]


def test_an_instructors_score_outlives_another_grading(
    school: School, key: str, bgjob: JobRunner
) -> None:
    submission = _hand_in(school, key)
    bgjob.run(AutomatedGrading, {"submission": submission})
    with Session(school.engine) as session:
        found = session.get_one(Submission, submission)
        instructor = academics.person(session, INSTRUCTOR)
        coursework.override(session, instructor, found, 12, "Copied from the board.")
    bgjob.run(AutomatedGrading, {"submission": submission})
    with Session(school.engine) as session:
        assert session.get_one(Submission, submission).score == 12


def test_grading_a_program_waits_for_its_run_at_no_cost_of_a_retry(
    school: School, key: str, bgjob: JobRunner
) -> None:
    submission = _hand_in_program(school, key, "print(sum(map(int, input().split())))")
    with pytest.raises(RetryLater):
        bgjob.run(AutomatedGrading, {"submission": submission})
    with Session(school.engine) as session:
        assert session.get(Grade, submission) is None


def test_a_program_is_graded_by_what_its_own_job_reported(
    school: School, key: str, bgjob: JobRunner
) -> None:
    submission = _hand_in_program(school, key, "print(7)")
    with Session(school.engine) as session:
        session.add(ProgramRun(submission_id=submission, result=_printed_7()))
        session.commit()
    assert bgjob.run(AutomatedGrading, {"submission": submission}) == {"score": 50.0}
    with Session(school.engine) as session:
        assert len(session.get_one(Grade, submission).criteria) == 2


def _printed_7() -> object:
    """For both inputs, as RunProgram reports it."""
    run = {"outcome": "finished", "exit_code": 0, "output": "7\n", "error": ""}
    return {"runs": [{**run, "digest": digest("7\n")}] * 2}


def test_a_program_that_could_not_be_run_fails_its_grading_for_good_and_says_why(
    school: School, key: str, bgjob: JobRunner
) -> None:
    submission = _hand_in_program(school, key, "print(7)")
    with Session(school.engine) as session:
        session.add(ProgramRun(submission_id=submission, result=None, problem="No image."))
        session.commit()
    with pytest.raises(PermanentFailure, match=r"could not be run: No image\."):
        bgjob.run(AutomatedGrading, {"submission": submission})


def test_the_mail_says_what_has_arrived_and_where_to_look(
    school: School, key: str, postbox: Postbox, bgjob: JobRunner
) -> None:
    submission = _hand_in(school, key)
    result = bgjob.run(NotifyStudentOfSubmission, {"submission": submission})
    [mail] = postbox.mails
    assert result == {"messageId": mail["Message-ID"], "sent": True}
    assert mail["Message-ID"] == f"<submission-{submission}@school.example>"
    assert (mail["To"], mail["From"]) == (f"Ada <{STUDENT}>", "academic@school.example")
    assert f"http://academic.example/submissions/{submission}" in mail.get_payload()
    assert _told(school, submission) == [f"received-{submission}"]


def test_a_mail_that_was_sent_is_not_sent_again(
    school: School, key: str, postbox: Postbox, bgjob: JobRunner
) -> None:
    submission = _hand_in(school, key)
    bgjob.run(NotifyStudentOfSubmission, {"submission": submission})
    again = bgjob.run(NotifyStudentOfSubmission, {"submission": submission}, attempt=2)
    assert isinstance(again, dict)
    assert again["sent"] is False
    assert len(postbox.mails) == 1


def test_a_mail_whose_sending_was_not_recorded_has_the_same_message_id_again(
    school: School,
    key: str,
    postbox: Postbox,
    bgjob: JobRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submission = _hand_in(school, key)
    monkeypatch.setattr("academic.jobs._notify", _dies)
    with pytest.raises(SystemExit):
        bgjob.run(NotifyStudentOfSubmission, {"submission": submission})
    monkeypatch.undo()
    for name, value in _environment(school, postbox).items():
        monkeypatch.setenv(name, value)
    bgjob.run(NotifyStudentOfSubmission, {"submission": submission}, attempt=2)
    first, second = postbox.mails
    assert first["Message-ID"] == second["Message-ID"]


def _dies(*_: object) -> None:
    """As a node that is lost just then."""
    raise SystemExit(1)


def test_a_mail_server_that_refuses_for_now_leaves_the_mail_to_the_next_attempt(
    school: School, key: str, postbox: Postbox, bgjob: JobRunner
) -> None:
    submission = _hand_in(school, key)
    postbox.refuses_with = "451 try again"
    with pytest.raises(Exception, match="451"):
        bgjob.run(NotifyStudentOfSubmission, {"submission": submission})
    assert _told(school, submission) == []
    postbox.refuses_with = ""
    bgjob.run(NotifyStudentOfSubmission, {"submission": submission}, attempt=2)
    assert len(postbox.mails) == 1


def test_a_name_with_a_line_break_adds_no_header(school: School, key: str) -> None:
    submission = _hand_in(school, key)
    settings = mail.MailSettings.from_environment(
        {
            "ACADEMIC_SMTP_URL": "smtp://localhost",
            "ACADEMIC_MAIL_FROM": "a@b.example",
            "ACADEMIC_PUBLIC_URL": "http://x",
        }
    )
    with Session(school.engine) as session:
        found = session.get_one(Submission, submission)
        found.student.name = "Ada\r\nBcc: everybody@school.example"
        with pytest.raises(ValueError, match="CR or LF"):
            mail.confirmation(found, settings)


def test_a_copied_text_is_found_with_its_source_and_an_honest_one_is_not(
    school: School, key: str, bgjob: JobRunner
) -> None:
    source = _hand_in(school, key)
    copied = _hand_in(school, key, f"First of all. {_ESSAY}", OTHER_STUDENT)
    honest = _hand_in(school, f"{key}-h", _HONEST, OTHER_STUDENT)
    for _ in range(2):
        result = bgjob.run(CheckForPlagiarism, {"submission": copied})
        assert isinstance(result, dict)
        assert result["suspicious"] >= 1
    assert bgjob.run(CheckForPlagiarism, {"submission": honest})
    with Session(school.engine) as session:
        finding = session.scalars(
            sa.select(Finding).where(Finding.later_id == copied, Finding.earlier_id == source)
        ).one()
        begin, end, source_begin, source_end = finding.passages[0]
        assert (
            finding.later.content[begin:end].split()
            == finding.earlier.content[source_begin:source_end].split()
        )
        assert list(session.scalars(sa.select(Finding).where(Finding.later_id == honest))) == []


def test_a_student_is_not_compared_with_themselves_nor_with_what_came_later(
    school: School, key: str, bgjob: JobRunner
) -> None:
    text = _ESSAY.replace("plant", "moss").replace("soil", "stone")
    first = _hand_in(school, key, text)
    again = _hand_in(school, f"{key}-2", text)
    later = _hand_in(school, key, text, OTHER_STUDENT)
    for submission in (first, again):
        bgjob.run(CheckForPlagiarism, {"submission": submission})
    with Session(school.engine) as session:
        among = (first, again, later)
        found = sa.select(Finding).where(Finding.later_id.in_(among), Finding.earlier_id.in_(among))
        assert list(session.scalars(found)) == []


def test_a_report_waits_for_the_grade_that_it_has_to_count(
    school: School, key: str, bgjob: JobRunner
) -> None:
    submission = _hand_in(school, key)
    with pytest.raises(RetryLater):
        bgjob.run(GenerateAnalyticsReport, {"submission": submission})
    bgjob.run(AutomatedGrading, {"submission": submission})
    result = bgjob.run(GenerateAnalyticsReport, {"submission": submission})
    assert bgjob.run(GenerateAnalyticsReport, {"submission": submission}) == result
    with Session(school.engine) as session:
        report = session.get_one(Report, school.course_id).content
        count = session.scalar(sa.select(sa.func.count(Submission.id)))
    assert report["submissions"] == count
    assert report["graded"] >= 1
    assert len(json.dumps(result)) <= 3072


def test_a_report_that_was_computed_later_is_not_overwritten(
    school: School, key: str, bgjob: JobRunner
) -> None:
    submission = _hand_in(school, key)
    bgjob.run(AutomatedGrading, {"submission": submission})
    later = utc_now() + timedelta(minutes=1)
    with Session(school.engine) as session:
        session.merge(Report(course_id=school.course_id, content={"of": "more"}, computed_at=later))
        session.commit()
    bgjob.run(GenerateAnalyticsReport, {"submission": submission})
    with Session(school.engine) as session:
        report = session.get_one(Report, school.course_id)
        assert report.content == {"of": "more"}
        session.delete(report)
        session.commit()


def test_the_first_reports_of_a_course_may_be_computed_at_once(
    school: School, key: str, bgjob: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = _hand_in(school, key)
    bgjob.run(AutomatedGrading, {"submission": submission})
    both = threading.Barrier(2)

    def computed(*rows: Any) -> Any:
        analytics = course_analytics(*rows)
        both.wait(timeout=60)
        return analytics

    monkeypatch.setattr(academic.jobs, "course_analytics", computed)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(10):
            with Session(school.engine) as session:
                session.execute(sa.delete(Report))
                session.commit()
            runs = [threads.submit(GenerateAnalyticsReport().handle, submission) for _ in range(2)]
            assert runs[0].result() == runs[1].result()


@pytest.mark.parametrize(
    "job",
    [AutomatedGrading, NotifyStudentOfSubmission, CheckForPlagiarism, GenerateAnalyticsReport],
)
def test_a_submission_that_is_gone_is_not_tried_again(
    school: School, job: type, bgjob: JobRunner
) -> None:
    assert school
    with pytest.raises(PermanentFailure, match="there is no submission"):
        bgjob.run(job, {"submission": "0" * 16})


def _runner(
    school: School, postbox: Postbox, class_: str, submission: str, **changed: str
) -> subprocess.CompletedProcess[str]:
    command = (*("-m", "bgjobs_runner", "run", class_), "--param", f'submission="{submission}"')
    return subprocess.run(
        [sys.executable, *command],
        env={**ENVIRONMENT, **_environment(school, postbox), **changed},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_pod_exits_as_the_contract_says(school: School, key: str, postbox: Postbox) -> None:
    submission = _hand_in(school, key)
    grading = "academic.jobs.AutomatedGrading"
    done = _runner(school, postbox, grading, submission)
    assert done.returncode == 0, done.stderr
    assert '"score"' in done.stdout
    program = _hand_in_program(school, key, "print(7)")
    assert _runner(school, postbox, grading, program).returncode == 75
    without = _runner(school, postbox, grading, submission, ACADEMIC_DATABASE_URL="")
    assert without.returncode == 66
    assert "set ACADEMIC_DATABASE_URL" in without.stdout
