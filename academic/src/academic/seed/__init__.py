"""A course office's first week: people, two courses, and what was handed in."""

import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from importlib import resources

import sqlalchemy as sa
from sqlalchemy.orm import Session

from academic.service.accounts import add_user
from academic.service.submitting import submit
from academic.store.schema import Assignment, Course, Kind, Role, User, utc_now

_PEOPLE = (
    ("admin@academic.example", "Iris Admin", Role.ADMIN),
    ("mira@academic.example", "Mira Okoye", Role.INSTRUCTOR),
    ("ada@academic.example", "Ada Brandt", Role.STUDENT),
    ("ben@academic.example", "Ben Castillo", Role.STUDENT),
    ("chen@academic.example", "Chen Wei", Role.STUDENT),
    ("dana@academic.example", "Dana Novak", Role.STUDENT),
    ("elif@academic.example", "Elif Demir", Role.STUDENT),
)
_RUBRIC = {
    "criteria": [
        {
            "kind": "terms",
            "name": "Concepts",
            "weight": 5,
            "concepts": [
                {
                    "name": "osmosis",
                    "forms": ["osmosis", "osmotic"],
                    "context": ["water", "membrane", "concentration", "dissolved"],
                },
                {
                    "name": "turgor",
                    "forms": ["turgor"],
                    "context": ["pressure", "wall", "vacuole", "stiff", "water"],
                },
                {
                    "name": "plasmolysis",
                    "forms": ["plasmolysis", "plasmolysed"],
                    "context": ["membrane", "wall", "salt", "shrink", "water"],
                },
            ],
        },
        {"kind": "structure", "name": "Structure", "weight": 2, "paragraphs": 3},
        {"kind": "length", "name": "Length", "weight": 2, "minimum": 120, "maximum": 400},
        {"kind": "readability", "name": "Readability", "weight": 1, "minimum": 40},
    ]
}
_CASES = [
    {"input": "3 1 2\n", "expected_output": "2.0\n"},
    {"input": "4 1 3 2\n", "expected_output": "2.5\n"},
    {"input": "", "expected_output": "no numbers\n", "hidden": True},
    {"input": "-1.5 10\n2.5\n", "expected_output": "2.5\n", "hidden": True},
]
_ESSAY_PROMPT = (
    "Explain how water gets into a plant cell and out of it, and what that does to the plant. "
    "Use the terms osmosis, turgor and plasmolysis, say what each of them is, and give an example "
    "that can be seen without a microscope. Write for somebody who has never studied biology."
)
_PROGRAM_PROMPT = (
    "Read numbers from standard input until it ends; they are separated by spaces or line ends. "
    "Print their median with one digit after the point. Of an even count it is the mean of the two "
    "in the middle. Where there is no number, print “no numbers”."
)
_HANDED_IN = (
    # who, which text, of the essay or the program
    ("ada", "osmosis-ada", Kind.TEXT),
    ("ben", "osmosis-ben", Kind.TEXT),
    ("dana", "osmosis-dana", Kind.TEXT),
    ("chen", "osmosis-chen", Kind.TEXT),
    ("ada", "median-ada", Kind.PROGRAM),
    ("ben", "median-ben", Kind.PROGRAM),
    ("elif", "median-elif", Kind.PROGRAM),
)


def seed(engine: sa.Engine, password: str = "") -> Iterator[str]:
    """Fills an empty database, and yields what somebody who wants to look has to know.

    The jobs of what was handed in are in the outbox: the service has them run. Raises ValueError
    where the database has people already.
    """
    password = password or secrets.token_urlsafe(9)
    with Session(engine) as session:
        if session.scalar(sa.select(User.id).limit(1)) is not None:
            raise ValueError("The database has people already: seed fills an empty one.")
        users = {
            email.partition("@")[0]: add_user(session, email, name, role, password)
            for email, name, role in _PEOPLE
        }
        biology = Course(code="BIO-101", title="Cells and tissues")
        computing = Course(code="CS-102", title="Introduction to programming")
        session.add_all((biology, computing))
        for user in users.values():
            if user.role != Role.ADMIN:
                user.courses.extend((biology, computing))
        assignments = {
            Kind.TEXT: _assignment(
                biology, "Water in a plant", Kind.TEXT, _ESSAY_PROMPT, json.dumps(_RUBRIC, indent=2)
            ),
            Kind.PROGRAM: _assignment(
                computing, "The median", Kind.PROGRAM, _PROGRAM_PROMPT, json.dumps(_CASES, indent=2)
            ),
        }
        session.add_all(assignments.values())
        session.commit()
        for who, text, kind in _HANDED_IN:
            content = (resources.files(__name__) / "texts" / f"{text}.txt").read_text("utf-8")
            submit(session, users[who], assignments[kind], f"seed-{text}", content)
        count = len(_HANDED_IN)
    yield f"{len(_PEOPLE)} people, 2 courses, 2 assignments, {count} submissions. Sign in as"
    for email, _, role in _PEOPLE:
        yield f"  {email:<26} {role}"
    yield f"each with the password {password}"


def _assignment(course: Course, title: str, kind: Kind, prompt: str, rubric: str) -> Assignment:
    due_at = (utc_now() + timedelta(days=14)).replace(hour=12, minute=0, second=0, microsecond=0)
    return Assignment(
        course=course, title=title, kind=kind, prompt=prompt, rubric=rubric, due_at=due_at
    )
