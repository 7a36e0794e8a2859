"""kubectl bgjob submits, lists, waits for and changes jobs of a running operator."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import plugin, watching
from tests import server as api
from tests.plugin import PROGRAM, bgjob
from tests.server import Jobs
from tests.watching import CLASS, change, phase, reason, submit, wait, wait_finished

from bgjobs.domain.error_group import error_group_of
from bgjobs.domain.resource import parse

_HOUR = 'pods=[{"lasts": "1h"}]'
_FAILS = [{"exitCode": 1}]


def _job(jobs: Jobs, name: str) -> Any:
    return api.request(jobs.server, "GET", f"{jobs.path}/{name}").body


def _names(printed: str) -> list[str]:
    return [line.removeprefix("backgroundjob.bgjobs.dev/") for line in printed.splitlines()]


def _refusal(jobs: Jobs, *arguments: str, **more: Any) -> str:
    """The one sentence with which a command fails."""
    done = plugin.run(jobs.server, *arguments, "-n", jobs.namespace, **more)
    assert done.returncode not in (0, 130), done.stdout
    *before, last = done.stderr.splitlines()
    assert not [line for line in before if "error" in line.lower()], done.stderr
    assert last.startswith("error: ")
    return last.removeprefix("error: ")


def test_submit_creates_what_was_said(jobs: Jobs) -> None:
    printed = bgjob(
        jobs,
        *("submit", CLASS, "--param", "warehouse=7", "--param", "hall=main", "--priority", "High"),
        *("--delay", "1h", "--retries", "1", "--label", "team=shop", "-o", "json"),
    )
    job = json.loads(printed)
    assert job["metadata"]["name"].startswith("scripted-")
    assert job["metadata"]["labels"] == {"team": "shop"}
    spec = job["spec"]
    assert spec["parameters"] == {"warehouse": 7, "hall": "main"}
    assert (spec["priority"], spec["delay"], spec["retries"]) == ("High", "1h", 1)
    bgjob(jobs, "cancel", job["metadata"]["name"])


@pytest.mark.parametrize("text", ['{"warehouse": [7]}', "warehouse:\n  - 7\n"])
def test_submit_reads_parameters_from_standard_input(jobs: Jobs, name: str, text: str) -> None:
    bgjob(jobs, "submit", CLASS, "--name", name, "--params-file", "-", standard_input=text)
    assert _job(jobs, name)["spec"]["parameters"] == {"warehouse": [7]}


def test_the_same_key_is_the_same_job(jobs: Jobs, name: str) -> None:
    arguments = ("submit", CLASS, "--key", name, "--param", "warehouse=7")
    first = bgjob(jobs, *arguments)
    [made, what] = first.split()
    assert what == "created"
    assert bgjob(jobs, *arguments) == f"{made} exists already, by its key {name}\n"
    other = _refusal(jobs, *arguments, "--param", "warehouse=8")
    assert other == (
        f"The key {name} is taken: BackgroundJob {made.partition('/')[2]} has other parameters."
    )


def test_a_dry_run_creates_nothing(jobs: Jobs, name: str) -> None:
    printed = bgjob(jobs, "submit", CLASS, "--name", name, "--dry-run")
    assert printed == f"backgroundjob.bgjobs.dev/{name} created (checked only)\n"
    assert _job(jobs, name)["code"] == 404


def test_submit_says_what_the_api_server_says(jobs: Jobs, name: str) -> None:
    assert _refusal(jobs, "submit", "no.such.Job").startswith(
        "class no.such.Job (method handle) is not on the allowlist: check the spelling, or ask "
    )
    wrong = ("--priority", "Urgent", "--retries", "-5")
    assert _refusal(jobs, "submit", CLASS, *wrong) == (
        "spec.retries in body should be greater than or equal to 0; spec.priority: priority must "
        "be the name High, Medium or Low, or the number 1, 2 or 3 without quotes"
    )
    bgjob(jobs, "submit", CLASS, "--name", name)
    assert _refusal(jobs, "submit", CLASS, "--name", name) == (
        f'backgroundjobs.bgjobs.dev "{name}" already exists'
    )


def test_submit_and_wait_ends_as_the_job_does(jobs: Jobs, name: str) -> None:
    arguments = ("submit", CLASS, "--wait", "--name")
    done = plugin.run(
        jobs.server,
        *(*arguments, f"{name}-good", "--param", 'pods=[{"lasts": "3s"}]', "-n", jobs.namespace),
    )
    assert (done.returncode, done.stdout) == (
        0,
        f"backgroundjob.bgjobs.dev/{name}-good created\n"
        f"backgroundjob.bgjobs.dev/{name}-good Succeeded\n",
    )
    assert "Running: Attempt 1 of 4 runs on kwok since" in done.stderr
    bad = _refusal(jobs, *arguments, f"{name}-bad", "--param", 'pods=[{"exitCode": 66}]')
    assert bad.startswith(f"{name}-bad is Failed: Attempt 1 of 4 failed with exit code 66")


def test_wait_tells_each_state_once(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[{"exitCode": 1}, {"lasts": "2s"}], backoff={"seconds": 2})
    done = plugin.run(jobs.server, "wait", name, "-n", jobs.namespace)
    assert (done.returncode, done.stdout) == (0, f"backgroundjob.bgjobs.dev/{name} Succeeded\n")
    told = [line.split(maxsplit=1)[1] for line in done.stderr.splitlines()]
    assert len(set(told)) == len(told)
    assert [line for line in told if line.startswith(f"{name} Retrying: Attempt 1 of 4 failed")]


def test_wait_fails_if_one_of_several_does_not_succeed(jobs: Jobs, name: str) -> None:
    submit(jobs, f"{name}-good")
    submit(jobs, f"{name}-bad", pods=[{"exitCode": 64}])
    said = _refusal(jobs, "wait", f"{name}-good", f"{name}-bad")
    assert said.startswith(f"{name}-bad is Failed: ")


def test_wait_notices_a_deletion(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay="1h")
    with _waiting(jobs, name) as process:
        api.request(jobs.server, "DELETE", f"{jobs.path}/{name}")
        _, said = process.communicate(timeout=30)
    assert said.splitlines()[-1] == f"error: BackgroundJob {name} was deleted before it finished."


def test_an_interrupt_ends_quietly(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay="1h")
    with _waiting(jobs, name) as process:
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=30)
    assert (process.returncode, printed) == (130, "")
    assert "Traceback" not in said


@contextmanager
def _waiting(jobs: Jobs, name: str) -> Iterator[subprocess.Popen[str]]:
    """kubectl bgjob wait, once it has told of the job."""
    with subprocess.Popen(
        [str(PROGRAM), "wait", name, "-n", jobs.namespace],
        env={"KUBECONFIG": str(jobs.server.control_plane.kubeconfig), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and so perhaps these tests, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        assert name in process.stderr.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def listed(jobs: Jobs) -> Jobs:
    """Four jobs in a namespace of their own, each of another phase."""
    own = watching.new_namespace(jobs.server, "listed")
    watching.allow(own, "listed.jobs.Other")
    submit(own, "delayed", delay="1h", priority="High")
    submit(own, "running", pods=[{"lasts": "1h"}])
    submit(own, "failed", pods=_FAILS, retries=0)
    submit(own, "succeeded", class_="listed.jobs.Other", priority=1)
    wait(own, "running", phase("Running"))
    wait_finished(own, "failed")
    wait_finished(own, "succeeded")
    answer = api.patch(own, "failed", {"metadata": {"labels": {"team": "shop"}}})
    assert answer.status == 200
    return own


@pytest.mark.parametrize(
    ("filters", "want"),
    [
        ((), {"delayed", "running", "failed", "succeeded"}),
        (("--phase", "Failed"), {"failed"}),
        (("--phase", "failed", "--phase", "Running"), {"failed", "running"}),
        (("--class", "listed.jobs.Other"), {"succeeded"}),
        (("--priority", "High"), {"delayed", "succeeded"}),
        (("-l", "team=shop"), {"failed"}),
        (("-l", "team!=shop", "--class", CLASS), {"delayed", "running"}),
        (("--phase", "Rejected"), set()),
    ],
)
def test_list_filters(listed: Jobs, filters: tuple[str, ...], want: set[str]) -> None:
    assert set(_names(bgjob(listed, "list", *filters, "-o", "name"))) == want


def test_list_prints_a_table_the_newest_last(listed: Jobs) -> None:
    header, *rows = bgjob(listed, "list").splitlines()
    assert header.split()[0] == "NAME"
    assert rows[0].split()[:6] == ["delayed", CLASS, "handle", "High", "Pending", "Delayed"]
    assert len(rows) == 4


def test_list_shows_every_namespace_if_asked(listed: Jobs) -> None:
    done = plugin.run(listed.server, "list", "-A", "--class", "listed.jobs.Other")
    header, *rows = done.stdout.splitlines()
    assert header.split()[:2] == ["NAMESPACE", "NAME"]
    assert [row.split()[:2] for row in rows] == [["listed", "succeeded"]]


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_list_is_read_by_programs(listed: Jobs, output: str, read: Any) -> None:
    found = read(bgjob(listed, "list", "--phase", "failed", "-o", output))
    assert found["kind"] == "List"
    [job] = found["items"]
    assert (job["metadata"]["name"], job["status"]["reason"]) == ("failed", "Error")
    assert "managedFields" not in job["metadata"]


def test_list_says_that_there_is_nothing(listed: Jobs) -> None:
    for filters, no in (((), "no"), (("--phase", "failed"), "no such")):
        done = plugin.run(listed.server, "list", "-n", "nowhere", *filters)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"There are {no} BackgroundJobs in the namespace nowhere.\n"


def test_a_reader_that_has_seen_enough_is_no_error(listed: Jobs) -> None:
    done = subprocess.run(
        f"set -o pipefail; {PROGRAM} list -A -o json | head -c 1",
        shell=True,
        executable="/bin/bash",
        env={**os.environ, "KUBECONFIG": str(listed.server.control_plane.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_one_job_goes_through_all_that_can_be_asked(jobs: Jobs, name: str) -> None:
    bgjob(jobs, "submit", CLASS, "--name", name, "--delay", "1h", "--param", _HOUR)
    who = f"backgroundjob.bgjobs.dev/{name}"
    assert bgjob(jobs, "suspend", name) == f"{who} suspended\n"
    wait(jobs, name, reason("Suspended"))
    assert bgjob(jobs, "suspend", name) == f"{who} suspended already\n"
    assert bgjob(jobs, "start", name).startswith(f"{who} start requested, but it is suspended, ")
    assert bgjob(jobs, "resume", name, "-o", "name") == f"{who}\n"
    wait(jobs, name, phase("Running"))
    assert "only a waiting one (Pending or Retrying) can be started by hand" in (
        _refusal(jobs, "start", name)
    )
    assert bgjob(jobs, "cancel", name, "--reason", "a mistake") == f"{who} cancel requested\n"
    wait(jobs, name, phase("Cancelled"))
    assert _job(jobs, name)["spec"]["cancelReason"] == "a mistake"
    assert "this job is already Cancelled: nothing is left to cancel" not in (
        bgjob(jobs, "cancel", name)
    )
    assert _refusal(jobs, "resume", name) == (
        f"BackgroundJob {name} is Cancelled: there is nothing to resume."
    )
    retried = yaml.safe_load(bgjob(jobs, "retry", name, "-o", "yaml"))
    assert (retried["spec"]["retryRequests"], retried["spec"]["cancelled"]) == (1, False)
    wait(jobs, name, lambda job: job["status"]["run"] == 2)
    assert "can only be retried once it is Failed" in _refusal(jobs, "retry", name)
    bgjob(jobs, "cancel", name)
    wait(jobs, name, phase("Cancelled"))


def test_a_delayed_job_is_started(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay="1h")
    assert bgjob(jobs, "start", name) == f"backgroundjob.bgjobs.dev/{name} start requested\n"
    wait_finished(jobs, name)


def test_several_jobs_are_named_at_once(jobs: Jobs, name: str) -> None:
    names = [f"{name}-a", f"{name}-b"]
    for each in names:
        submit(jobs, each, delay="1h")
    found = json.loads(bgjob(jobs, "cancel", *names, "-o", "json"))
    assert [job["metadata"]["name"] for job in found["items"]] == names
    for each in names:
        wait(jobs, each, phase("Cancelled"))


@pytest.mark.parametrize(
    "resource",
    ["backgroundjob.bgjobs.dev", "backgroundjob", "backgroundjobs", "bgjob", "bgjob.bgjobs.dev"],
)
def test_a_name_is_taken_as_kubectl_prints_it(jobs: Jobs, name: str, resource: str) -> None:
    submit(jobs, name, delay="1h")
    done = plugin.run(jobs.server, "cancel", f"{resource}/{name}", "-n", jobs.namespace)
    assert (done.returncode, done.stdout) == (
        0,
        f"backgroundjob.bgjobs.dev/{name} cancel requested\n",
    )
    assert json.loads(bgjob(jobs, "explain", f"{resource}/{name}", "-o", "json"))["name"] == name


def test_a_name_of_another_resource_is_refused(jobs: Jobs) -> None:
    for verb in ("explain", "wait", "logs", "cancel", "retry", "start", "suspend", "resume"):
        done = plugin.run(jobs.server, verb, "configmap/stock", "-n", jobs.namespace)
        assert (done.returncode, done.stderr) == (
            2,
            "error: Invalid value for 'NAME': configmap/stock is no BackgroundJob: give its name, "
            f"or bgjob/NAME (see kubectl bgjob {verb} --help).\n",
        )


def test_one_name_that_fails_does_not_keep_a_command_from_the_others(jobs: Jobs, name: str) -> None:
    names = [f"{name}-a", f"{name}-b"]
    for each in names:
        submit(jobs, each, delay="1h")
    given = (names[0], "no-such-job", names[1])
    done = plugin.run(jobs.server, "cancel", *given, "-n", jobs.namespace)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (
        1,
        [f"backgroundjob.bgjobs.dev/{each} cancel requested" for each in names],
        f"error: There is no BackgroundJob no-such-job in the namespace {jobs.namespace}.\n",
    )
    for each in names:
        wait(jobs, each, phase("Cancelled"))
    refused = plugin.run(jobs.server, "start", *names, "-n", jobs.namespace)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert [line.split(": ")[:3] for line in refused.stderr.splitlines()] == [
        ["error", each, "spec.startRequests"] for each in names
    ]
    waited = plugin.run(jobs.server, "wait", *given, "-n", jobs.namespace)
    assert (waited.returncode, waited.stdout.splitlines()) == (
        1,
        [f"backgroundjob.bgjobs.dev/{each} Cancelled" for each in names],
    )


def test_a_job_that_is_not_there_is_told(jobs: Jobs) -> None:
    for verb in ("explain", "wait", "logs", "cancel", "retry", "start", "suspend", "resume"):
        assert _refusal(jobs, verb, "no-such-job") == (
            f"There is no BackgroundJob no-such-job in the namespace {jobs.namespace}."
        )


# Many jobs.


@pytest.fixture
def failed(jobs: Jobs, name: str) -> Jobs:
    """Two failed jobs, one with a label, and a cancelled one, in a namespace of their own."""
    own = watching.new_namespace(jobs.server, f"bulk-{name}")
    for each in ("one", "two"):
        submit(own, each, pods=_FAILS, retries=0)
    submit(own, "cancelled", cancelled=True)
    for each in ("one", "two", "cancelled"):
        wait_finished(own, each)
    assert api.patch(own, "one", {"metadata": {"labels": {"team": "shop"}}}).status == 200
    return own


def test_all_that_failed_are_retried(failed: Jobs) -> None:
    done = plugin.run(failed.server, "retry", "--all-failed", "--yes", "-n", failed.namespace)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "backgroundjob.bgjobs.dev/one retry requested",
        "backgroundjob.bgjobs.dev/two retry requested",
    ]
    assert done.stderr == "2 of 2: retry requested\n"
    for name in ("one", "two"):
        wait(failed, name, lambda job: job["status"]["run"] == 2)
    assert _job(failed, "cancelled")["spec"]["retryRequests"] == 0


def test_a_selection_narrows_what_is_retried(failed: Jobs) -> None:
    found = json.loads(bgjob(failed, "retry", "-l", "team=shop", "--yes", "-o", "json"))
    assert [job["metadata"]["name"] for job in found["items"]] == ["one"]
    printed = bgjob(failed, "retry", "--class", CLASS, "--yes", "-o", "name")
    assert set(_names(printed)) >= {"two", "cancelled"}


def test_of_those_that_failed_one_group_of_errors_is_retried(failed: Jobs) -> None:
    submit(failed, "other", pods=[{"exitCode": 2}], retries=0)
    wait_finished(failed, "other")
    group = error_group_of(parse(_job(failed, "other")))
    assert group is not None
    printed = bgjob(failed, "retry", "--all-failed", "--error", group, "--yes", "-o", "name")
    assert _names(printed) == ["other"]
    done = plugin.run(failed.server, "retry", "--error", "none", "-n", failed.namespace)
    assert done.stderr == f"There is nothing to retry in the namespace {failed.namespace}.\n"


def test_all_that_fail_again_and_again_are_cancelled(jobs: Jobs) -> None:
    own = watching.new_namespace(jobs.server, "bulk-cancel")
    submit(own, "failing", pods=_FAILS, backoff={"seconds": 300})
    watching.allow(own, "bulk.jobs.Job")
    submit(own, "new", delay="1h", class_="bulk.jobs.Job")
    wait(own, "failing", phase("Retrying"))
    assert _names(bgjob(own, "cancel", "--all-failed", "--yes", "-o", "name")) == ["failing"]
    wait(own, "failing", phase("Cancelled"))
    done = plugin.run(own.server, "cancel", "--class", "bulk.jobs.Job", "-A", "--yes")
    assert done.stdout == (
        "backgroundjob.bgjobs.dev/new cancel requested in the namespace bulk-cancel\n"
    )
    wait(own, "new", phase("Cancelled"))


def test_what_is_refused_of_one_job_holds_up_no_other(jobs: Jobs, tmp_path: Path) -> None:
    """Its user may list all jobs, and change those of one namespace."""
    shut = watching.new_namespace(jobs.server, "bulk-a-shut")
    free = watching.new_namespace(jobs.server, "bulk-b-free")
    for own in (shut, free):
        submit(own, "new", delay="1h")
        assert api.patch(own, "new", {"metadata": {"labels": {"team": "bulk"}}}).status == 200
    _bind(free, "clusterrolebindings", "get", "list")
    _bind(free, f"namespaces/{free.namespace}/rolebindings", "patch")
    account = f"/api/v1/namespaces/{free.namespace}/serviceaccounts/default/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.request(jobs.server, "POST", account, request).body["status"]["token"]
    file = _kubeconfig(jobs, tmp_path, user={"token": token})
    asked = ("cancel", "-l", "team=bulk", "-A", "--yes", "-o", "json")
    done = plugin.run(jobs.server, *asked, kubeconfig=file)
    assert done.returncode == 1
    (changed,) = json.loads(done.stdout)["items"]
    assert changed["metadata"]["namespace"] == free.namespace
    refusal, count = done.stderr.splitlines()
    assert refusal.startswith("error: new in the namespace bulk-a-shut: ")
    assert "cannot patch resource" in refusal
    assert count == "1 of 2: cancel requested"


def _bind(jobs: Jobs, where: str, *verbs: str) -> None:
    """Gives the namespace's default account these rights on BackgroundJobs."""
    rbac, name = "rbac.authorization.k8s.io", f"{jobs.namespace}-{'-'.join(verbs)}"
    rules = [{"apiGroups": ["bgjobs.dev"], "resources": ["backgroundjobs"], "verbs": verbs}]
    role = {"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    binding = {
        "kind": "ClusterRoleBinding" if where == "clusterrolebindings" else "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": jobs.namespace}],
    }
    for path, made in (("clusterroles", role), (where, binding)):
        answer = api.request(
            jobs.server, "POST", f"/apis/{rbac}/v1/{path}", {"apiVersion": f"{rbac}/v1", **made}
        )
        assert answer.status == 201, answer.message


def test_nothing_to_do_is_said(jobs: Jobs) -> None:
    done = plugin.run(jobs.server, "retry", "--all-failed", "--class", "a.B", "-n", jobs.namespace)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"There is nothing to retry in the namespace {jobs.namespace}.\n"


def test_a_selection_is_needed_or_names(jobs: Jobs) -> None:
    either = "Say what to cancel: names, or a selection by --all-failed, --class or -l."
    assert _refusal(jobs, "cancel") == either
    assert _refusal(jobs, "cancel", "a", "--class", "b") == either
    assert _refusal(jobs, "cancel", "-A") == (
        "-A goes with --all-failed, --class or -l, which select jobs."
    )


def test_without_a_terminal_there_is_no_one_to_ask(failed: Jobs) -> None:
    assert _refusal(failed, "retry", "--all-failed") == (
        f"To retry 2 BackgroundJobs in the namespace {failed.namespace} (2 Failed) without being "
        "asked, say --yes."
    )
    assert _job(failed, "one")["spec"]["retryRequests"] == 0


def test_the_count_is_confirmed_and_what_changed_meanwhile_is_skipped(failed: Jobs) -> None:
    with _asked(failed, "retry", "--all-failed") as (question, answer):
        assert question == (
            f"Retry 2 BackgroundJobs in the namespace {failed.namespace} (2 Failed)? [y/N]"
        )
        change(failed, "one", retryRequests=1)
        wait(failed, "one", lambda job: job["status"]["run"] == 2)
        printed, said = answer("y")
    assert printed == "backgroundjob.bgjobs.dev/two retry requested\n"
    assert (
        "backgroundjob.bgjobs.dev/one skipped: it was changed by somebody else: retry requested "
        "already\n1 of 2: retry requested\n"
    ) in said
    assert _job(failed, "one")["spec"]["retryRequests"] == 1


def test_a_no_changes_nothing(failed: Jobs) -> None:
    with _asked(failed, "retry", "--all-failed") as (_, answer):
        printed, _ = answer("n")
    assert printed == ""
    assert _job(failed, "one")["spec"]["retryRequests"] == 0


@contextmanager
def _asked(jobs: Jobs, *arguments: str) -> Iterator[tuple[str, Callable[[str], tuple[str, str]]]]:
    """The question of a command that is run at a terminal, and how it is answered."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [str(PROGRAM), *arguments, "-n", jobs.namespace],
        env={"KUBECONFIG": str(jobs.server.control_plane.kubeconfig)},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        question = ""
        while not question.endswith("[y/N]") and (char := process.stderr.read(1)):
            question += char

        def answer(text: str) -> tuple[str, str]:
            os.write(ours, f"{text}\n".encode())
            printed, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
            return printed, said

        try:
            yield question, answer
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)


# Pausing a class.


def test_a_class_is_paused_and_goes_on(jobs: Jobs, name: str) -> None:
    class_ = "pausing.jobs.Job"
    watching.allow(jobs, class_)
    done = plugin.run(jobs.server, "pause", class_, "--reason", "stocktaking")
    assert done.stdout == f"configmap/bgjobs-runtimes changed: {class_} paused\n", done.stderr
    submit(jobs, name, class_=class_)
    assert "stocktaking" in wait(jobs, name, reason("Paused"))["status"]["message"]
    assert "start requested, but its class is paused, " in bgjob(jobs, "start", name)
    done = plugin.run(jobs.server, "unpause", class_)
    assert done.stdout == f"configmap/bgjobs-runtimes changed: {class_} unpaused\n", done.stderr
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
    assert class_ not in _runtimes(jobs)


def test_a_pause_leaves_a_runtimes_other_settings_as_they_are(jobs: Jobs) -> None:
    text = "# Of the warehouse team.\nimage: warehouse/jobs:1\n"
    watching.allow(jobs, "warehouse.jobs.Job")
    watching.set_key(jobs.server, "bgjobs-runtimes", "warehouse", text)
    done = plugin.run(jobs.server, "pause", "warehouse", "--reason", "moving", "--output", "yaml")
    data = yaml.safe_load(done.stdout)["data"]
    assert data["warehouse"] == f'{text}paused: "moving"\n'
    assert "default" in data
    said = plugin.run(jobs.server, "unpause", "warehouse.jobs.Job").stderr
    assert said == "error: warehouse.jobs.Job is paused by the key warehouse: unpause that.\n"
    assert plugin.run(jobs.server, "unpause", "warehouse").returncode == 0
    assert _runtimes(jobs)["warehouse"] == text
    watching.set_key(jobs.server, "bgjobs-runtimes", "warehouse", None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("pause", "no.such.Job", "--reason", "x"),
            "No class on the allowlist is no.such.Job or begins with no.such.Job. The allowlist is "
            "ConfigMap bgjobs-allowlist in namespace bgjobs-system.",
        ),
        (("pause", "default"), "Missing option '--reason' (see kubectl bgjob pause --help)."),
        (
            ("pause", "default", "--reason", " "),
            "--reason must say something: the jobs that wait show it.",
        ),
        (("unpause", "default"), "default is not paused."),
        (
            ("pause", "default", "--reason", "x", "--operator-namespace", "elsewhere"),
            "There is no ConfigMap bgjobs-runtimes in the namespace elsewhere: give the operator's "
            "by --operator-namespace.",
        ),
    ],
)
def test_a_pause_that_makes_no_sense(jobs: Jobs, arguments: tuple[str, ...], said: str) -> None:
    done = plugin.run(jobs.server, *arguments)
    assert (done.returncode > 0, done.stderr) == (True, f"error: {said}\n")


def _runtimes(jobs: Jobs) -> Any:
    path = "/api/v1/namespaces/bgjobs-system/configmaps/bgjobs-runtimes"
    return api.request(jobs.server, "GET", path).body["data"]


# Who and where.


def test_an_api_server_that_does_not_answer(jobs: Jobs, tmp_path: Path) -> None:
    kubeconfig = _kubeconfig(jobs, tmp_path, server="https://127.0.0.1:1")
    assert _refusal(jobs, "list", kubeconfig=kubeconfig) == (
        "The API server https://127.0.0.1:1 cannot be reached: Connection refused"
    )


def test_an_api_server_of_another_authority(jobs: Jobs, tmp_path: Path) -> None:
    kubeconfig = _kubeconfig(jobs, tmp_path, **{"certificate-authority-data": None})
    said = _refusal(jobs, "list", kubeconfig=kubeconfig)
    assert said.startswith(
        f"The API server {jobs.server.url} cannot be reached: certificate verify "
    )


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"token": "wrong"}, "does not know you: sign in again (Unauthorized)."),
        (
            {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": "no-such-command",
                    "interactiveMode": "Never",
                }
            },
            "The kubeconfig cannot be used: [Errno 2] No such file or directory: 'no-such-command'",
        ),
    ],
)
def test_credentials_that_are_none(
    jobs: Jobs, tmp_path: Path, user: dict[str, Any], said: str
) -> None:
    kubeconfig = _kubeconfig(jobs, tmp_path, user=user)
    assert _refusal(jobs, "list", kubeconfig=kubeconfig).endswith(said)


@pytest.mark.parametrize("text", ["", "just text", "- a list", "a: [", "contexts: 7", "{}"])
def test_a_kubeconfig_that_is_none(jobs: Jobs, tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    said = _refusal(jobs, "list", "--kubeconfig", str(file))
    assert said.startswith(("The kubeconfig cannot be used: ", "The kubeconfig has no "))


def test_no_kubeconfig_at_all_is_told(jobs: Jobs) -> None:
    assert _refusal(jobs, "list", "--kubeconfig", "/no/such/file") == (
        "There is no kubeconfig at /no/such/file: name one by --kubeconfig or in KUBECONFIG."
    )


def test_a_kubeconfig_needs_no_current_context(jobs: Jobs, tmp_path: Path) -> None:
    file = _kubeconfig(jobs, tmp_path)
    content = yaml.safe_load(file.read_text())
    name = content.pop("current-context")
    file.write_text(yaml.safe_dump(content))
    assert _refusal(jobs, "list", kubeconfig=file) == (
        f"The kubeconfig has no current-context: choose one by --context: {name}."
    )
    assert bgjob(jobs, "list", "--context", name, "-o", "json", kubeconfig=file)


def test_a_context_is_chosen_by_its_name_and_brings_its_namespace(
    jobs: Jobs, name: str, tmp_path: Path
) -> None:
    submit(jobs, name, delay="1h")
    file = _kubeconfig(jobs, tmp_path)
    content = yaml.safe_load(file.read_text())
    [first] = content["contexts"]
    content["contexts"].append(
        {"name": "other", "context": {**first["context"], "namespace": jobs.namespace}}
    )
    file.write_text(yaml.safe_dump(content))
    arguments = ("--kubeconfig", str(file), "--context", "other")
    done = plugin.run(jobs.server, "explain", name, *arguments, "-o", "json")
    commands = plugin.commands(json.loads(done.stdout))
    assert commands
    chosen = f"--context other --kubeconfig {file}"
    assert [command for command in commands if chosen not in command] == []
    assert plugin.run(jobs.server, "list", "--context", "none").stderr.startswith(
        "error: The kubeconfig has no context none: choose one by --context: "
    )


def test_what_is_forbidden_is_said_as_the_api_server_says_it(jobs: Jobs, tmp_path: Path) -> None:
    account = "/api/v1/namespaces/default/serviceaccounts/default/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.request(jobs.server, "POST", account, request).body["status"]["token"]
    kubeconfig = _kubeconfig(jobs, tmp_path, user={"token": token})
    assert _refusal(jobs, "list", kubeconfig=kubeconfig) == (
        'backgroundjobs.bgjobs.dev is forbidden: User "system:serviceaccount:default:default" '
        'cannot list resource "backgroundjobs" in API group "bgjobs.dev" in the namespace '
        f'"{jobs.namespace}": ask the platform team for a role that may.'
    )


def _kubeconfig(
    jobs: Jobs, directory: Path, user: dict[str, Any] | None = None, **cluster: str | None
) -> Path:
    """The administrator's, with another cluster or user."""
    content = yaml.safe_load(jobs.server.control_plane.kubeconfig.read_text())
    given = content["clusters"][0]["cluster"] | cluster
    content["clusters"][0]["cluster"] = {key: each for key, each in given.items() if each}
    if user is not None:
        content["users"][0]["user"] = user
    file = directory / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return file


# Through kubectl itself.


def _kubectl(jobs: Jobs, *arguments: str) -> subprocess.CompletedProcess[str]:
    kubectl = jobs.server.control_plane.kubectl
    return subprocess.run(
        [str(kubectl), *arguments],
        env={
            "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
            "HOME": str(jobs.server.control_plane.kubeconfig.parent),
            "KUBECONFIG": str(jobs.server.control_plane.kubeconfig),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_kubectl_finds_it(listed: Jobs) -> None:
    done = _kubectl(listed, "bgjob", "list", "-n", listed.namespace, "-o", "name")
    assert "succeeded" in _names(done.stdout), done.stderr
    assert _kubectl(listed, "bgjob", "cancel", "nope").returncode == 1


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (("can",), "cancel"),
        (("explain", ""), "succeeded"),
        (("cancel", "r"), "running"),
        (("retry", ""), "failed"),
        (("submit", "kwok"), CLASS),
        (("submit", CLASS, "--method", ""), "handle"),
        (("submit", CLASS, "--priority", "H"), "High"),
        (("list", "--class", ""), CLASS),
        (("list", "--phase", "fai"), "Failed"),
        (("list", "--context", ""), "bgjobs-local"),
        (("list", "--namespace", "lis"), "listed"),
        (("pause", "def"), "default"),
        (("list", "--all-n"), "--all-namespaces"),
    ],
)
def test_the_shell_completes_it(listed: Jobs, words: tuple[str, ...], want: str) -> None:
    verb, *rest = words
    chosen = ("-n", listed.namespace) if rest else ()
    done = _kubectl(listed, "__complete", "bgjob", verb, *chosen, *rest)
    *suggested, directive = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert want in suggested
    assert directive == ":4"


def test_the_shell_completes_only_what_makes_sense(listed: Jobs) -> None:
    words = ("cancel", "-n", listed.namespace, "")
    printed = _kubectl(listed, "__complete", "bgjob", *words).stdout
    assert {line.split("\t")[0] for line in printed.splitlines()} == {"delayed", "running", ":4"}


def test_the_shell_completes_nothing_where_nobody_answers(listed: Jobs) -> None:
    words = ("explain", "--kubeconfig", "/no/such/file", "")
    assert _kubectl(listed, "__complete", "bgjob", *words).stdout == ":4\n"
