"""What the API server said to starts that it refused, and when they are tried again."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.observation import Refusal
from bgjobs.domain.resource import Reason
from bgjobs.kube.api import ApiError

_REFUSED_FOR = timedelta(seconds=30)
_CONFLICT_FOR = timedelta(seconds=10)
_BUSY_FOR = timedelta(seconds=5)
_NAMESPACE_ENDS_FOR = timedelta(minutes=5)


class Refusals:
    """The latest of each BackgroundJob. Losing them costs no more than another try."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._refusals: dict[str, Refusal] = {}
        self._under: Configuration | None = None

    def get(self, uid: str, configuration: Configuration) -> Refusal | None:
        """Under another configuration nothing is refused yet: what is mended is tried at once."""
        if self._under is not configuration:
            self._under = configuration
            self._refusals.clear()
        return self._refusals.get(uid)

    def forget(self, uid: str) -> None:
        self._refusals.pop(uid, None)

    def add_conflict(self, uid: str, message: str) -> bool:
        """Somebody else's Job has the name. Whether that is news."""
        is_news = uid not in self._refusals
        self._hold_back(uid, Reason.ADOPTION_CONFLICT, message, _CONFLICT_FOR)
        return is_news

    def add(self, uid: str, namespace: str, runtime: str, error: ApiError) -> None:
        """Holds the job back for as long as the API server's answer means; others may start."""
        if error.is_of_ending_namespace:
            message = f"Namespace {namespace} is being deleted, and this job with it."
            retry_at = self._now() + _NAMESPACE_ENDS_FOR
            self._refusals[uid] = Refusal(
                reason=Reason.QUEUED, message=message, retry_at=retry_at, tries=1
            )
        elif error.status == 403 and "exceeded quota" in error.message:
            self._hold_back(uid, Reason.QUOTA_EXCEEDED, error.message, _REFUSED_FOR)
        elif error.status in (400, 403, 404, 413, 422):
            message = (
                f"The API server refuses the Job of runtime {runtime}; a platform "
                f"engineer mends it in ConfigMap bgjobs-runtimes, and it is tried again: {error}"
            )
            self._hold_back(uid, Reason.CONFIGURATION_INVALID, message, _REFUSED_FOR)
        else:
            message = f"The API server does not take the Job at present; it is tried again: {error}"
            self._hold_back(uid, Reason.QUEUED, message, _BUSY_FOR)

    def _hold_back(self, uid: str, reason: Reason, message: str, longest: timedelta) -> None:
        """Tries again after 2 s, 4 s and so on, at most every `longest`."""
        before = self._refusals.get(uid)
        tries = before.tries + 1 if before and before.reason is reason else 1
        pause = min(longest, timedelta(seconds=2 ** min(tries, 10)))
        self._refusals[uid] = Refusal(
            reason=reason, message=message, retry_at=self._now() + pause, tries=tries
        )
