"""Runs a job again that has not succeeded."""

import logging
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from academic.service.job_words import GONE
from academic.service.outbox import OUTBOX, refusals
from academic.service.permissions import Action, require
from academic.service.submitting import RefusedError, dispatch_again
from academic.store.schema import JobState, ProgramRun, Submission, User
from bgjobs.client import ClientError, NoSuchJobError

logger = logging.getLogger(__name__)

RETRIED_PHASES = ("Failed", "Cancelled", "Rejected", GONE)


def retry(
    session: Session, user: User, submission: Submission, name: str, again: Callable[[str], None]
) -> None:
    """Asks by `again` for another run of the submission's job of that name. Commits.

    A job that the API server refused to create is offered to it again, and one that was deleted
    is made anew. Grading a program that could not be run, or whose output was lost, runs the
    program again, too: without that the same would come of it. Raises NotPermittedError,
    RefusedError and what `again` raises.
    """
    require(user, Action.RETRY_JOB, course_id=submission.assignment.course_id)
    jobs = {job.name: job for job in submission.jobs}
    job = jobs.get(name)
    if job and any(refusal.is_final for refusal in refusals(session, [name]).values()):
        OUTBOX.retry_refused(session, name)
        session.commit()
        return
    if job is None or job.phase not in RETRIED_PHASES:
        raise RefusedError("Only a job that has failed, was cancelled or deleted can be run again.")
    for each in (*_awaited(session, job, jobs), job):
        if each.title == "RunProgram":
            session.execute(sa.delete(ProgramRun).where(ProgramRun.submission_id == submission.id))
            session.commit()
        _run_again(session, submission, each, again)


def grade_again(engine: sa.Engine, run: str, again: Callable[[str], None]) -> None:
    """Grades a program whose run of that name was seen after its grading had given up."""
    with Session(engine) as session:
        submission = session.get_one(Submission, session.get_one(JobState, run).submission_id)
        for job in submission.jobs:
            if job.title == "AutomatedGrading" and job.phase == "Failed":
                try:
                    _run_again(session, submission, job, again)
                except ClientError as error:
                    logger.warning("%s has to be retried by hand: %s", job.name, error)


def _run_again(
    session: Session, submission: Submission, job: JobState, again: Callable[[str], None]
) -> None:
    if job.phase == "Succeeded":
        dispatch_again(session, submission, job)
    else:
        try:
            again(job.name)
        except NoSuchJobError:
            dispatch_again(session, submission, job)
    session.commit()


def _awaited(session: Session, job: JobState, jobs: dict[str, JobState]) -> list[JobState]:
    if job.title != "AutomatedGrading":
        return []
    run = session.get(ProgramRun, job.submission_id)
    is_lost = run is None or run.result is None
    phases = (*RETRIED_PHASES, "Succeeded") if is_lost else RETRIED_PHASES
    return [each for each in jobs.values() if each.title == "RunProgram" and each.phase in phases]
