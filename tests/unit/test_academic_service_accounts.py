"""Signing in to the academic service, and out."""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from argon2.exceptions import VerificationError
from sqlalchemy.orm import Session
from tests import academics
from tests.academics import PASSWORD, STUDENT, School

from academic.service import accounts
from academic.service.accounts import Throttle, TooManyFailuresError, WrongPasswordError
from academic.store.schema import Role, SignIn, User, utc_now
from academic.web.context import COOKIE


@pytest.fixture(scope="module")
def school(sqlite_school: School, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    school = academics.copy(sqlite_school, tmp_path_factory.mktemp("school"))
    yield school
    school.engine.dispose()


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_passwords_are_kept_as_argon2_hashes_alone(school: School) -> None:
    with Session(school.engine) as session:
        kept = academics.person(session, STUDENT).password_hash
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@x.org",
        "ada@",
        "a..b@x.org",
        "müller@x.org",
        "stra\u00dfe@x.org",
        "ada@müller.org",
        "ada@-x..org",
        "ada b@x.org",
        "ada@x.org, ben@x.org",
        "Ada <ada@x.org>",
        "ada@x.org\nBcc: ben@x.org",
        "a" * 250 + "@x.org",
    ],
)
def test_an_address_that_no_mail_reaches_is_refused(school: School, email: str) -> None:
    with Session(school.engine) as session, pytest.raises(ValueError, match="e-mail address"):
        accounts.add_user(session, email, "Ada", Role.STUDENT, PASSWORD)


@pytest.mark.parametrize(
    ("email", "kept"),
    [
        ("Ada.B+c@X.example ", "ada.b+c@x.example"),
        ("o'neil@mail", "o'neil@mail"),
    ],
)
def test_an_address_is_kept_in_small_letters(school: School, email: str, kept: str) -> None:
    with Session(school.engine) as session:
        assert accounts.add_user(session, email, "Ada", Role.STUDENT, PASSWORD).email == kept


def test_the_session_is_out_of_reach_of_scripts_and_other_sites(school: School) -> None:
    browser = academics.client(school)
    answer = browser.post("/sign-in", data={"email": STUDENT, "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_the_database_has_no_token_that_would_sign_somebody_in(school: School) -> None:
    browser = academics.signed_in(academics.client(school), school, STUDENT)
    token = browser.cookies[COOKIE]
    with Session(school.engine) as session:
        assert token not in session.scalars(sa.select(SignIn.digest)).all()


@pytest.mark.parametrize(
    ("email", "password"),
    [(STUDENT, "another password"), ("nobody@school.example", PASSWORD), ("", ""), ("'--", "x")],
)
def test_a_wrong_password_and_a_wrong_address_are_told_alike(
    school: School, email: str, password: str
) -> None:
    answer = academics.client(school).post("/sign-in", data={"email": email, "password": password})
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert COOKIE not in answer.cookies


def test_after_five_wrong_passwords_an_address_is_refused_for_a_minute(
    school: School, clock: Clock
) -> None:
    throttle = Throttle(clock)
    with Session(school.engine) as session:
        for _ in range(5):
            with pytest.raises(WrongPasswordError):
                accounts.sign_in(session, throttle, STUDENT, "guess")
        with pytest.raises(TooManyFailuresError):
            accounts.sign_in(session, throttle, STUDENT.upper(), PASSWORD)
        clock.seconds = 61
        assert accounts.sign_in(session, throttle, STUDENT, PASSWORD)


def test_of_many_guesses_at_once_no_more_than_five_are_tried(
    school: School, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle, tried = Throttle(clock), list[str]()

    class Hasher:
        def verify(self, _: str, password: str) -> None:
            """While this one is tried, the next comes."""
            tried.append(password)
            if len(tried) < 9:
                guess()
            raise VerificationError

    def guess() -> None:
        with Session(school.engine) as session:
            accounts.sign_in(session, throttle, STUDENT, "guess")

    monkeypatch.setattr(accounts, "_HASHER", Hasher())
    monkeypatch.setattr(accounts, "_HASHED_AT_ONCE", threading.BoundedSemaphore(9))
    with pytest.raises(TooManyFailuresError):
        guess()
    assert len(tried) == 5


def test_signing_in_often_is_no_guessing(school: School, clock: Clock) -> None:
    throttle = Throttle(clock)
    with Session(school.engine) as session:
        for _ in range(6):
            assert accounts.sign_in(session, throttle, STUDENT, PASSWORD)


def test_guessing_at_one_address_holds_up_no_other(school: School, clock: Clock) -> None:
    throttle = Throttle(clock)
    for _ in range(5):
        throttle.count("guessed@school.example")
    with Session(school.engine) as session:
        assert accounts.sign_in(session, throttle, STUDENT, PASSWORD)


@pytest.mark.parametrize("email", ["áda@school.example", "a" * 250 + "@x.org", ""])
def test_what_is_no_address_signs_nobody_in_and_is_not_remembered(
    school: School, clock: Clock, email: str
) -> None:
    throttle = Throttle(clock)
    with Session(school.engine) as session:
        # As databases find it that ignore accents.
        academics.person(session, STUDENT).email = email
        session.flush()
        for _ in range(6):
            with pytest.raises(WrongPasswordError):
                accounts.sign_in(session, throttle, email, PASSWORD)


def test_a_session_ends_when_it_expires_and_when_its_user_signs_out(school: School) -> None:
    browser = academics.signed_in(academics.client(school), school, STUDENT)
    token = browser.cookies[COOKIE]
    browser.post("/sign-out", data={"form_key": accounts.form_key(token)})
    browser.cookies.set(COOKIE, token)
    assert browser.get("/").status_code == 401
    academics.signed_in(browser, school, STUDENT)
    with Session(school.engine) as session:
        session.execute(sa.update(SignIn).values(expires_at=utc_now()))
        session.commit()
    assert browser.get("/").status_code == 401


def test_signing_in_leads_to_the_page_that_was_asked_for_and_never_elsewhere(
    school: School,
) -> None:
    browser = academics.client(school)
    for wanted, got in (
        ("/courses/1?x=1", "/courses/1?x=1"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
    ):
        answer = browser.post(
            "/sign-in", data={"email": STUDENT, "password": PASSWORD, "next": wanted}
        )
        assert answer.headers["Location"] == got


@pytest.mark.parametrize(
    ("email", "name", "password", "problem"),
    [
        ("ada", "Ada", PASSWORD, "e-mail address"),
        ("a b@school.example", "Ada", PASSWORD, "e-mail address"),
        ("a@school.example\r\nBcc: x@y.z", "Ada", PASSWORD, "e-mail address"),
        ("x@school.example", "", PASSWORD, "a name"),
        ("x@school.example", "Ada\n", "short", "password"),
        (STUDENT.upper(), "Ada", PASSWORD, "has an account already"),
    ],
)
def test_no_account_is_made_of_nonsense(
    school: School, email: str, name: str, password: str, problem: str
) -> None:
    with Session(school.engine) as session:
        before = session.scalar(sa.select(sa.func.count(User.id)))
        with pytest.raises(ValueError, match=problem):
            accounts.add_user(session, email, name, Role.STUDENT, password)
        assert session.scalar(sa.select(sa.func.count(User.id))) == before


def test_programs_sign_in_for_a_token(school: School) -> None:
    program = academics.client(school)
    given = {"email": STUDENT, "password": PASSWORD}
    token = program.post("/api/v1/sessions", json=given).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert program.get("/api/v1/me", headers=headers).json()["email"] == STUDENT
    assert program.delete("/api/v1/sessions", headers=headers).status_code == 204
    assert program.get("/api/v1/me", headers=headers).status_code == 401
