"""Accounts: passwords, and the sessions of those who have signed in."""

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from academic.store.schema import Role, SignIn, User, utc_now

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*", re.ASCII | re.IGNORECASE)
"""A dot-atom of RFC 5322 at a domain, which every mail server takes."""
SESSION_SECONDS = 8 * 3600
SHORTEST_PASSWORD = 10
# By OWASP's figures for argon2id, as many at once as the service has memory for.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_HASHED_AT_ONCE = threading.BoundedSemaphore(4)
_NOBODYS = _HASHER.hash(secrets.token_hex())
"""Compared with where nobody has that address, so that the time tells nothing."""
_FAILURES = 5
_FAILURES_WITHIN_SECONDS = 60.0
_ADDRESSES = 10_000


class WrongPasswordError(Exception):
    """Address and password do not belong together."""


class TooManyFailuresError(Exception):
    """Somebody guesses."""


class Throttle:
    """Refuses an address after five wrong passwords within a minute, until that is over."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._attempts: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def count(self, address: str) -> None:
        """An attempt, wrong until `succeeded` says otherwise. Raises TooManyFailuresError."""
        with self._lock:
            recent = self._recent(address)
            if len(recent) >= _FAILURES:
                raise TooManyFailuresError
            if len(self._attempts) >= _ADDRESSES:  # or made-up addresses would fill the memory
                self._attempts.clear()
            self._attempts[address] = [*recent, self._seconds()]

    def succeeded(self, address: str) -> None:
        """An attempt that was counted."""
        with self._lock:
            self._attempts[address] = self._recent(address)[:-1]

    def _recent(self, address: str) -> list[float]:
        since = self._seconds() - _FAILURES_WITHIN_SECONDS
        return [at for at in self._attempts.get(address, ()) if at > since]


def add_user(session: Session, email: str, name: str, role: Role, password: str) -> User:
    """Raises ValueError where something is missing, or, after a rollback, the address is taken."""
    email, name = email.strip(), name.strip()
    if not _is_address(email):
        raise ValueError("Give an e-mail address, such as ada@example.org.")
    if not name or len(name) > 100 or not name.isprintable():
        raise ValueError("Give a name of at most 100 characters.")
    if not SHORTEST_PASSWORD <= len(password) <= 200:
        raise ValueError(f"Give a password of {SHORTEST_PASSWORD} to 200 characters.")
    email = email.casefold()
    user = User(email=email, name=name, role=role, password_hash=_HASHER.hash(password))
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise ValueError(f"{email} has an account already.") from error
    return user


def sign_in(session: Session, throttle: Throttle, email: str, password: str) -> str:
    """The token of a new session. Raises WrongPasswordError or TooManyFailuresError."""
    email = email.strip()
    # Else the throttle kept whatever is sent, and databases that ignore accents find ada for áda.
    if not _is_address(email):
        raise WrongPasswordError
    email = email.casefold()
    user = session.scalar(sa.select(User).where(User.email == email))
    throttle.count(email)
    try:
        with _HASHED_AT_ONCE:
            _HASHER.verify(user.password_hash if user else _NOBODYS, password)
    except (VerificationError, InvalidHashError) as error:
        raise WrongPasswordError from error
    if user is None:
        raise WrongPasswordError
    throttle.succeeded(email)
    return begin_session(session, user)


def begin_session(session: Session, user: User) -> str:
    """The token of a new session of this user; those that have ended are removed."""
    token = secrets.token_urlsafe(32)
    session.execute(sa.delete(SignIn).where(SignIn.expires_at < utc_now()))
    expires_at = utc_now() + timedelta(seconds=SESSION_SECONDS)
    session.add(SignIn(digest=_digest(token), user_id=user.id, expires_at=expires_at))
    return token


def user_of(session: Session, token: str) -> User | None:
    """None where the token is unknown, or its session has ended."""
    found = session.get(SignIn, _digest(token))
    return found.user if found and found.expires_at > utc_now() else None


def sign_out(session: Session, token: str) -> None:
    session.execute(sa.delete(SignIn).where(SignIn.digest == _digest(token)))


def form_key(token: str) -> str:
    """What a form of this session carries, so that no other site can send it (CSRF)."""
    return hmac.new(token.encode(), b"form", "sha256").hexdigest()


def is_form_key(token: str, given: str) -> bool:
    return hmac.compare_digest(form_key(token).encode(), given.encode())


def _is_address(email: str) -> bool:
    return len(email) <= 254 and _EMAIL.fullmatch(email) is not None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
