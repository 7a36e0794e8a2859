"""Follows the BackgroundJobs of the service's namespace, and writes down what it sees.

Pages read that from the database: however many look, the API server has one watch to answer.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from urllib3.exceptions import HTTPError

from academic.analytics import GRADED_WITHIN
from academic.grading import runs_from_result
from academic.service.job_words import GONE, TERMINAL_PHASES
from academic.service.outbox import OUTBOX
from academic.service.retrying import grade_again
from academic.service.submitting import dispatch_report
from academic.store.schema import JobState, LastContact, ProgramRun, Submission, utc_now

logger = logging.getLogger(__name__)

_GONE = 410
_WATCH_SECONDS = 3
"""How long one watch lasts: its end tells that the API server is there."""
_TIMEOUTS = (2, 6)
_PAUSE_SECONDS = 1.0
_STALE_AFTER = timedelta(seconds=8)
_RESOURCE = ("bgjobs.dev", "v1alpha1")
_LOST = "what it printed did not arrive"
_FREE = {"disruptions": 5, "deferrals": 50, "suspensions": 50}
"""Attempts that end so cost no retry, up to that many of them in a run."""


@dataclass
class Contact:
    """When the API server last answered."""

    last: datetime = field(default_factory=utc_now)
    is_lost: bool = False

    def answered(self) -> None:
        self.last, self.is_lost = utc_now(), False

    @property
    def unknown_since(self) -> datetime | None:
        """None while what the pages show is current."""
        return self.last if self.is_lost or utc_now() - self.last > _STALE_AFTER else None


def last_contact(engine: sa.Engine) -> Contact:
    """As the service last had it: it may be started while the API server is away."""
    try:
        with Session(engine) as session:
            there = session.get(LastContact, 1)
    except SQLAlchemyError as error:
        logger.warning("the database does not answer: %s", str(error).splitlines()[0])
        there = None
    return Contact(there.at) if there else Contact()


def track(
    engine: sa.Engine,
    namespace: str,
    contact: Contact,
    again: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Goes on until `stop` is set, whatever happens to the API server or the database.

    By `again` it asks for another run of the job of a name (see `record`).
    """
    while not stop.is_set():
        try:
            _follow(engine, _api(), namespace, contact, again, stop)
        except ConfigException as error:
            contact.is_lost = True
            logger.warning("there is no cluster to follow the jobs in: %s", error)
        except ApiException as error:
            # 410 only means that the watch begins anew, with a list.
            if error.status != _GONE:
                contact.is_lost = True
                logger.warning("the jobs cannot be followed: %s %s", error.status, error.reason)
        except (HTTPError, OSError) as error:
            contact.is_lost = True
            logger.warning("the API server does not answer: %s", error)
        except SQLAlchemyError as error:
            logger.warning("the database does not answer: %s", str(error).splitlines()[0])
        # Whatever it is: a thread that ended would be missed only when nothing goes on.
        except Exception:
            contact.is_lost = True
            logger.exception("the jobs cannot be followed just now")
        stop.wait(_PAUSE_SECONDS)


def _api() -> client.CustomObjectsApi:
    configuration = client.Configuration()
    # Whoever asks is told that there is no answer, and asks again.
    configuration.retries = False
    config.load_config(client_configuration=configuration)
    return client.CustomObjectsApi(client.ApiClient(configuration))


def _follow(
    engine: sa.Engine,
    api: client.CustomObjectsApi,
    namespace: str,
    contact: Contact,
    again: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Returns when `stop` is set; whatever is raised, the next call begins with a list."""
    expected = expected_names(engine)
    listed: Any = api.list_namespaced_custom_object(
        *_RESOURCE, namespace, "backgroundjobs", _request_timeout=_TIMEOUTS
    )
    _answered(engine, contact)
    for job in listed["items"]:
        record(engine, job, again)
    record_gone(engine, expected - {job["metadata"]["name"] for job in listed["items"]})
    version = listed["metadata"]["resourceVersion"]
    while not stop.is_set():
        events: Iterator[Any] = watch.Watch().stream(
            api.list_namespaced_custom_object,
            *_RESOURCE,
            namespace,
            "backgroundjobs",
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_SECONDS,
            _request_timeout=_TIMEOUTS,
        )
        for event in events:
            contact.answered()
            if event["type"] in ("ADDED", "MODIFIED"):
                record(engine, event["object"], again)
            elif event["type"] == "DELETED":
                record_gone(engine, [event["object"]["metadata"]["name"]])
            version = event["object"]["metadata"]["resourceVersion"]
        _answered(engine, contact)


def _answered(engine: sa.Engine, contact: Contact) -> None:
    contact.answered()
    with Session(engine) as session:
        session.merge(LastContact(id=1, at=contact.last))
        session.commit()


def record(engine: sa.Engine, job: Mapping[str, Any], again: Callable[[str], None]) -> None:
    """Writes down the state of one BackgroundJob, unless a newer one is known.

    Asks by `again` for the grading of a program that has run well, where it has failed already:
    it waits for what is written down here, and gives up while this service is away. After a late
    grading, for which no report has waited, another report is made.
    """
    metadata, spec, status = job["metadata"], job["spec"], job.get("status", {})
    version = int(metadata["resourceVersion"])
    # The one under way, or the latest that has ended; those of an earlier run count no longer.
    latest = status.get("jobRef") or (status.get("attempts") or [{}])[-1]
    free = sum(min(status.get(ended, 0), most) for ended, most in _FREE.items())
    values = {
        "phase": status.get("phase", "Pending"),
        "reason": status.get("reason", ""),
        "message": status.get("message", ""),
        "attempt": latest.get("attempt", 0) if latest.get("run") == status.get("run") else 0,
        "attempts_allowed": 1 + status.get("effectiveRetries", spec.get("retries", 0)) + free,
        "next_attempt_at": _time(status.get("nextAttemptTime")),
        "resource_version": version,
    }
    with Session(engine) as session:
        before = session.scalar(sa.select(JobState.phase).where(JobState.name == metadata["name"]))
        changed = session.execute(
            sa.update(JobState)
            .where(JobState.name == metadata["name"], JobState.resource_version < version)
            .values(values)
        )
        is_new = cast(sa.CursorResult[Any], changed).rowcount > 0
        # Asked to run again, it still bears its last end until the operator has seen that.
        runs_again = spec.get("retryRequests", 0) > status.get("observedRetryRequests", 0)
        state = session.get(JobState, metadata["name"]) if is_new else None
        has_run = bool(
            state
            and state.title == "RunProgram"
            and state.phase in TERMINAL_PHASES
            and not runs_again
        )
        can_be_graded = bool(state and has_run and _record_run(session, state, status))
        if state and state.title == "AutomatedGrading" and before != state.phase == "Succeeded":
            _report_if_late(session, state)
        session.commit()
    if can_be_graded:
        grade_again(engine, metadata["name"], again)


def expected_names(engine: sa.Engine) -> Set[str]:
    """Of the jobs under way: one that a later list lacks has ended while nobody looked."""
    with Session(engine) as session:
        return set(session.scalars(sa.select(JobState.name).where(_is_under_way())))


def record_gone(engine: sa.Engine, names: Collection[str]) -> None:
    """Of jobs that were deleted; those that had ended stay as they ended."""
    values = {
        "phase": GONE,
        "message": "Its BackgroundJob was deleted, and how it ended was not seen.",
        "next_attempt_at": None,
    }
    with Session(engine) as session:
        is_one = sa.and_(JobState.name.in_(names), _is_under_way())
        session.execute(sa.update(JobState).where(is_one).values(values))
        session.commit()


def _is_under_way() -> sa.ColumnElement[bool]:
    """Created, for it has left the outbox, and not seen to end."""
    has_left = JobState.name.not_in(sa.select(OUTBOX.table.c.name))
    return sa.and_(has_left, JobState.phase.not_in((GONE, *TERMINAL_PHASES)))


def _record_run(session: Session, state: JobState, status: Mapping[str, Any]) -> bool:
    """Whether it can be graded."""
    result, problem = None, state.message
    if state.phase == "Succeeded":
        result, problem = status.get("result"), ""
        try:
            runs_from_result(result)
        except ValueError:
            # Its pod was gone before, for example.
            result, problem = None, _LOST
    session.merge(ProgramRun(submission_id=state.submission_id, result=result, problem=problem))
    return result is not None


def _report_if_late(session: Session, grading: JobState) -> None:
    """Another report, where the submission's own may have ended without its grade."""
    submission = session.get_one(Submission, grading.submission_id)
    if utc_now() - submission.submitted_at >= GRADED_WITHIN:
        dispatch_report(session, submission)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=None) if text else None
