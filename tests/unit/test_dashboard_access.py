"""Who is let in, for how long, and what a session holds."""

import pytest

from bgjobs.dashboard.access import CURRENT_FOR_SECONDS, ForbiddenError, Gate, SignedOutError
from bgjobs.dashboard.cluster import Reviewed
from bgjobs.dashboard.session import Sessions

_KEY = "k" * 32


class _Cluster:
    """Answers reviews, and counts them."""

    def __init__(self) -> None:
        self.answer: Reviewed | None = Reviewed("ann", may_look=True)
        self.asked = 0
        self.seconds = 0.0

    def review(self, _: str) -> Reviewed | None:
        self.asked += 1
        return self.answer


@pytest.fixture
def cluster() -> _Cluster:
    return _Cluster()


@pytest.fixture
def gate(cluster: _Cluster) -> Gate:
    return Gate(cluster.review, lambda: cluster.seconds)


def test_whoever_may_look_is_let_in_and_not_asked_about_each_time(
    gate: Gate, cluster: _Cluster
) -> None:
    assert [gate.admit("token").user for _ in range(3)] == ["ann"] * 3
    assert cluster.asked == 1


def test_a_right_that_is_taken_away_ends_within_seconds(gate: Gate, cluster: _Cluster) -> None:
    gate.admit("token")
    cluster.answer = Reviewed("ann", may_look=False)
    cluster.seconds += CURRENT_FOR_SECONDS
    with pytest.raises(ForbiddenError):
        gate.admit("token")


def test_a_token_that_has_expired_signs_out(gate: Gate, cluster: _Cluster) -> None:
    gate.admit("token")
    cluster.answer, cluster.seconds = None, CURRENT_FOR_SECONDS
    with pytest.raises(SignedOutError):
        gate.admit("token")


@pytest.mark.parametrize("token", [None, ""])
def test_nobody_is_not_asked_about(gate: Gate, cluster: _Cluster, token: str | None) -> None:
    with pytest.raises(SignedOutError):
        gate.admit(token)
    assert cluster.asked == 0


def test_a_cookie_gives_its_token_to_the_key_that_made_it_alone() -> None:
    sessions, others = Sessions(_KEY), Sessions("another key of 32 characters ...")
    sealed = sessions.seal("token")
    assert "token" not in sealed
    assert sessions.token({sessions.cookie: sealed}) == "token"
    assert others.token({others.cookie: sealed}) is None


def test_dashboards_of_two_clusters_leave_each_others_cookies_alone() -> None:
    """A browser sends those of 127.0.0.1 to every port of it."""
    sessions, others = Sessions(_KEY), Sessions("another key of 32 characters ...")
    cookies = {each.cookie: each.seal(name) for each, name in ((sessions, "a"), (others, "b"))}
    assert (sessions.token(cookies), others.token(cookies)) == ("a", "b")


def test_a_session_ends_after_eight_hours() -> None:
    signed_in_at = 1_800_000_000.0
    sessions = Sessions(_KEY, lambda: signed_in_at)
    cookies = {sessions.cookie: sessions.seal("token")}

    def after(hours: float) -> str | None:
        return Sessions(_KEY, lambda: signed_in_at + hours * 3600).token(cookies)

    assert (after(7.99), after(8.01)) == ("token", None)


@pytest.mark.parametrize("cookie", ["", "forged", "gAAAAA", "ü"])
def test_a_forged_cookie_is_no_session(cookie: str) -> None:
    sessions = Sessions(_KEY)
    assert sessions.token({sessions.cookie: cookie}) is None


def test_a_token_too_long_for_a_cookie_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="kubectl create token"):
        Sessions(_KEY).seal("x" * 4000)


def test_a_form_is_taken_from_its_own_session_only() -> None:
    sessions = Sessions(_KEY)
    ann, eve = ({sessions.cookie: sessions.seal(each)} for each in ("ann", "eve"))
    assert sessions.is_form_key(ann, sessions.form_key(ann))
    assert not sessions.is_form_key(ann, sessions.form_key(eve))
    assert not sessions.is_form_key(ann, "ü")
