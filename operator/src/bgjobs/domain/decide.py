"""The order in which the policies speak about a BackgroundJob."""

from datetime import datetime

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import Observation
from bgjobs.domain.policies.allowed import allowed, configured
from bgjobs.domain.policies.attempt_ended import attempt_ended
from bgjobs.domain.policies.rerun import rerun
from bgjobs.domain.policies.start import delayed, exhausted, refused, start
from bgjobs.domain.policies.stop import cancel, suspend
from bgjobs.domain.policies.under_way import under_way

POLICIES = (
    rerun,
    attempt_ended,
    cancel,
    suspend,
    under_way,
    exhausted,
    configured,
    allowed,
    delayed,
    refused,
)


def decide(seen: Observation, config: Configuration, now: datetime) -> Decision:
    """What to do next for one BackgroundJob.

    Pure: the same observation, configuration and time give the same decision.
    Actions are idempotent, so that deciding twice on stale data does no harm.
    """
    if seen.job.metadata.deletion_timestamp is not None:
        return attempt_ended(seen, config, now) or Decision.keep(seen.job.status)
    for policy in POLICIES:
        if decision := policy(seen, config, now):
            return decision
    return start(seen, config, now)
