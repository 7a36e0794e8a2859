"""How priority adjusts a job's retries and delay (the origin's rule)."""

from bgjobs.domain.resource import Adjustment, Priority, Spec

_EXTRA_RETRIES = {Priority.HIGH: 1, Priority.MEDIUM: 0, Priority.LOW: -1}


def effective_retries(spec: Spec) -> int:
    """Retries after the first attempt, never below zero.

    High gains one, Low loses one. Computed from the spec every time, so that
    restarts and reruns never compound it.
    """
    if spec.adjustment is Adjustment.DISABLED:
        return spec.retries
    return max(0, spec.retries + _EXTRA_RETRIES[spec.priority])


def effective_delay_seconds(spec: Spec) -> int:
    """Seconds from creation to the first attempt: |delay - retries|, and none stays none."""
    if spec.adjustment is Adjustment.DISABLED or spec.delay_seconds == 0:
        return spec.delay_seconds
    return abs(spec.delay_seconds - spec.retries)


def explain_retries(spec: Spec) -> str:
    """The arithmetic behind the effective retries, for status.message."""
    effective = effective_retries(spec)
    if spec.adjustment is Adjustment.DISABLED:
        return f"{effective} retries as written"
    extra = _EXTRA_RETRIES[spec.priority]
    if extra == 0:
        return f"{effective} retries"
    floor = ", never below 0" if spec.retries + extra < 0 else ""
    sign = "+" if extra > 0 else "-"
    return (
        f"{effective} retries = {spec.retries} {sign} {abs(extra)} "
        f"for {spec.priority.word} priority{floor}"
    )


def explain_delay(spec: Spec) -> str:
    """The arithmetic behind the effective delay, for status.message."""
    effective = effective_delay_seconds(spec)
    if spec.adjustment is Adjustment.DISABLED or spec.delay_seconds == 0:
        return f"{effective} s delay as written"
    return f"{effective} s delay = |{spec.delay_seconds} s - {spec.retries} retries|"
