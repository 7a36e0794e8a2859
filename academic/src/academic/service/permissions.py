"""Who may do what: one table."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

from academic.store.schema import Role, User


class Action(StrEnum):
    SEE_COURSE = "see a course and its assignments"
    SUBMIT = "hand something in"
    SEE_SUBMISSION = "see a submission, its grade and its jobs"
    SEE_COURSE_SUBMISSIONS = "see what a course has handed in"
    OVERRIDE_GRADE = "give another score"
    SEE_FINDINGS = "see passages in common"
    SEE_ANALYTICS = "see a course's analytics"
    RETRY_JOB = "run a failed job again"
    WRITE_ASSIGNMENT = "write an assignment"
    MANAGE_PEOPLE = "add people and courses"


class Reach(IntEnum):
    """Of whom or what somebody may do it."""

    NONE = 0
    OWN = 1
    COURSE = 2
    """Of the courses that they belong to."""
    ALL = 3


_N, _OWN, _COURSE, _ALL = Reach.NONE, Reach.OWN, Reach.COURSE, Reach.ALL
_ROLES = (Role.ADMIN, Role.INSTRUCTOR, Role.STUDENT)
PERMISSIONS: Mapping[Action, Mapping[Role, Reach]] = {
    action: dict(zip(_ROLES, reaches, strict=True))
    for action, *reaches in (
        # action                        admin    instructor  student
        (Action.SEE_COURSE,             _ALL,    _COURSE,    _COURSE),
        (Action.SUBMIT,                 _N,      _N,         _COURSE),
        (Action.SEE_SUBMISSION,         _ALL,    _COURSE,    _OWN),
        (Action.SEE_COURSE_SUBMISSIONS, _ALL,    _COURSE,    _N),
        (Action.OVERRIDE_GRADE,         _N,      _COURSE,    _N),
        (Action.SEE_FINDINGS,           _N,      _COURSE,    _N),
        (Action.SEE_ANALYTICS,          _ALL,    _COURSE,    _N),
        (Action.RETRY_JOB,              _ALL,    _COURSE,    _N),
        (Action.WRITE_ASSIGNMENT,       _N,      _COURSE,    _N),
        (Action.MANAGE_PEOPLE,          _ALL,    _N,         _N),
    )
}  # fmt: skip


class NotPermittedError(Exception):
    """They are signed in, and may not do this."""


def require(
    user: User, action: Action, *, course_id: int | None = None, owner_id: int | None = None
) -> None:
    """Raises NotPermittedError unless `user` may do it in that course, to what that user owns."""
    match PERMISSIONS[action][Role(user.role)]:
        case Reach.ALL:
            return
        case Reach.COURSE if any(course.id == course_id for course in user.courses):
            return
        case Reach.OWN if owner_id == user.id:
            return
    raise NotPermittedError(f"You may not {action}.")


def allows(user: User, action: Action, course_id: int | None = None) -> bool:
    """Whether to offer it."""
    try:
        require(user, action, course_id=course_id)
    except NotPermittedError:
        return False
    return True
