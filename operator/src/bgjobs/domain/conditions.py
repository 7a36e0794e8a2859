"""Conditions in Kubernetes' sense: they change their time only with their status."""

import msgspec

from bgjobs.domain.resource import Condition


def with_condition(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """The conditions with `new` in place of the one of its type.

    Where the status stays the same, so does lastTransitionTime.
    """
    old = next((c for c in conditions if c.type == new.type), None)
    if old is not None and old.status == new.status:
        new = msgspec.structs.replace(new, last_transition_time=old.last_transition_time)
    others = (c for c in conditions if c.type != new.type)
    return tuple(sorted((*others, new), key=lambda c: c.type))
