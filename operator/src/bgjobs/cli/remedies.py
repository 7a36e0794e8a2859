"""What changes a BackgroundJob's state: commands to copy, by the plugin and by plain kubectl."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bgjobs.domain.configuration import ALLOWLIST, NAMESPACE, RUNTIMES
from bgjobs.domain.names import child_job_name
from bgjobs.domain.resource import BackgroundJob, Phase, Priority, Reason, Status
from bgjobs.kube import labels


class Remedy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do and how: at least one of the two commands."""

    what: str
    bgjob: str | None = None
    kubectl: str | None = None


def bgjob(verb: str, name: str, namespace: str, flags: Sequence[str]) -> str:
    """The plugin's command about one job, for the cluster that the reader has chosen."""
    return shlex.join(("kubectl", "bgjob", verb, name, "-n", namespace, *flags))


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """Writes commands about one BackgroundJob, for the cluster that the reader has chosen."""

    job: BackgroundJob
    flags: tuple[str, ...]
    operator_namespace: str

    def start(self, what: str = "start it now, before all others") -> Remedy:
        return Remedy(
            what=what,
            bgjob=self._bgjob("start"),
            kubectl=self.patch(startRequests=self.job.spec.start_requests + 1),
        )

    def retry(self, what: str = "run it again") -> Remedy:
        requests: dict[str, Any] = {"retryRequests": self.job.spec.retry_requests + 1}
        if self.job.spec.cancelled:
            requests["cancelled"] = False
        return Remedy(what=what, bgjob=self._bgjob("retry"), kubectl=self.patch(**requests))

    def cancel(self) -> Remedy:
        return Remedy(
            what="stop it for good", bgjob=self._bgjob("cancel"), kubectl=self.patch(cancelled=True)
        )

    def resume(self) -> Remedy:
        return Remedy(
            what="let it go on", bgjob=self._bgjob("resume"), kubectl=self.patch(suspend=False)
        )

    def submit_anew(self) -> Remedy:
        spec = self.job.spec
        words = ("submit", spec.class_, "--method", spec.method, "--params-file", "FILE")
        return Remedy(
            what="submit it anew with other parameters: these cannot be changed",
            bgjob=self.kubectl("bgjob", *words),
        )

    def begin_again(self) -> Remedy:
        """A pod keeps the settings that it was created with; a new one costs no retry this way.

        The operator may never see a suspend that is taken back at once.
        """
        told = "--for=jsonpath={.status.reason}=Suspended"
        is_seen = self.kubectl("wait", f"bgjob/{self.job.metadata.name}", then=(told,))
        return Remedy(
            what="then replace its pod, which costs no retry",
            bgjob=f"{self._bgjob('suspend')} && {is_seen} && {self._bgjob('resume')}",
            kubectl=f"{self.patch(suspend=True)} && {is_seen} && {self.patch(suspend=False)}",
        )

    def unpause(self, key: str) -> Remedy:
        operators = ("--operator-namespace", self.operator_namespace)
        where = operators if self.operator_namespace != NAMESPACE else ()
        return Remedy(
            what=f"let jobs of {key} start again (platform engineers)",
            bgjob=shlex.join(("kubectl", "bgjob", "unpause", key, *where, *self.flags)),
            kubectl=self._edit(RUNTIMES),
        )

    def logs(self, *options: str) -> Remedy:
        status = self.job.status
        name = (
            status.job_ref.name
            if status.job_ref
            else status.attempts[-1].job_name
            if status.attempts
            else None
        )
        return Remedy(
            what="see what it printed",
            bgjob=self._bgjob("logs", *options),
            kubectl=self.kubectl("logs", f"job/{name}", then=options) if name else None,
        )

    def raise_priority(self) -> Remedy:
        return Remedy(what="let it go before others", kubectl=self.patch(priority="High"))

    def edit(self, config_map: str, what: str) -> Remedy:
        return Remedy(what=f"{what} (platform engineers)", kubectl=self._edit(config_map))

    def describe_pod(self) -> Remedy:
        selector = f"{labels.UID}={self.job.metadata.uid}"
        return Remedy(
            what="see what keeps its pod", kubectl=self.kubectl("describe", "pod", "-l", selector)
        )

    def look(self, what: str, *words: str) -> Remedy:
        return Remedy(what=what, kubectl=self.kubectl(*words))

    def operators(self, what: str, *words: str) -> Remedy:
        """About what is in the operator's namespace."""
        return Remedy(what=what, kubectl=self._operators(*words))

    def give_up_node(self, node: str) -> Remedy:
        taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        return Remedy(
            what="if the node is off for good, say so (platform engineers)",
            kubectl=shlex.join(("kubectl", "taint", "nodes", node, taint, *self.flags)),
        )

    def patch(self, **spec: Any) -> str:
        text = msgspec.json.encode({"spec": spec}).decode()
        return self.kubectl(
            "patch", "bgjob", self.job.metadata.name, then=("--type=merge", "-p", text)
        )

    def kubectl(self, *words: str, then: tuple[str, ...] = ()) -> str:
        namespace = ("-n", self.job.metadata.namespace)
        return shlex.join(("kubectl", *words, *namespace, *self.flags, *then))

    def _bgjob(self, verb: str, *options: str) -> str:
        metadata = self.job.metadata
        return bgjob(verb, metadata.name, metadata.namespace, (*self.flags, *options))

    def _edit(self, config_map: str) -> str:
        return self._operators("edit", "configmap", config_map)

    def _operators(self, *words: str) -> str:
        return shlex.join(("kubectl", *words, "-n", self.operator_namespace, *self.flags))


class Holds(msgspec.Struct, frozen=True, kw_only=True):
    """What of the surroundings holds a job back."""

    paused_by: str | None = None
    runtime: str = "default"
    node: str | None = None
    operator_limit: int = 0
    """Of jobs that run at once, where it is reached."""
    runtime_is_full: bool = False
    deadline_seconds: int
    """How long an attempt may run."""
    problems: Mapping[str, str] = msgspec.field(default_factory=dict)


def remedies(status: Status, commands: Commands, holds: Holds) -> tuple[Remedy, ...]:
    """What changes that a job is in this phase for this reason, the likeliest first."""
    job = commands.job
    if status.finished:
        return _after_the_end(status, commands, holds)
    match status.reason:
        case Reason.QUEUED:
            return _queued(commands, holds)
        case Reason.DELAYED | Reason.BACKING_OFF:
            return (commands.start(),)
        case Reason.SUSPENDED:
            return (commands.resume(),)
        case Reason.PAUSED:
            return (commands.unpause(holds.paused_by or holds.runtime),)
        case Reason.CONFIGURATION_INVALID:
            names = holds.problems or {RUNTIMES: ""}
            return tuple(commands.edit(name, f"mend ConfigMap {name}") for name in names)
        case Reason.QUOTA_EXCEEDED:
            return _so_that_it_starts(status.reason, commands, holds)
        case Reason.ADOPTION_CONFLICT:
            name = child_job_name(
                job.metadata.name, job.metadata.uid, status.run, status.next_attempt
            )
            what = "delete the other Job, if nobody needs it"
            return (commands.look(what, "delete", "job", name),)
        case Reason.UNSCHEDULABLE:
            mend = _so_that_it_starts(status.reason, commands, holds)
            return (commands.describe_pod(), *mend, commands.begin_again())
        case Reason.IMAGE_PULL_BACK_OFF | Reason.CONTAINER_CONFIG_ERROR:
            mend = _so_that_it_starts(status.reason, commands, holds)
            return (*mend, commands.begin_again())
        case Reason.NODE_UNREACHABLE:
            return (commands.give_up_node(holds.node or "NODE"),)
        case Reason.RUNNING:
            return (commands.logs("-f"), commands.cancel())
        case _:
            return (commands.describe_pod(),)


def _so_that_it_starts(
    reason: Reason | None, commands: Commands, holds: Holds
) -> tuple[Remedy, ...]:
    """What mends that an attempt could not start, for this reason."""
    runtime = holds.runtime
    match reason:
        case Reason.QUOTA_EXCEEDED:
            return (commands.look("see what uses the quota up", "describe", "resourcequota"),)
        case Reason.UNSCHEDULABLE:
            return (commands.edit(RUNTIMES, f"change what runtime {runtime} asks of a node"),)
        case Reason.IMAGE_PULL_BACK_OFF:
            return (commands.edit(RUNTIMES, f"mend the image of runtime {runtime}"),)
        case Reason.CONTAINER_CONFIG_ERROR:
            what = "see which there are, and create what is missing"
            return (
                commands.look(what, "get", "secrets,configmaps"),
                commands.edit(RUNTIMES, f"or change what runtime {runtime} refers to"),
            )
        case Reason.CONFIGURATION_INVALID:
            return (commands.edit(RUNTIMES, f"change what runtime {runtime} asks for"),)
    twice = commands.patch(pendingDeadlineSeconds=2 * commands.job.spec.pending_deadline_seconds)
    return (Remedy(what="give it more time to start", kubectl=twice),)


def _queued(commands: Commands, holds: Holds) -> tuple[Remedy, ...]:
    found = [commands.start("let it start before all others that wait")]
    if holds.runtime_is_full:
        what = f"let more jobs of runtime {holds.runtime} run at once: raise its maxConcurrent"
        found.append(commands.edit(RUNTIMES, what))
    elif commands.job.spec.priority is not Priority.HIGH:
        found.append(commands.raise_priority())
    if holds.operator_limit:
        found.append(
            commands.operators(
                "let more jobs run at once (platform engineers)",
                *(
                    "set",
                    "env",
                    "deployment/bgjobs-operator",
                    f"BGJOBS_MAX_CONCURRENT={2 * holds.operator_limit}",
                ),
            )
        )
    return tuple(found)


def _after_the_end(status: Status, commands: Commands, holds: Holds) -> tuple[Remedy, ...]:
    if status.phase is Phase.SUCCEEDED:
        return (commands.logs(),)
    runtime = holds.runtime
    match status.reason:
        case Reason.NOT_ALLOWED:
            first = commands.edit(ALLOWLIST, "put the class and its method on the allowlist")
        case Reason.NAMESPACE_NOT_ALLOWED:
            first = commands.edit(RUNTIMES, "add the namespace to its runtime")
        case Reason.OOM_KILLED:
            first = commands.edit(RUNTIMES, f"give runtime {runtime} more memory")
        case Reason.DEADLINE_EXCEEDED:
            twice = commands.patch(activeDeadlineSeconds=2 * holds.deadline_seconds)
            first = Remedy(what="give it more time", kubectl=twice)
        case Reason.PENDING_DEADLINE_EXCEEDED:
            kept_by = status.attempts[-1].reason if status.attempts else None
            mend = _so_that_it_starts(kept_by, commands, holds)
            return (*mend, commands.retry("then run it again"))
        case Reason.NOT_IN_IMAGE:
            what = f"give runtime {runtime} an image that has the class"
            first = commands.edit(RUNTIMES, what)
        case Reason.BAD_PARAMETERS | Reason.PARAMETERS_TOO_LARGE:
            return (commands.submit_anew(),)
        case Reason.CANCELLED | Reason.DISRUPTED | Reason.JOB_DELETED:
            return (commands.retry(),)
        case _:
            first = commands.logs()
    return (first, commands.retry("then run it again"))
