"""Sessions: the Kubernetes token of whoever has signed in, encrypted in a cookie."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping

from cryptography.fernet import Fernet, InvalidToken

SECONDS = 8 * 3600
"""How long a session lasts; a token that expires earlier ends it earlier."""
MAX_COOKIE_BYTES = 4000
"""Browsers drop larger cookies without a word."""


class Sessions:
    """Nothing is kept here, so any replica takes any session."""

    def __init__(self, key: str, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix time in seconds."""
        self._clock = clock
        self._key = hashlib.sha256(key.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(self._key))
        # Cookies know no ports: dashboards of two clusters are both forwarded to 127.0.0.1.
        self.cookie = f"bgjobs_session_{hashlib.sha256(self._key).hexdigest()[:8]}"

    def seal(self, token: str) -> str:
        """Raises ValueError where the token is too long for a cookie."""
        cookie = self._fernet.encrypt_at_time(token.encode(), int(self._clock())).decode()
        if len(cookie) > MAX_COOKIE_BYTES:
            raise ValueError(
                f"The token has {len(token)} characters, and a cookie holds about 2,900. "
                "Use a shorter one, such as kubectl create token gives."
            )
        return cookie

    def token(self, cookies: Mapping[str, str]) -> str | None:
        """None where nobody has signed in, or so long ago that the session has ended."""
        try:
            cookie, now = cookies.get(self.cookie, ""), int(self._clock())
            return self._fernet.decrypt_at_time(cookie, SECONDS, now).decode()
        except (InvalidToken, ValueError):
            return None

    def form_key(self, cookies: Mapping[str, str]) -> str:
        """What a form of this session carries, so that no other site can send it (CSRF)."""
        return hmac.new(self._key, cookies.get(self.cookie, "").encode(), "sha256").hexdigest()

    def is_form_key(self, cookies: Mapping[str, str], given: str) -> bool:
        return hmac.compare_digest(self.form_key(cookies).encode(), given.encode())
