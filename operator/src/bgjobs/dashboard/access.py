"""Who may look: whoever may `get` the virtual resource dashboards.bgjobs.dev."""

import hashlib
import threading
from collections.abc import Callable
from typing import NamedTuple

from bgjobs.dashboard.cluster import Reviewed

CURRENT_FOR_SECONDS = 30
"""How long an answer of the API server counts: a right that was taken away ends as soon."""


class SignedOutError(Exception):
    """Nobody has signed in, or the session or its token has expired."""


class ForbiddenError(Exception):
    """They are known, and may not look."""

    def __init__(self, user: str) -> None:
        super().__init__(f"{user} may not get dashboards.bgjobs.dev")
        self.user = user


class Viewer(NamedTuple):
    user: str
    token: str


class Gate:
    """Lets in whom the API server knows and lets look."""

    def __init__(
        self, review: Callable[[str], Reviewed | None], seconds: Callable[[], float]
    ) -> None:
        self._review = review
        self._seconds = seconds
        self._answers: dict[bytes, tuple[float, Reviewed | None]] = {}
        self._lock = threading.Lock()

    def admit(self, token: str | None) -> Viewer:
        """Raises SignedOutError or ForbiddenError, or what the Kubernetes client raises."""
        reviewed = self._reviewed(token) if token else None
        if token is None or reviewed is None:
            raise SignedOutError
        if not reviewed.may_look:
            raise ForbiddenError(reviewed.user)
        return Viewer(reviewed.user, token)

    def _reviewed(self, token: str) -> Reviewed | None:
        digest = hashlib.sha256(token.encode()).digest()
        known = self._answers.get(digest)
        if known is not None and self._seconds() < known[0]:
            return known[1]
        reviewed = self._review(token)
        with self._lock:
            now = self._seconds()
            self._answers = {d: answer for d, answer in self._answers.items() if now < answer[0]}
            if reviewed is not None:  # or tokens made up would fill the memory
                self._answers[digest] = (now + CURRENT_FOR_SECONDS, reviewed)
        return reviewed
