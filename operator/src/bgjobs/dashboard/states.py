"""What state a job is in, as people ask for it: waiting is not one thing."""

from collections.abc import Mapping
from typing import NamedTuple

from bgjobs.domain.phase import phase_of
from bgjobs.domain.resource import TERMINAL_PHASES, Phase, Reason
from bgjobs.mirror.schema import DELETED

_WAITING = (Phase.PENDING, Phase.RETRYING)


class State(NamedTuple):
    """The phases and reasons that are shown as one."""

    name: str
    group: str
    phases: tuple[str, ...]
    reasons: Mapping[Reason, str]
    """With what is said beside the name, if anything."""

    @property
    def style(self) -> str:
        return self.name.lower()

    @property
    def pairs(self) -> list[tuple[str, Reason]]:
        return [(phase, reason) for phase in self.phases for reason in self.reasons]


def _ended(phase: Phase) -> State:
    reasons = {reason: "" for reason in Reason if phase_of(reason, 1) is phase}
    return State(str(phase), "Finished", (phase,), reasons)


STATES = {
    state.name: state
    for state in (
        State(
            "Scheduled",
            "Waiting",
            _WAITING,
            {Reason.DELAYED: "delay", Reason.BACKING_OFF: "backoff"},
        ),
        State("Queued", "Waiting", _WAITING, {Reason.QUEUED: ""}),
        State(
            "Held",
            "Waiting",
            _WAITING,
            {
                Reason.PAUSED: "paused",
                Reason.SUSPENDED: "suspended",
                Reason.CONFIGURATION_INVALID: "configuration",
                Reason.QUOTA_EXCEEDED: "quota",
                Reason.ADOPTION_CONFLICT: "name taken",
            },
        ),
        State(
            "Starting",
            "In a slot",
            _WAITING,
            {
                Reason.STARTING: "",
                Reason.UNSCHEDULABLE: "unschedulable",
                Reason.IMAGE_PULL_BACK_OFF: "image",
                Reason.CONTAINER_CONFIG_ERROR: "configuration",
            },
        ),
        State(
            "Running",
            "In a slot",
            (Phase.RUNNING,),
            {Reason.RUNNING: "", Reason.NODE_UNREACHABLE: "node lost"},
        ),
        State("Cancelling", "In a slot", (Phase.CANCELLING,), {Reason.CANCELLING: ""}),
        *map(_ended, (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.REJECTED)),
        State(
            DELETED,
            "Finished",
            (DELETED,),
            {reason: "" for reason in Reason if phase_of(reason, 1) not in TERMINAL_PHASES},
        ),
    )
}
GROUPS = ("Waiting", "In a slot", "Finished")

_BY_PAIR = {(str(p), str(r)): s for s in STATES.values() for p, r in s.pairs}


def state_of(phase: str, reason: str) -> State:
    return _BY_PAIR.get((phase, reason)) or STATES.get(phase) or STATES["Queued"]


def note(phase: str, reason: str) -> str:
    """What is said beside the state's name."""
    words = {str(each): text for each, text in state_of(phase, reason).reasons.items()}
    return words.get(reason, "")
