"""How long to wait between a failure and the next attempt."""

import hashlib

from bgjobs.domain.resource import BackgroundJob, Backoff, Status

_JITTER = 0.1


def backoff_seconds(backoff: Backoff, failures: int, seed: str) -> float:
    """Seconds to wait after the `failures`-th failure of a run (from 1).

    Exponential, capped, then spread by up to 10 % either way so that jobs that
    failed together do not return together. The spread depends on the seed
    alone: deciding again gives the same time.
    """
    try:
        exponential = backoff.seconds * backoff.factor ** (failures - 1)
    except OverflowError:
        exponential = backoff.max_seconds
    digest = hashlib.sha256(f"{seed}-{failures}".encode()).digest()
    spread = int.from_bytes(digest[:4]) / 0xFFFFFFFF * 2 - 1
    return min(exponential, backoff.max_seconds) * (1 + _JITTER * spread)


def retry_pause_seconds(job: BackgroundJob, status: Status) -> float:
    """Seconds between the last failure of this run and the attempt after it."""
    seed = f"{job.metadata.uid}-{status.run}"
    return backoff_seconds(job.spec.backoff, status.retries_used, seed)
