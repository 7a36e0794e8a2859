"""What the operator last saw of BackgroundJobs, child Jobs and pods, slim, by owner's uid."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from bgjobs.domain.observation import ChildJob, Pod
from bgjobs.domain.resource import BackgroundJob

TRUSTED_FOR = timedelta(seconds=30)
"""How long a watch of BackgroundJobs may be silent before a start asks the API server first."""
_OVER_REMEMBERED = 10_000


class RestoredError(Exception):
    """The API server has older objects than it had: it was restored from a backup.

    Views keep the newer of two, so that this process would never see what there is now.
    """


def check_not_restored(version: int, known_before: int) -> None:
    """Raises RestoredError where an object is older than it was known to be before it was read."""
    if version < known_before:
        raise RestoredError


class Doubt(enum.Enum):
    """What a view of a BackgroundJob may be wrong about, until somebody looks."""

    JOB = "it left its watch: gone, or only no longer selected"
    CHILD = "its child Job may have changed without a watch to tell"
    START = "a start was sent and not answered"


class Views:
    """The newest known state; the operator's own writes count before a watch shows them.

    Of the child Jobs and pods of one BackgroundJob only those of its latest
    attempt are kept.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, BackgroundJob] = {}
        self._children: dict[str, ChildJob] = {}
        self._pods: dict[str, Pod] = {}
        self._failures: dict[str, tuple[str, str]] = {}
        self._over: dict[str, None] = {}
        self._heard_at = self._heard_since = datetime.min.replace(tzinfo=UTC)
        self._doubted: dict[Doubt, set[str]] = {doubt: set() for doubt in Doubt}

    def listed(self, at: datetime) -> None:
        """All BackgroundJobs were read anew, at that time or later."""
        self._heard_at, self._heard_since = at, at - TRUSTED_FOR

    def heard(self, at: datetime) -> None:
        """The watch of BackgroundJobs said something. After a silence that may be old news."""
        if at - self._heard_at >= TRUSTED_FOR:
            self._heard_since = at
        self._heard_at = at

    def is_trusted(self, job: BackgroundJob, now: datetime) -> bool:
        """Whether a view is young for sure: it is no older than its object, at the most."""
        if now - job.metadata.creation_timestamp < TRUSTED_FOR:
            return True
        return now - self._heard_at < TRUSTED_FOR <= now - self._heard_since

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._jobs))

    def versions(self) -> dict[str, int]:
        """Of all BackgroundJobs: what is read from here on is older only after a restore."""
        return {uid: job.metadata.version for uid, job in self._jobs.items()}

    def job(self, uid: str) -> BackgroundJob | None:
        return self._jobs.get(uid)

    def name(self, uid: str) -> str:
        """namespace/name, as people write it; the uid of what is not known."""
        job = self._jobs.get(uid)
        return uid if job is None else job.key

    def child(self, uid: str) -> ChildJob | None:
        return self._children.get(uid)

    def pod(self, uid: str) -> Pod | None:
        return self._pods.get(uid)

    def put_job(self, job: BackgroundJob) -> bool:
        """Keeps the newer of the two.

        Whether that is news: what the operator wrote itself, its watch tells once more.
        """
        uid, version = job.metadata.uid, job.metadata.version
        old = self._jobs.get(uid)
        if uid in self._over or (old is not None and version < old.metadata.version):
            return False
        self._jobs[uid] = job
        return old is None or version > old.metadata.version

    def put_child(self, uid: str, child: ChildJob) -> None:
        """Keeps the newest of the latest attempt; what is gone never comes back."""
        old = self._children.get(uid)
        if old is None or _order(child) > _order(old) or _is_newer_view(child, old):
            self._children[uid] = child

    def take_child(self, uid: str, child: ChildJob) -> None:
        """Keeps the one of the attempt under way, also if a later attempt's was known.

        So it is where somebody sets a status back.
        """
        old = self._children.get(uid)
        if old is None or old.uid != child.uid or _is_newer_view(child, old):
            self._children[uid] = child

    def put_pod(self, uid: str, pod: Pod) -> bool:
        """Keeps the newest pod of the latest attempt, and of its child Job alone.

        Whether that is news: more than another resourceVersion.
        """
        child, old = self._children.get(uid), self._pods.get(uid)
        # Until a start is answered, its pod may be told of before its child Job is known.
        if child is not None and not self.is_doubted(uid, Doubt.START):
            if pod.owner_uid != child.uid:
                return False
            if old is not None and old.owner_uid != child.uid:
                old = None
        if old is not None and _age(pod) < _age(old):
            return False
        self._pods[uid] = kept = _remembering(pod, old)
        if kept.is_orphan and not (old and old.is_orphan):
            self.doubt(uid, Doubt.CHILD)  # its Job was deleted without it
        version = kept.resource_version
        return old is None or kept != msgspec.structs.replace(old, resource_version=version)

    def failure(self, uid: str, about: str) -> str | None:
        """What an Event says of why this child Job gets no pod, or this pod no volumes."""
        known, said = self._failures.get(uid, ("", ""))
        return said if known == about else None

    def put_failure(self, uid: str, about: str, said: str) -> bool:
        """Whether that is news."""
        news = self._failures.get(uid) != (about, said)
        self._failures[uid] = (about, said)
        return news

    def child_is_gone(self, uid: str) -> None:
        if child := self._children.get(uid):
            self._children[uid] = msgspec.structs.replace(child, gone=True)

    def remove_pod(self, uid: str, pod: Pod) -> bool:
        """The pod is gone; what it did and its last words count until its attempt is recorded.

        Whether that is news: other pods of the job may go, too.
        """
        old = self._pods.get(uid)
        if old is None or old.uid != pod.uid:
            return False
        last = _remembering(pod, old) if pod.ended or not old.ended else old
        self._pods[uid] = msgspec.structs.replace(last, gone=True)
        self.doubt(uid, Doubt.CHILD)
        return True

    def job_is_over(self, uid: str) -> None:
        """It has succeeded or is gone: what a watch that lags still tells of it is no news."""
        self._over[uid] = None
        if len(self._over) > _OVER_REMEMBERED:
            del self._over[next(iter(self._over))]

    def is_over(self, uid: str) -> bool:
        """Whether it was found to be over, of late."""
        return uid in self._over

    def forget(self, uid: str) -> None:
        self._jobs.pop(uid, None)
        self._children.pop(uid, None)
        self._pods.pop(uid, None)
        self._failures.pop(uid, None)
        for doubt in Doubt:
            self.settle(uid, doubt)

    def doubt(self, uid: str, doubt: Doubt) -> None:
        self._doubted[doubt].add(uid)

    def is_doubted(self, uid: str, doubt: Doubt) -> bool:
        return uid in self._doubted[doubt]

    def settle(self, uid: str, doubt: Doubt) -> None:
        self._doubted[doubt].discard(uid)

    @contextmanager
    def settling(self, uid: str, doubt: Doubt) -> Iterator[None]:
        """Takes a doubt away for a look that settles it, and puts it back where that fails.

        What is told meanwhile is a doubt of its own.
        """
        self.settle(uid, doubt)
        try:
            yield
        except BaseException:
            self.doubt(uid, doubt)
            raise


def _order(view: ChildJob | Pod) -> tuple[int, int]:
    return (view.run, view.attempt)


def _age(pod: Pod) -> tuple[int, int, int]:
    return (*_order(pod), int(pod.resource_version))


def _remembering(new: Pod, old: Pod | None) -> Pod:
    """The pod with what the kubelet takes back when it is done with it.

    That it was told to end, and why it did not start if it never did.
    """
    if old is None or old.uid != new.uid:
        return new
    if old.told_to_end:
        new = msgspec.structs.replace(new, told_to_end=True)
    if (new.ended or new.to_be_gone_at is not None) and new.started is None:
        new = msgspec.structs.replace(new, waiting=old.waiting)
    return new


def _is_newer_view(new: ChildJob, old: ChildJob) -> bool:
    if old.gone or new.uid != old.uid:
        return False
    return int(new.resource_version) >= int(old.resource_version)
