"""What wait and logs do with an API server's answers, which a small HTTP server gives."""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.abc import MetaPathFinder
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from tests.unit.builders import UID, background_job_json, pod_json

from bgjobs.cli.__main__ import main
from bgjobs.cli.command import run

NAME = "stock"
LISTED_AT = "12345"


@dataclass
class Server:
    """The answers: to a GET or a LIST of the job one after the other, the last again and again."""

    kubeconfig: Path
    jobs: list[Any] = field(default_factory=list)
    events: list[list[Any]] = field(default_factory=list)
    """What each watch says before it ends."""
    pods: list[Any] = field(default_factory=list)
    logs: dict[str, bytes | int] = field(default_factory=dict)
    """By pod: what it printed, or the status of a refusal."""
    instead: Callable[[str], tuple[int, bytes]] | None = None
    breaks_logs: bool = False
    """Whether a log without an end of line breaks off, as when its connection is lost."""

    def answer(self, path: str) -> tuple[int, bytes]:
        if match := re.search(r"/pods/([^/?]+)/log", path):
            log = self.logs[match[1]]
            return (log, _status(log)) if isinstance(log, int) else (200, log)
        if "/pods" in path:
            return 200, json.dumps({"items": self.pods}).encode()
        if "watch=true" in path:
            events = self.events.pop(0) if self.events else []
            return 200, b"".join(json.dumps(event).encode() + b"\n" for event in events)
        job = self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
        if "/backgroundjobs?" in path:
            listed = {"items": [job] if job else [], "metadata": {"resourceVersion": LISTED_AT}}
            return 200, json.dumps(listed).encode()
        return (404, _status(404)) if job is None else (200, json.dumps(job).encode())


def _status(code: int) -> bytes:
    details = {"name": NAME}
    return json.dumps({"kind": "Status", "message": f"HTTP {code}", "details": details}).encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    kubeconfig = tmp_path / "kubeconfig"
    answers = Server(kubeconfig)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = (answers.instead or answers.answer)(self.path)
            self.send_response(code)
            if code == 429:
                self.send_header("Retry-After", "0")
            if answers.breaks_logs and "/log?" in self.path and not body.endswith((b"\n", b"}")):
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%s\r\n" % (len(body), body)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        context = {"cluster": "c", "user": "u", "namespace": "shop"}
        content = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": context}],
            "clusters": [
                {"name": "c", "cluster": {"server": f"http://127.0.0.1:{http.server_port}"}}
            ],
            "users": [{"name": "u", "user": {}}],
        }
        kubeconfig.write_text(yaml.safe_dump(content))
        yield answers
        http.shutdown()


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bgjob(server: Server, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Runs a command; returns its exit code and what it printed on stdout and stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run([*arguments, "--kubeconfig", str(server.kubeconfig)])
        printed, said = capfdbinary.readouterr()
        return exit_code, printed.decode(), said.decode()

    return command


def job(phase: str, message: str, uid: str = UID, **status: Any) -> Any:
    raw = background_job_json(NAME, uid=uid)
    raw["status"] = {"phase": phase, "reason": "Queued", "message": message, **status}
    return raw


def pod(attempt: int, run: int = 1) -> Any:
    labels = {"bgjobs.dev/run": str(run), "bgjobs.dev/attempt": str(attempt)}
    name = f"pod-{run}-{attempt}"
    return {"metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels}}


def attempt(number: int, run: int = 1, **more: Any) -> Any:
    return {
        "run": run,
        "attempt": number,
        "jobName": "j",
        "finish": "2026-01-01T00:00:00Z",
        "outcome": "Failed",
        "reason": "Error",
        **more,
    }


def told(said: str) -> list[str]:
    """The lines without the time that each begins with."""
    return [line.split(maxsplit=1)[1] for line in said.splitlines()]


DONE = job("Succeeded", "Attempt 1 of 4 succeeded.")


def test_wait_goes_on_when_a_watch_ends_and_tells_nothing_twice(
    server: Server, bgjob: Command
) -> None:
    queued, runs = job("Pending", "It is queued."), job("Running", "It runs.")
    server.jobs = [queued, queued, runs, DONE]
    server.events = [[], [{"type": "MODIFIED", "object": runs}], [{"type": "BOOKMARK"}]]
    assert bgjob("wait", NAME)[:2] == (0, f"backgroundjob.bgjobs.dev/{NAME} Succeeded\n")


def test_wait_watches_from_the_list_and_pauses_before_it_looks_again(
    server: Server, bgjob: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job's own resourceVersion may be too old to watch from, however often it is read."""
    pauses: list[float] = []
    monkeypatch.setattr("bgjobs.cli.cluster.time.sleep", pauses.append)
    server.jobs = [job("Pending", "It is queued."), DONE]
    server.events = [[{"type": "ERROR", "object": {"kind": "Status", "code": 410}}]]
    watched: list[str] = []

    def answer(path: str) -> tuple[int, bytes]:
        watched.extend(re.findall(r"watch=true.*&resourceVersion=(\w+)", path))
        return server.answer(path)

    server.instead = answer
    assert bgjob("wait", NAME)[0] == 0
    assert (watched, pauses) == ([LISTED_AT], [1.0])


def test_a_name_that_says_something_in_a_selector_is_escaped(
    server: Server, bgjob: Command
) -> None:
    selected: list[str] = []

    def answer(path: str) -> tuple[int, bytes]:
        selected.extend(parse_qs(urlsplit(path).query)["fieldSelector"])
        return server.answer(path)

    server.jobs, server.instead = [None], answer
    said = "error: There is no BackgroundJob a,b=\\c in the namespace shop.\n"
    assert bgjob("wait", "a,b=\\c") == (1, "", said)
    assert selected == [r"metadata.name=a\,b\=\\c"]


def test_wait_tells_each_state_once(server: Server, bgjob: Command) -> None:
    queued, runs = job("Pending", "It is queued."), job("Running", "It runs.")
    server.jobs = [queued, queued, DONE]
    server.events = [[], [{"type": "MODIFIED", "object": each} for each in (runs, runs)]]
    _, _, said = bgjob("wait", NAME)
    assert told(said) == [f"{NAME} Pending: It is queued.", f"{NAME} Running: It runs."]


@pytest.mark.parametrize("timeout", ["0", "1s"])
def test_wait_gives_up_after_its_timeout(server: Server, bgjob: Command, timeout: str) -> None:
    server.jobs = [job("Pending", "It is queued.")]
    exit_code, printed, said = bgjob("wait", NAME, "--timeout", timeout)
    assert (exit_code, printed) == (1, "")
    assert said.splitlines()[-1] == (
        f"error: {NAME} is still Pending (It is queued.): it goes on; wait again, or see kubectl "
        f"bgjob explain {NAME} -n shop --kubeconfig {server.kubeconfig}"
    )


def to_run_again() -> Any:
    """Failed, with another run asked for that the operator has not begun."""
    failed = job("Failed", "Attempt 1 of 1 failed.", attempts=[attempt(1)])
    failed["spec"]["retryRequests"] = 1
    return failed


def test_wait_waits_for_the_run_that_was_asked_for(server: Server, bgjob: Command) -> None:
    server.jobs = [to_run_again()]
    runs = job("Running", "It runs.", run=2, observedRetryRequests=1)
    server.events = [[{"type": "MODIFIED", "object": each} for each in (runs, DONE)]]
    exit_code, printed, said = bgjob("wait", NAME)
    assert (exit_code, printed) == (0, f"backgroundjob.bgjobs.dev/{NAME} Succeeded\n")
    assert told(said) == [f"{NAME} Running: It runs."]


def test_logs_follows_the_run_that_was_asked_for(server: Server, bgjob: Command) -> None:
    server.jobs, server.pods, server.logs = [to_run_again()], [pod(1)], {"pod-1-1": b"old\n"}
    runs = job("Running", "It runs.", run=2, observedRetryRequests=1)
    server.events = [[{"type": "MODIFIED", "object": each} for each in (runs, DONE)]]

    def answer(path: str) -> tuple[int, bytes]:
        if "watch=true" in path:
            server.pods.append(pod(1, run=2))
            server.logs["pod-2-1"] = b"new\n"
        return server.answer(path)

    server.instead = answer
    assert bgjob("logs", NAME, "-f")[:2] == (0, "new\n")


def test_a_timeout_that_is_no_time_is_a_usage_error(bgjob: Command) -> None:
    exit_code, _, said = bgjob("wait", NAME, "--timeout", "soon")
    assert exit_code == 2
    assert "soon is no length of time: give 90, 30s, 5m or 1h" in said


@pytest.mark.parametrize("then", [None, job("Pending", "New.", uid="another")])
def test_wait_ends_when_the_job_is_gone(server: Server, bgjob: Command, then: Any) -> None:
    server.jobs = [job("Pending", "It is queued."), then]
    exit_code, _, said = bgjob("wait", NAME)
    assert exit_code == 1
    assert said.splitlines()[-1] == f"error: BackgroundJob {NAME} was deleted before it finished."


def test_logs_prints_the_latest_attempt(server: Server, bgjob: Command) -> None:
    server.jobs, server.pods = [DONE], [pod(2), pod(1)]
    server.logs = {"pod-1-1": b"first\n", "pod-1-2": b"second\n"}
    assert bgjob("logs", NAME) == (0, "second\n", "")
    assert bgjob("logs", NAME, "--attempt", "1") == (0, "first\n", "")


def test_a_log_that_is_empty_while_its_pod_runs_is_read_again(
    server: Server, bgjob: Command
) -> None:
    """As a kubelet may answer just when the container begins."""
    server.jobs = [job("Running", "It runs."), job("Running", "It runs."), DONE]
    server.pods = [{**pod(1), "status": {"phase": "Running"}}]
    logs = iter([b"", b"said\n"])
    server.instead = lambda path: (
        (200, next(logs)) if path.split("?")[0].endswith("/log") else server.answer(path)
    )
    exit_code, printed, said = bgjob("logs", NAME, "--follow")
    assert (exit_code, printed) == (0, "said\n")
    assert said.count("(Attempt 1, pod pod-1-1)") == 1


def follows_a_log_that_breaks(server: Server, tries: list[bytes | int]) -> None:
    """While the job changes twice and then succeeds; what the last try gets, later ones get."""
    server.breaks_logs, runs = True, job("Running", "It runs.")
    server.jobs, server.pods = [runs], [{**pod(1), "status": {"phase": "Running"}}]
    server.events = [[{"type": "MODIFIED", "object": each} for each in (runs, runs, DONE)]]

    def answer(path: str) -> tuple[int, bytes]:
        if "/log?" in path and len(tries) > 1:
            server.logs["pod-1-1"] = tries.pop(0)
        elif "/log?" in path:
            server.logs["pod-1-1"] = tries[0]
        return server.answer(path)

    server.instead = answer


@pytest.mark.parametrize(
    "tries",
    [
        pytest.param([b"one\ntw", b"one\ntwo\nth", b"one\ntwo\nthree\n"], id="breaks twice"),
        pytest.param([b"one\ntw", 502, b"one\ntwo\nthree\n"], id="breaks, cannot be asked"),
        pytest.param([500, 503, b"one\ntwo\nthree\n"], id="cannot be asked at first"),
    ],
)
def test_a_log_that_breaks_is_read_on_from_there(
    server: Server, bgjob: Command, monkeypatch: pytest.MonkeyPatch, tries: list[bytes | int]
) -> None:
    monkeypatch.setattr("bgjobs.cli.following.time.sleep", lambda _: None)
    follows_a_log_that_breaks(server, tries)
    exit_code, printed, said = bgjob("logs", NAME, "-f")
    assert (exit_code, printed) == (0, "one\ntwo\nthree\n")
    assert said.count("(Attempt 1, pod pod-1-1)") == 1


def test_a_log_that_cannot_be_read_to_its_end_is_told(
    server: Server, bgjob: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bgjobs.cli.following.time.sleep", lambda _: None)
    follows_a_log_that_breaks(server, [b"one\ntw", 502])
    exit_code, printed, said = bgjob("logs", NAME, "-f")
    assert (exit_code, printed) == (0, "one\n")
    assert "(Attempt 1: the end of its log cannot be read.)\n" in said


def test_logs_goes_on_while_the_pods_cannot_be_listed(server: Server, bgjob: Command) -> None:
    server.jobs = [job("Running", "It runs.")]
    server.events = [[{"type": "MODIFIED", "object": DONE}]]
    server.instead = lambda path: (503, b"") if "/pods" in path else server.answer(path)
    exit_code, _, said = bgjob("logs", NAME, "-f")
    assert (exit_code, said.count("(stock: the end of its log cannot be read.)")) == (0, 1)


def test_the_log_of_one_attempt_that_breaks_is_an_error(server: Server, bgjob: Command) -> None:
    follows_a_log_that_breaks(server, [b"one\ntw"])
    exit_code, printed, said = bgjob("logs", NAME, "-f", "--attempt", "1")
    assert (exit_code, printed) == (1, "one\n")
    assert said.splitlines()[-1].startswith("error: The API server")


def test_logs_finds_an_attempt_of_an_earlier_run(server: Server, bgjob: Command) -> None:
    server.jobs = [job("Running", "It runs.", run=2)]
    server.pods = [pod(1), pod(1, run=2)]
    server.logs = {"pod-1-1": b"first run\n", "pod-2-1": b"second run\n"}
    assert bgjob("logs", NAME, "--attempt", "1") == (0, "second run\n", "")
    assert bgjob("logs", NAME, "--attempt", "1", "--run", "1") == (0, "first run\n", "")


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_logs_of_a_run_are_those_of_its_latest_attempt(
    server: Server, bgjob: Command, follow: tuple[str, ...]
) -> None:
    server.jobs = [job("Running", "It runs.", run=2)]
    server.pods = [pod(1), pod(2), pod(1, run=2)]
    server.logs = {"pod-1-2": b"first run\n", "pod-2-1": b"second run\n"}
    assert bgjob("logs", NAME, "--run", "1", *follow)[:2] == (0, "first run\n")


def test_a_run_that_was_never_made_has_no_log(server: Server, bgjob: Command) -> None:
    server.jobs, server.pods = [job("Running", "It runs.", run=2)], [pod(2, run=2)]
    said = "error: Attempt 1 of run 7 of stock is not known: its latest is 2 of run 2.\n"
    assert bgjob("logs", NAME, "--run", "7") == (1, "", said)


@pytest.mark.parametrize(
    ("arguments", "status", "logs", "said"),
    [
        pytest.param(
            (),
            {},
            {},
            "BackgroundJob stock has made no attempt yet: It is queued.",
            id="no attempt yet",
        ),
        pytest.param(
            (),
            {"attempts": [attempt(1)]},
            {},
            "The log of attempt 1 of stock is gone: it went with its pod.",
            id="gone with its pod",
        ),
        pytest.param(
            ("--attempt", "7"),
            {"attempts": [attempt(2)]},
            {},
            "Attempt 7 of stock is not known: its latest is 2 of run 1.",
            id="unknown",
        ),
        pytest.param(
            (),
            {},
            {"pod-1-1": 400},
            "Attempt 1 of stock has not begun to run yet.",
            id="not begun",
        ),
    ],
)
def test_logs_that_are_not_there(
    server: Server,
    bgjob: Command,
    arguments: tuple[str, ...],
    status: Any,
    logs: dict[str, bytes | int],
    said: str,
) -> None:
    server.jobs = [job("Pending", "It is queued.", **status)]
    server.pods, server.logs = [pod(1) for _ in logs], logs
    assert bgjob("logs", NAME, *arguments) == (1, "", f"error: {said}\n")


def test_logs_prints_what_was_kept_of_a_stopped_attempt(server: Server, bgjob: Command) -> None:
    server.jobs = [job("Cancelled", "Cancelled.", attempts=[attempt(1, logTail="the end")])]
    assert bgjob("logs", NAME) == (
        0,
        "the end\n",
        "(Attempt 1: only the end of its log was kept.)\n",
    )


def test_logs_follows_one_attempt_after_the_other(server: Server, bgjob: Command) -> None:
    queued, runs = job("Pending", "It is queued."), job("Running", "It runs.")
    server.jobs = [queued, queued, runs, DONE]
    server.pods = [pod(1), pod(2)]
    server.logs = {"pod-1-1": b"first\n", "pod-1-2": b"second, without an end of line"}
    exit_code, printed, said = bgjob("logs", NAME, "--follow")
    assert (exit_code, printed) == (0, "first\nsecond, without an end of line")
    assert "(Attempt 1, pod pod-1-1)\n(Attempt 2, pod pod-1-2)\n" in said
    assert told(said)[-1] == f"{NAME} Succeeded: Attempt 1 of 4 succeeded."


def test_nothing_of_an_attempt_is_told_after_its_log(server: Server, bgjob: Command) -> None:
    starts, runs = job("Pending", "It starts."), job("Running", "It runs.")
    server.jobs, server.pods, server.logs = [starts], [pod(1)], {"pod-1-1": b"all of it\n"}
    server.events = [[{"type": "MODIFIED", "object": each} for each in (runs, DONE)]]
    exit_code, printed, said = bgjob("logs", NAME, "--follow")
    assert (exit_code, printed) == (0, "all of it\n")
    assert told(said) == [
        f"{NAME} Pending: It starts.",
        "1, pod pod-1-1)",
        f"{NAME} Succeeded: Attempt 1 of 4 succeeded.",
    ]


def test_logs_waits_for_an_attempt_that_has_not_begun(server: Server, bgjob: Command) -> None:
    queued = job("Pending", "It is queued.")
    server.jobs, server.pods, server.logs = [queued], [pod(1)], {"pod-1-1": 400}
    begins = {"type": "MODIFIED", "object": job("Running", "It runs.")}
    ends = {"type": "MODIFIED", "object": DONE}
    server.events = [[begins, ends]]

    def answer(path: str) -> tuple[int, bytes]:
        if "watch=true" in path:
            server.logs = {"pod-1-1": b"at last\n"}
        return server.answer(path)

    server.instead = answer
    assert bgjob("logs", NAME, "-f")[:2] == (0, "at last\n")


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("no-such-command",), 2),
        (("list", "--phase", "Odd"), 2),
        (("list", "--priority", "Odd"), 2),
        (("cancel",), 2),
        (("cancel", "-A"), 2),
        (("submit", "shop.jobs.Sync", "--name", "a", "--key", "b"), 2),
        (("submit", "shop.jobs.Sync", "--param", "odd"), 2),
        (("submit", "shop.jobs.Sync", "--params-file", __file__), 2),
        (("pause", "shop.jobs", "--reason", " "), 2),
        (("explain", NAME), 1),
    ],
)
def test_only_a_wrong_command_line_exits_with_2(
    server: Server, bgjob: Command, arguments: tuple[str, ...], want: int
) -> None:
    server.instead = lambda _: (200, b'{"items": [], "metadata": {}}')
    if want == 1:
        server.instead = lambda _: (404, _status(404))
    assert bgjob(*arguments)[0] == want


def test_an_interrupt_while_the_code_is_read_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupts(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "bgjobs.cli.command":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "bgjobs.cli.command")
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_an_option_before_the_command_is_told_its_place(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["-n", "shop", "list"]) == 2
    assert capfd.readouterr().err == (
        "error: No such option: -n: options come after the command, as in kubectl bgjob list -n "
        "shop.\n"
    )


def test_the_help_cuts_no_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--help"]) == 0
    _, _, commands = capfd.readouterr().out.partition("Commands:")
    assert commands
    assert "..." not in commands


def test_the_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capfd.readouterr().out == f"bgjobs {version('bgjobs')}\n"


def test_a_cluster_without_the_resource_is_told(server: Server, bgjob: Command) -> None:
    server.instead = lambda _: (404, b"404 page not found\n")
    for arguments in (("list",), ("explain", NAME), ("cancel", NAME)):
        assert bgjob(*arguments) == (
            1,
            "",
            "error: This cluster has no BackgroundJobs: install bgjobs first, or choose another "
            "cluster with --context.\n",
        )


def test_an_answer_that_is_no_json_is_told(server: Server, bgjob: Command) -> None:
    server.instead = lambda _: (200, b"<html>sign in</html>")
    exit_code, _, said = bgjob("list")
    assert exit_code == 1
    assert re.fullmatch(r"error: What answers at http://\S+ is no API server: .*\n", said)


def test_a_job_and_a_pod_without_our_labels_are_explained(server: Server, bgjob: Command) -> None:
    """As anybody who may change them can make them."""
    owner = {"uid": UID, "controller": True}
    child = {
        "name": "stock-aeed6fac-1-1",
        "uid": "job-1-1",
        "resourceVersion": "5",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [owner],
    }
    unlabelled = pod_json()
    unlabelled["metadata"]["labels"] = {"bgjobs.dev/uid": UID}
    server.jobs, server.pods = [job("Pending", "It starts.")], [pod_json(), unlabelled]
    server.instead = lambda path: (
        (200, json.dumps({"metadata": child}).encode())
        if "/jobs/" in path
        else (404, _status(404))
        if "bgjobs-system" in path
        else server.answer(path)
    )
    exit_code, printed, said = bgjob("explain", NAME)
    assert (exit_code, said) == (0, "")
    assert "stock" in printed


def nested(answer: Any) -> bytes:
    """With managedFields that are nested as deep as the API server takes them."""
    levels = 9_990
    deep = f'"fieldsV1": {"[" * levels}{"]" * levels}'
    return json.dumps(answer).replace('"manager": "kubectl"', deep).encode()


@pytest.mark.parametrize("output", [(), ("-o", "json"), ("-o", "yaml")])
def test_a_job_that_is_nested_deep_is_listed(
    server: Server, bgjob: Command, output: tuple[str, ...]
) -> None:
    jobs = [background_job_json(NAME, method="handle", priority="High")]
    server.instead = lambda _: (200, nested({"items": jobs, "metadata": {}}))
    exit_code, printed, said = bgjob("list", *output)
    assert (exit_code, said) == (0, "")
    assert NAME in printed


def test_a_job_that_is_nested_too_deep_to_be_written_is_told(
    server: Server, bgjob: Command
) -> None:
    raw = job("Succeeded", "Done.")
    raw["status"]["result"] = json.loads("[" * 480 + "]" * 480)
    server.instead = lambda _: (200, json.dumps({"items": [raw], "metadata": {}}).encode())
    said = "error: What is to be shown is nested too deeply for that.\n"
    assert bgjob("list", "-o", "yaml") == (1, "", said)


def test_a_job_that_is_nested_deep_is_waited_for(server: Server, bgjob: Command) -> None:
    server.jobs, event = [job("Running", "It runs.")], {"type": "MODIFIED", "object": DONE}
    server.instead = lambda path: (200, nested(event)) if "watch" in path else server.answer(path)
    assert bgjob("wait", NAME)[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "\udcff"),
        ("wait", "\udcff"),
        ("cancel", "\udcff", NAME),
        ("list", "-n", "\udcff"),
        ("list", "-l", "\udcff"),
    ],
)
def test_what_is_not_utf_8_is_a_usage_error(
    server: Server, bgjob: Command, arguments: tuple[str, ...]
) -> None:
    server.jobs = [DONE]
    exit_code, printed, said = bgjob(*arguments)
    assert (exit_code, printed) == (2, "")
    assert re.fullmatch(r"error: '.*\\udcff' cannot be sent: it is not UTF-8\.\n", said)


def test_a_job_that_failed_without_a_message_is_told(server: Server, bgjob: Command) -> None:
    failed = job("Failed", "")
    del failed["status"]["message"]
    server.jobs = [failed]
    printed = f"backgroundjob.bgjobs.dev/{NAME} Failed\n"
    assert bgjob("wait", NAME) == (1, printed, f"error: {NAME} is Failed.\n")


@pytest.mark.parametrize("command", ["explain", "wait", "logs"])
def test_a_job_that_an_older_schema_let_in_is_told(
    server: Server, bgjob: Command, command: str
) -> None:
    server.jobs = [job("Failed", "Attempt 1 failed.")]
    server.jobs[0]["spec"]["priority"] = "Urgent"
    said = (
        f"error: BackgroundJob {NAME} breaks the schema of today: 'Urgent' is no priority: write "
        "High, Medium or Low.\n"
    )
    assert bgjob(command, NAME) == (1, "", said)


@pytest.mark.parametrize(
    ("arguments", "want"), [((), ["9", "Urgent", "High"]), (("--priority", "high"), ["High"])]
)
def test_a_job_that_an_older_schema_let_in_keeps_no_other_from_being_listed(
    server: Server, bgjob: Command, arguments: tuple[str, ...], want: list[str]
) -> None:
    jobs = [background_job_json(method="handle", priority=each) for each in (9, "Urgent", 1)]
    listed = {"items": jobs, "metadata": {}}
    server.instead = lambda _: (200, json.dumps(listed).encode())
    exit_code, printed, _ = bgjob("list", *arguments)
    assert exit_code == 0
    assert [line.split()[3] for line in printed.splitlines()[1:]] == want


def test_a_busy_api_server_is_asked_again_when_it_says_so(server: Server, bgjob: Command) -> None:
    answers = [(429, b"busy"), (429, b"busy"), (200, b'{"items": [], "metadata": {}}')]
    server.instead = lambda _: answers.pop(0)
    assert bgjob("list") == (0, "", "There are no BackgroundJobs in the namespace shop.\n")
    assert answers == []
