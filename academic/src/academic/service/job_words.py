"""What the state of a BackgroundJob is called on the pages."""

from collections.abc import Iterable
from typing import NamedTuple

from academic.store.schema import JobState

TERMINAL_PHASES = ("Succeeded", "Failed", "Cancelled", "Rejected")
GONE = "Gone"
"""Deleted before its end was seen; no phase of BackgroundJobs."""
TITLES = {
    "RunProgram": "Run the program",
    "AutomatedGrading": "Grade",
    "NotifyStudentOfSubmission": "Confirm by mail",
    "CheckForPlagiarism": "Compare with others",
    "GenerateAnalyticsReport": "Update the course's analytics",
}
_HELD = ("Suspended", "Paused", "ConfigurationInvalid", "QuotaExceeded", "AdoptionConflict")
_HAD_A_SLOT = ("Starting", "Unschedulable", "ImagePullBackOff", "ContainerConfigError")


class State(NamedTuple):
    name: str
    style: str
    """Of the icon and the colours."""


def state_of(job: JobState) -> State:
    """Waiting is not one thing: the reason says which."""
    match job.phase, job.reason:
        case "", _:
            return State("Accepted", "queued")
        case "Pending" | "Retrying", "Delayed" | "BackingOff":
            return State("Scheduled", "scheduled")
        case "Pending" | "Retrying", reason if reason in _HELD:
            return State("Held", "held")
        case "Pending" | "Retrying", reason if reason in _HAD_A_SLOT:
            return State("Starting", "starting")
        case "Pending" | "Retrying", _:
            return State("Queued", "queued")
        case "Succeeded", _:
            return State("Done", "succeeded")
        case phase, _ if phase == GONE:
            return State(GONE, "cancelled")
        case phase, _:
            return State(phase, phase.lower())


def is_over(job: JobState) -> bool:
    return job.phase in (GONE, *TERMINAL_PHASES)


def are_over(jobs: Iterable[JobState]) -> bool:
    return all(map(is_over, jobs))


def attempt_words(job: JobState) -> str:
    """attempt 2 of 4; nothing where there is no second one to speak of."""
    if not job.attempt or (job.phase == "Succeeded" and job.attempt == 1):
        return ""
    return f"attempt {job.attempt} of {max(job.attempt, job.attempts_allowed)}"
