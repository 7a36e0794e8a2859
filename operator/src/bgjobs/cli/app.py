"""The commands of kubectl bgjob."""

import math
import sys
import time
import webbrowser
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from kubernetes.client import ApiException

from bgjobs.cli import bulk, changes, following, forwarding, pausing, submitting, suggestions
from bgjobs.cli import cluster as api
from bgjobs.cli.bulk import Selection
from bgjobs.cli.changes import Change
from bgjobs.cli.cluster import Cluster
from bgjobs.cli.errors import CommandError, UsageError
from bgjobs.cli.explain import explain as explain_facts
from bgjobs.cli.listing import show_jobs
from bgjobs.cli.observe import observe
from bgjobs.cli.parameters import read_parameters
from bgjobs.cli.rendering import (
    Format,
    as_list,
    console,
    dump,
    dump_objects,
    explanation_data,
    printable,
    progress,
    reference,
    show_error,
    show_explanation,
)
from bgjobs.domain.configuration import ALLOWLIST, NAMESPACE, RUNTIMES
from bgjobs.domain.resource import GROUP, KIND, Phase, Priority, delay_seconds
from bgjobs.domain.runtimes import DEFAULT

_FORBIDDEN = 403
_CONFLICT = 409
_RESOURCES = frozenset(
    f"{name}{group}"
    for name in (KIND.lower(), f"{KIND.lower()}s", "bgjob", "bgj")
    for group in ("", f".{GROUP}")
)
"""What kubectl takes before the name of a BackgroundJob."""

app = typer.Typer(
    help="Submit BackgroundJobs, watch them, change them, and ask why they do not run.",
    epilog="The exit code is 2 where the command line makes no sense, and 1 for any other failure.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _bare_name(text: str) -> str:
    """A name, perhaps with its resource before it, as -o name prints it."""
    resource, slash, name = text.rpartition("/")
    if slash and resource not in _RESOURCES:
        raise typer.BadParameter(f"{text} is no BackgroundJob: give its name, or bgjob/NAME")
    return name


def _seconds(text: str) -> float:
    try:
        return delay_seconds(submitting.int_or_text(text) or 0)
    except ValueError:
        raise typer.BadParameter(f"{text} is no length of time: give 90, 30s, 5m or 1h") from None


def _name(phases: frozenset[Phase] = frozenset(Phase)) -> Any:
    """The argument for names of jobs, of which those in these phases are suggested."""
    return typer.Argument(
        metavar="NAME",
        help="The name of a BackgroundJob, also as bgjob/NAME.",
        autocompletion=suggestions.jobs(phases),
        parser=_bare_name,
    )


Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="The namespace; the context's own if left out.",
        autocompletion=suggestions.namespaces,
    ),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help="A context of the kubeconfig; else its current one.",
        autocompletion=suggestions.contexts,
    ),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig", metavar="FILE", help="A kubeconfig; else the one that kubectl uses."
    ),
]
OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace",
        metavar="NAME",
        envvar="BGJOBS_NAMESPACE",
        help="Where the operator and its ConfigMaps are.",
    ),
]
Output = Annotated[
    Format | None,
    typer.Option("--output", "-o", metavar="|".join(Format), help="As a program reads it."),
]
AnyName = Annotated[str, _name()]
Class = Annotated[
    str | None,
    typer.Option(
        "--class", metavar="CLASS", help="Of this class.", autocompletion=suggestions.classes
    ),
]
Selector = Annotated[
    str | None,
    typer.Option("--selector", "-l", metavar="LABELS", help="With these labels: team=shop,urgent"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"bgjobs {version('bgjobs')}")
        raise typer.Exit


@app.callback()
def _every_command(
    _: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print it."),
    ] = False,
) -> None:
    pass


# Submitting.


@app.command()
def submit(
    class_: Annotated[
        str,
        typer.Argument(
            metavar="CLASS",
            help="The class to run, as a dotted path: shop.jobs.SyncStock",
            autocompletion=suggestions.classes,
        ),
    ],
    method: Annotated[
        str,
        typer.Option(metavar="METHOD", help="Its method.", autocompletion=suggestions.methods),
    ] = "handle",
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A parameter; the value is read as JSON if it is JSON, else as text.",
        ),
    ] = None,
    params_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Parameters as JSON or YAML; - is standard input."),
    ] = None,
    priority: Annotated[
        str | None,
        typer.Option(
            metavar="PRIORITY", help="High, Medium or Low.", autocompletion=suggestions.priorities
        ),
    ] = None,
    delay: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long to wait first: 90, 90s, 15m or 2h."),
    ] = None,
    start_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not to start before: 2030-01-31T06:00:00Z")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(metavar="COUNT", help="Retries after the first attempt.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="A name for it; else one is made up.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="What it is about: the same key again is the same BackgroundJob."
        ),
    ] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have it checked by the API server, and not created.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has finished; fail unless it succeeds.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="The same, and print what it prints.")
    ] = False,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Submit a job."""
    if name is not None and key is not None:
        raise UsageError("Give --name or --key, not both: a key makes the name.")
    manifest = submitting.manifest(
        class_,
        method,
        name=name,
        key=key,
        labels=submitting.labels(label or ()),
        parameters=read_parameters(param or (), _content_of(params_file)),
        priority=submitting.int_or_text(priority),
        delay=submitting.int_or_text(delay),
        startAt=start_at,
        retries=retries,
    )
    with api.connected(kubeconfig, context, namespace) as cluster:
        job, is_new = _create(cluster, manifest, key, dry_run=dry_run)
        done = "created" if is_new else f"exists already, by its key {key}"
        waits = (wait or follow) and not dry_run
        if output is None or not waits:
            _print([job], [f"{done} (checked only)" if dry_run and is_new else done], output)
        if waits:
            print_from = following.FIRST if follow else None
            tell = progress(console(stderr=True))
            finished = following.until_finished(
                cluster, cluster.namespace, job["metadata"]["name"], tell, print_from
            )
            if follow and output is None and finished["status"]["phase"] == Phase.SUCCEEDED:
                tell(api.parsed(finished))
            else:
                _end(finished, output)


def _content_of(file: str | None) -> bytes | None:
    if file is None:
        return None
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"The file of --params-file cannot be read: {error}") from error


def _create(cluster: Cluster, manifest: Any, key: str | None, *, dry_run: bool) -> tuple[Any, bool]:
    """The job, and whether it is a new one."""
    try:
        return api.create_background_job(cluster, manifest, dry_run=dry_run), True
    except ApiException as error:
        if error.status != _CONFLICT or key is None:
            raise
        name = manifest["metadata"]["name"]
        job = api.background_job(cluster, cluster.namespace, name)
        if job["spec"]["parameters"] != manifest["spec"]["parameters"]:
            raise CommandError(
                f"The key {key} is taken: BackgroundJob {name} has other parameters."
            ) from error
        return job, False


def _end(job: Any, output: Format | None = None) -> None:
    """Tells how a job has ended. Raises CommandError unless it succeeded."""
    status = job["status"]
    _print([job], [status["phase"]], output)
    if status["phase"] != Phase.SUCCEEDED:
        said = f"{job['metadata']['name']} is {status['phase']}"
        why = f": {status['message']}" if status.get("message") else "."
        raise CommandError(printable(said + why))


def _each(cluster: Cluster, names: Sequence[str], do: Callable[[str], None]) -> bool:
    """Does it to each, and tells of those where it fails. Whether it did to all."""
    failed = []
    for name in names:
        try:
            with api.errors_told(cluster):
                do(name)
        except CommandError as error:
            whose = "" if len(names) == 1 or name in str(error) else f"{name}: "
            show_error(f"{whose}{error}")
            failed.append(name)
    return not failed


def _print(objects: Sequence[Any], done: Sequence[str], output: Format | None) -> None:
    """Objects that were created or changed, and what was done to each."""
    if output is not None:
        print(dump_objects(objects, output))
        return
    for each, what in zip(objects, done, strict=True):
        print(f"{reference(each)} {what}")


# Looking.


@app.command("list")
def list_jobs(
    phase: Annotated[
        list[Phase] | None,
        typer.Option(
            metavar="PHASE",
            case_sensitive=False,
            help="In this phase, such as failed; may be given several times.",
        ),
    ] = None,
    class_: Class = None,
    priority: Annotated[
        str | None,
        typer.Option(metavar="PRIORITY", help="Of this priority: High, Medium, Low, or 1 to 3."),
    ] = None,
    selector: Selector = None,
    output: Output = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List jobs, the newest last.

    A terminal shows of each what has room on a line; a pipe gets all of it.
    """
    phases = frozenset(phase or Phase)
    with api.connected(kubeconfig, context, namespace) as cluster:
        found = api.background_jobs(
            cluster,
            None if all_namespaces else cluster.namespace,
            selector or "",
            bulk.field_selector(phases, class_),
        )
        wanted = _priority(priority)
        jobs = [job for job in found if wanted is None or _is_of(wanted, job)]
        jobs.sort(key=lambda job: job["metadata"]["creationTimestamp"])
        if output is Format.NAME:
            print(*map(reference, jobs), sep="\n", end="\n" if jobs else "")
        elif output is not None:
            print(dump(as_list(jobs), output))
        elif jobs:
            show_jobs(console(), jobs, cluster.clock.now(), with_namespace=all_namespaces)
        else:
            where = "the cluster" if all_namespaces else f"the namespace {cluster.namespace}"
            such = "such " if phase or class_ or priority or selector else ""
            print(f"There are no {such}BackgroundJobs in {where}.", file=sys.stderr)


def _priority(text: str | None) -> Priority | None:
    if text is None:
        return None
    try:
        return Priority(int(text)) if text.isdigit() else Priority[text.upper()]
    except (KeyError, ValueError):
        raise UsageError(f"{text!r} is no priority: give High, Medium or Low.") from None


def _is_of(wanted: Priority, job: Any) -> bool:
    try:
        return _priority(str(job["spec"]["priority"])) is wanted
    except UsageError:
        return False  # an older schema let it in


@app.command()
def explain(
    name: AnyName,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = NAMESPACE,
) -> None:
    """Say why a job does not run, when it will, what changes that."""
    with api.connected(kubeconfig, context, namespace, operator_namespace) as cluster:
        explanation = explain_facts(observe(cluster, name))
        if output is Format.NAME:
            print(f"backgroundjob.bgjobs.dev/{name}")
        elif output is not None:
            print(dump(explanation_data(explanation), output))
        else:
            show_explanation(console(), explanation, cluster.clock.now())


@app.command()
def wait(
    names: Annotated[list[str], _name(changes.UNFINISHED)],
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            help="Give up after so long: 90, 30s, 5m or 1h; else it waits without a limit.",
            parser=_seconds,
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Wait until jobs have finished; fail unless all succeeded."""
    tell = progress(console(stderr=True))
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    with api.connected(kubeconfig, context, namespace) as cluster:

        def wait_for(name: str) -> None:
            _end(following.until_finished(cluster, cluster.namespace, name, tell, None, deadline))

        if not _each(cluster, names, wait_for):
            raise typer.Exit(1)


@app.command()
def logs(
    name: AnyName,
    attempt: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, help="The number of an attempt; else the latest."),
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, help="The number of its run; else the latest."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on until the job, or that attempt, has ended."),
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print what an attempt of a job printed."""
    with api.connected(kubeconfig, context, namespace) as cluster:
        job = api.parsed(api.background_job(cluster, cluster.namespace, name))
        if follow and attempt is None and run is None and not job.is_done:
            begin = following.Number(job.status.run, job.status.next_attempt)
            if job.is_to_run_again:
                begin = following.Number(job.status.run + 1, 1)
            tell = progress(console(stderr=True))
            end = following.until_finished(cluster, cluster.namespace, name, tell, begin)
            tell(api.parsed(end))
        else:
            following.print_log(cluster, job, run, attempt, is_followed=follow)


# Changing one job or several.


@app.command()
def cancel(
    names: Annotated[list[str] | None, _name(changes.CANCEL.phases)] = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Why, for whoever reads the job later."),
    ] = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="All that failed and wait for another attempt.")
    ] = False,
    class_: Class = None,
    selector: Selector = None,
    yes: Yes = False,
    output: Output = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop jobs for good, whether they wait or run."""
    change = changes.because(changes.CANCEL, reason)
    with api.connected(kubeconfig, context, namespace) as cluster:
        selection = _selection(cluster, all_namespaces, class_, selector, all_failed)
        _change(cluster, change, names or [], selection, output, yes=yes)


@app.command()
def retry(
    names: Annotated[list[str] | None, _name(changes.RETRY.phases)] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All that have Failed.")] = False,
    error: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Of this group of errors, as the dashboard calls it."),
    ] = None,
    class_: Class = None,
    selector: Selector = None,
    yes: Yes = False,
    output: Output = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run jobs again that have Failed, or were Cancelled or Rejected."""
    with api.connected(kubeconfig, context, namespace) as cluster:
        selection = _selection(cluster, all_namespaces, class_, selector, all_failed, error)
        _change(cluster, changes.RETRY, names or [], selection, output, yes=yes)


@app.command()
def start(
    names: Annotated[list[str], _name(changes.START.phases)],
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Start waiting jobs now: before all others, without delay."""
    with api.connected(kubeconfig, context, namespace) as cluster:
        _change(cluster, changes.START, names, None, output)


@app.command()
def suspend(
    names: Annotated[list[str], _name(changes.SUSPEND.phases)],
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Hold jobs; an attempt that runs is stopped, at no retry's cost."""
    with api.connected(kubeconfig, context, namespace) as cluster:
        _change(cluster, changes.SUSPEND, names, None, output)


@app.command()
def resume(
    names: Annotated[list[str], _name(changes.RESUME.phases)],
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let suspended jobs go on."""
    with api.connected(kubeconfig, context, namespace) as cluster:
        _change(cluster, changes.RESUME, names, None, output)


def _selection(
    cluster: Cluster,
    all_namespaces: bool,
    class_: str | None,
    selector: str | None,
    all_failed: bool,
    error_group: str | None = None,
) -> Selection | None:
    """None where no jobs are selected but by their names."""
    if not (class_ or selector or all_failed or error_group):
        if all_namespaces:
            raise UsageError("-A goes with --all-failed, --class or -l, which select jobs.")
        return None
    where = None if all_namespaces else cluster.namespace
    return Selection(where, class_, selector, all_failed, error_group)


def _change(
    cluster: Cluster,
    change: Change,
    names: Sequence[str],
    selection: Selection | None,
    output: Format | None,
    *,
    yes: bool = False,
) -> None:
    if bool(names) == (selection is not None):
        raise UsageError(
            f"Say what to {change.verb}: names, or a selection by --all-failed, --class or -l."
        )
    if selection is None:
        _change_named(cluster, change, names, output)
        return
    jobs = bulk.select(cluster, change, selection)
    where = f"the namespace {selection.namespace}" if selection.namespace else "all namespaces"
    if not jobs:
        print(f"There is nothing to {change.verb} in {where}.", file=sys.stderr)
    elif yes or _is_confirmed(changes.what_to_do(change, jobs, where)):
        _change_many(cluster, change, jobs, selection, output)


def _change_named(
    cluster: Cluster, change: Change, names: Sequence[str], output: Format | None
) -> None:
    """Tells of each job as it comes, but prints JSON and YAML as one."""
    changed = []

    def change_one(name: str) -> None:
        job, done = bulk.change_one(cluster, change, name)
        changed.append(job)
        if output in (None, Format.NAME):
            _print([job], [done], output)

    is_done = _each(cluster, names, change_one)
    if changed and output in (Format.JSON, Format.YAML):
        print(dump_objects(changed, output))
    if not is_done:
        raise typer.Exit(1)


def _is_confirmed(what: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"To {what} without being asked, say --yes.")
    print(f"{what[0].upper()}{what[1:]}? [y/N]", end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _change_many(
    cluster: Cluster,
    change: Change,
    jobs: Sequence[Any],
    selection: Selection,
    output: Format | None,
) -> None:
    """Tells of each job as it comes, but prints JSON and YAML as one, also where it breaks off."""
    changed, is_any_refused = [], False
    try:
        for job, skipped, refused in bulk.carry_out(
            cluster, change, jobs, in_phase=selection.all_failed
        ):
            metadata = job["metadata"]
            where = "" if selection.namespace else f" in the namespace {metadata['namespace']}"
            if refused is not None:
                is_any_refused = True
                show_error(f"{metadata['name']}{where}: {api.what_is_wrong(cluster, refused)}")
            elif skipped:
                print(f"{reference(job)}{where} skipped: it {skipped}", file=sys.stderr)
            else:
                changed.append(job)
                if output in (None, Format.NAME):
                    _print([job], [f"{change.done}{where}"], output)
    finally:
        if output in (Format.JSON, Format.YAML):
            print(dump(as_list(changed), output))
        print(f"{len(changed)} of {len(jobs)}: {change.done}", file=sys.stderr)
    if is_any_refused:
        raise typer.Exit(1)


# Pausing classes, which platform engineers may do.

PausedClass = Annotated[
    str,
    typer.Argument(
        metavar="CLASS",
        help="A class, a dotted prefix of classes, or default for all of them.",
        autocompletion=suggestions.runtimes,
    ),
]


@app.command()
def pause(
    class_: PausedClass,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; the jobs that wait show it.")],
    output: Output = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = NAMESPACE,
) -> None:
    """Start no more jobs of a class; those that run go on."""
    if not reason.strip():
        raise UsageError("--reason must say something: the jobs that wait show it.")
    with api.connected(kubeconfig, context, None, operator_namespace) as cluster:
        _check_class(cluster, class_)
        runtimes = _runtimes(cluster)
        text = pausing.paused(runtimes["data"].get(class_, ""), reason)
        _put_runtime(cluster, runtimes, class_, text, f"{class_} paused", output)


@app.command()
def unpause(
    class_: PausedClass,
    output: Output = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = NAMESPACE,
) -> None:
    """Let jobs of a paused class start again."""
    with api.connected(kubeconfig, context, None, operator_namespace) as cluster:
        runtimes = _runtimes(cluster)
        text = runtimes["data"].get(class_, "")
        if pausing.pause_of(text) is None:
            raise CommandError(pausing.not_paused(runtimes["data"], class_))
        _put_runtime(
            cluster, runtimes, class_, pausing.unpaused(text), f"{class_} unpaused", output
        )


@app.command()
def dashboard(
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", help="On this machine; a free one if left out.", show_default=False
        ),
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = NAMESPACE,
) -> None:
    """Open the dashboard, for as long as this command runs."""

    def opened(address: str) -> None:
        print(address, flush=True)
        print(
            "Sign in with a token: kubectl create token NAME -n NAMESPACE. Ctrl-C ends this.",
            file=sys.stderr,
        )
        if browser:
            webbrowser.open(address)

    given = {"--context": context, "--kubeconfig": kubeconfig}
    flags = [word for name, value in given.items() if value for word in (name, value)]
    forwarding.forward(operator_namespace, port, flags, opened)


def _runtimes(cluster: Cluster) -> Any:
    found = api.config_map(cluster, RUNTIMES)
    if found is None:
        raise CommandError(
            f"There is no ConfigMap {RUNTIMES} in the namespace {cluster.operator_namespace}: give "
            "the operator's by --operator-namespace."
        )
    return {**found, "data": found.get("data") or {}}


def _put_runtime(
    cluster: Cluster, runtimes: Any, key: str, text: str | None, done: str, output: Format | None
) -> None:
    data = {name: value for name, value in runtimes["data"].items() if name != key}
    if text is not None:
        data[key] = text
    written = api.replace_config_map(cluster, {**runtimes, "data": data})
    _print([written], [f"changed: {done}"], output)


def _check_class(cluster: Cluster, class_: str) -> None:
    """A pause of what nobody may run would hold nothing: it is a slip of the pen."""
    try:
        allowed = (api.config_map(cluster, ALLOWLIST) or {}).get("data") or {}
    except ApiException as error:
        if error.status != _FORBIDDEN:
            raise
        return
    if class_ != DEFAULT and not any(f"{each}.".startswith(f"{class_}.") for each in allowed):
        raise CommandError(
            f"No class on the allowlist is {class_} or begins with {class_}. The allowlist is "
            f"ConfigMap {ALLOWLIST} in namespace {cluster.operator_namespace}."
        )
