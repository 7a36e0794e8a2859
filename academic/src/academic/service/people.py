"""Accounts, courses, and who belongs to which, as an admin keeps them."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from academic.service.accounts import add_user
from academic.store.schema import Course, Role, User


def everybody(session: Session) -> Sequence[User]:
    statement = sa.select(User).order_by(User.role, User.name).options(selectinload(User.courses))
    return session.scalars(statement).all()


def add(session: Session, email: str, name: str, role: str, password: str) -> User:
    """Commits. Raises ValueError, which says what is wrong."""
    if role not in tuple(Role):
        raise ValueError(f"A role is one of {', '.join(Role)}.")
    user = add_user(session, email, name, Role(role), password)
    session.commit()
    return user


def add_course(session: Session, code: str, title: str) -> Course:
    """Commits. Raises ValueError, which says what is wrong."""
    code, title = code.strip(), title.strip()
    if not 1 <= len(code) <= 20 or not 1 <= len(title) <= 200 or not (code + title).isprintable():
        raise ValueError("Give a code of at most 20 characters, and a title of at most 200.")
    course = Course(code=code, title=title)
    session.add(course)
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        raise ValueError(f"There is a course {code} already.") from error
    return course


def enrol(session: Session, email: str, course_id: int) -> None:
    """Commits. Raises ValueError, which says what is wrong."""
    email = email.strip().casefold()
    user = session.scalar(sa.select(User).where(User.email == email))
    course = session.get(Course, course_id)
    if user is None or user.role == Role.ADMIN:
        raise ValueError(f"{email or 'Nobody'} is no student or instructor with an account here.")
    if course is None:
        raise ValueError("There is no such course.")
    if course not in user.courses:
        user.courses.append(course)
    try:
        session.commit()
    except IntegrityError:
        # Another has enrolled them just now.
        session.rollback()
