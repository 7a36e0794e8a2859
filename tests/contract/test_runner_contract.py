"""job-image/CONTRACT.md against the runner as the real process that a pod starts."""

import json
import os
import re
import signal
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JOB_IMAGE = Path(__file__).parents[2] / "job-image"

JOBS = """
import asyncio, json, os, sys, threading, time
from bgjobs_runner import BadParameters, Cancelled, PermanentFailure, RetryLater, job

@job
class Jobs:
    def context(self, context):
        return vars(context)

    def prints_parameters(self, **parameters):
        print(json.dumps(parameters))

    def gives_up(self):
        raise PermanentFailure("never")

    def refuses(self):
        raise BadParameters("no such warehouse")

    def returns_a_set(self):
        return {1}

    def returns_nan(self):
        return float("nan")

    def exits_the_interpreter(self, code):
        sys.exit(code)

    def raises(self, text, times):
        raise LookupError(text * times)

    def cannot_be_printed(self):
        class Odd(BaseException):
            def __str__(self):
                raise ValueError("a")
        raise Odd

    def is_interrupted(self):
        raise KeyboardInterrupt

    def recurses(self):
        self.recurses()

    def prints_what_utf8_cannot_carry(self):
        print("a\\ud800b")

    def closes_stdout(self):
        print("lost", end="")
        os.close(1)

    def leaves_a_thread(self):
        threading.Thread(target=time.sleep, args=(600,), name="leftover").start()
        return "done"

    async def leaves_a_thread_async(self):
        try:
            await asyncio.wait_for(asyncio.to_thread(time.sleep, 600), 0.1)
        except TimeoutError:
            return "done"

    async def is_done_with_its_threads(self):
        await asyncio.to_thread(print, "in a thread")

    async def leaves_tasks(self):
        async def waits():
            try:
                await asyncio.sleep(600)
            finally:
                await asyncio.sleep(0)
                print("task cleaned up")

        async def numbers():
            try:
                yield 1
            finally:
                print("generator cleaned up")

        self.task = asyncio.create_task(waits())
        self.numbers = numbers()
        await anext(self.numbers)

    def leaves_a_thread_and_closes_everything(self):
        sys.stdout.close()
        sys.stderr.close()
        return self.leaves_a_thread()

    def leaves_a_pool_of_processes(self):
        from concurrent.futures import ProcessPoolExecutor
        self.__class__.pool = ProcessPoolExecutor(1)
        return self.pool.submit(abs, -3).result()

    def leaves_a_process(self):
        from multiprocessing import Process
        Process(target=time.sleep, args=(600,), name="leftover").start()
        return "done"

    def leaves_a_daemon(self):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        return "done"

    # Its child sleeps until it is terminated.
    def terminates_a_process(self):
        from multiprocessing import get_context
        forking = get_context("fork")
        started = forking.Event()
        sleeper = forking.Process(target=lambda: (started.set(), time.sleep(600)))
        sleeper.start()
        started.wait(10)
        sleeper.terminate()
        sleeper.join(10)
        return sleeper.exitcode

    async def terminates_a_process_async(self):
        return self.terminates_a_process()

    def forks(self, end):
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if end == "exit":
            sys.exit(3)
        elif end == "raise":
            raise LookupError("in the fork")
        return "from the fork"

    async def forks_async(self, end):
        return self.forks(end)

    # These sleep until the test tells them to end: a job that is under way.
    def waits(self):
        try:
            print("started")
            time.sleep(600)
        finally:
            print("cleaning up")
            sys.stdin.readline()
            print("cleaned up")

    async def waits_async(self):
        try:
            print("started")
            await asyncio.sleep(600)
        finally:
            print("cleaning up")
            await asyncio.to_thread(sys.stdin.readline)
            print("cleaned up")

    def returns_when_cancelled(self):
        try:
            print("started")
            time.sleep(600)
        except Cancelled:
            return "half of it"

class Plain:
    def handle(self):
        pass
"""


@dataclass(frozen=True)
class Image:
    """What the job image is to the runner: an interpreter, and jobs on its sys.path."""

    python: Path
    log: Path

    def environment(
        self, path: str, method: str = "handle", parameters: str = "{}", attempt: int = 1
    ) -> dict[str, str]:
        return {
            "BGJOB_CONTRACT": "1",
            "BGJOB_CLASS": path,
            "BGJOB_METHOD": method,
            "BGJOB_PARAMETERS": parameters,
            "BGJOB_NAME": "stock-7",
            "BGJOB_NAMESPACE": "shop",
            "BGJOB_UID": "2f1c",
            "BGJOB_RUN": "2",
            "BGJOB_ATTEMPT": str(attempt),
            "BGJOB_IDEMPOTENCY_KEY": "2f1c-2",
            "BGJOB_TERMINATION_LOG": str(self.log),
        }

    def start(self, environment: dict[str, str]) -> "subprocess.Popen[str]":
        self.log.write_bytes(b"")
        return subprocess.Popen(
            [self.python, "-B", "-I", "-m", "bgjobs_runner"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *args: Any, **kwargs: Any) -> "Ended":
        return self.end(self.start(self.environment(*args, **kwargs)))

    def end(self, process: "subprocess.Popen[str]", line: str = "") -> "Ended":
        log, beside_it = process.communicate(line, timeout=60)
        assert beside_it == "", "the order of two streams is lost"
        written = self.log.read_bytes()
        assert len(written) <= 4096
        message = json.loads(written.decode()) if written else None
        return Ended(process.returncode, message, log)


@dataclass(frozen=True)
class Ended:
    exit_code: int
    message: Any
    log: str


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    (folder / "jobs").mkdir()
    (folder / "jobs" / "hostile.py").write_text(JOBS)
    venv.create(folder / "venv", symlinks=True)
    (packages,) = folder.glob("venv/lib/python3.*/site-packages")
    paths = [JOB_IMAGE / "src", JOB_IMAGE / "samples", folder / "jobs"]
    (packages / "jobs.pth").write_text("".join(f"{path}\n" for path in paths))
    return Image(folder / "venv" / "bin" / "python", folder / "termination-log")


SUCCESS = {"result", "resources"}
FAILURE = {"error", "resources"}
LATER = {"error", "retryAfterSeconds", "resources"}


@pytest.mark.parametrize(
    ("path", "method", "parameters", "exit_code", "keys"),
    [
        ("samples.jobs.Echo", "handle", '{"a":1}', 0, SUCCESS),
        ("samples.jobs.Sleep", "handle", '{"seconds":0}', 0, SUCCESS),
        ("samples.jobs.Fail", "handle", '{"times":1}', 1, FAILURE),
        ("samples.jobs.Later", "handle", '{"seconds":2.5,"times":1}', 75, LATER),
        ("samples.jobs.Memory", "handle", '{"mebibytes":32}', 0, SUCCESS),
        ("samples.jobs.Crash", "handle", "{}", -signal.SIGSEGV, None),
        ("samples.jobs.Exit", "handle", '{"code":3}', 3, None),
        ("samples.jobs.Exit", "handle", '{"code":66}', 66, None),
        ("samples.jobs.Exit", "handle", '{"code":0}', 0, None),
        ("hostile.Jobs", "exits_the_interpreter", '{"code":0}', 1, FAILURE),
        ("hostile.Jobs", "exits_the_interpreter", '{"code":64}', 1, FAILURE),
        ("hostile.Jobs", "exits_the_interpreter", '{"code":"text"}', 1, FAILURE),
        ("hostile.Jobs", "cannot_be_printed", "{}", 1, FAILURE),
        ("hostile.Jobs", "is_interrupted", "{}", 1, FAILURE),
        ("hostile.Jobs", "recurses", "{}", 1, FAILURE),
        ("hostile.Jobs", "raises", '{"text":"\\u0000\\ud800\\ud83d\\ude00","times":1}', 1, FAILURE),
        ("hostile.Jobs", "raises", '{"text":"\\u0000\\"","times":5000000}', 1, FAILURE),
        ("hostile.Jobs", "gives_up", "{}", 66, FAILURE),
        ("hostile.Jobs", "returns_a_set", "{}", 66, FAILURE),
        ("hostile.Jobs", "returns_nan", "{}", 66, FAILURE),
        ("hostile.Jobs", "refuses", "{}", 65, FAILURE),
        ("hostile.Jobs", "gives_up", '{"unknown":1}', 65, FAILURE),
        ("hostile.Jobs", "gives_up", "[]", 65, FAILURE),
        ("hostile.Jobs", "gives_up", "", 65, FAILURE),
        ("hostile.Jobs", "absent", "{}", 64, FAILURE),
        ("hostile.Jobs", "__init__", "{}", 64, FAILURE),
        ("hostile.Plain", "handle", "{}", 64, FAILURE),
        ("hostile.Absent", "handle", "{}", 64, FAILURE),
        ("absent.Jobs", "handle", "{}", 64, FAILURE),
        ("os.system", "handle", "{}", 64, FAILURE),
        ("hostile.Jobs\n", "gives_up", "{}", 64, FAILURE),
        ("hostile.Jobs", "prints_what_utf8_cannot_carry", "{}", 0, SUCCESS),
        ("hostile.Jobs", "closes_stdout", "{}", 0, SUCCESS),
        ("hostile.Jobs", "leaves_a_thread", "{}", 0, SUCCESS),
        ("hostile.Jobs", "leaves_a_thread_async", "{}", 0, SUCCESS),
        ("hostile.Jobs", "leaves_a_thread_and_closes_everything", "{}", 0, SUCCESS),
        ("hostile.Jobs", "leaves_a_pool_of_processes", "{}", 0, SUCCESS),
        ("hostile.Jobs", "leaves_a_process", "{}", 0, SUCCESS),
        ("hostile.Jobs", "leaves_a_daemon", "{}", 0, SUCCESS),
    ],
)
def test_every_end_has_its_exit_code_and_message(
    image: Image, path: str, method: str, parameters: str, exit_code: int, keys: set[str] | None
) -> None:
    ended = image.run(path, method, parameters)
    assert ended.exit_code == exit_code, ended.log
    assert (ended.message and ended.message.keys()) == keys


def test_threads_that_are_done_are_not_called_left_behind(image: Image) -> None:
    assert image.run("hostile.Jobs", "is_done_with_its_threads").log == "in a thread\n"


def test_what_a_coroutine_leaves_behind_cleans_up(image: Image) -> None:
    assert image.run("hostile.Jobs", "leaves_tasks").log == (
        "task cleaned up\ngenerator cleaned up\n"
    )


@pytest.mark.parametrize("method", ["terminates_a_process", "terminates_a_process_async"])
def test_a_job_can_terminate_the_processes_that_it_forks(image: Image, method: str) -> None:
    assert image.run("hostile.Jobs", method).message["result"] == -signal.SIGTERM


@pytest.mark.parametrize("method", ["forks", "forks_async"])
@pytest.mark.parametrize(("end", "exit_code"), [("return", 0), ("raise", 1), ("exit", 3)])
def test_a_fork_that_runs_on_ends_by_itself_and_tells_no_outcome(
    image: Image, method: str, end: str, exit_code: int
) -> None:
    environment = image.environment("hostile.Jobs", method, json.dumps({"end": end}))
    # What is written to a pipe is all there, in its order.
    read, write = os.pipe()
    environment["BGJOB_TERMINATION_LOG"] = f"/proc/{os.getpid()}/fd/{write}"
    image.end(image.start(environment))
    os.close(write)
    with os.fdopen(read) as written:
        assert json.loads(written.read())["result"] == exit_code


def test_the_contract_lists_the_exit_codes_of_the_runner() -> None:
    contract = (JOB_IMAGE / "CONTRACT.md").read_text()
    assert set(re.findall(r"^\| (\d+) \|", contract, re.MULTILINE)) == {
        *("0", "1", "64", "65", "66", "75", "143")
    }


def test_success_shape(image: Image) -> None:
    message = image.run("samples.jobs.Memory", parameters='{"mebibytes":64}').message
    assert message["result"] == 64
    assert message["resources"].keys() == {"peakMemoryBytes", "cpuSeconds"}
    assert message["resources"]["peakMemoryBytes"] > 64 << 20
    assert message["resources"]["cpuSeconds"] > 0


def test_large_result_shape(image: Image) -> None:
    ended = image.run("samples.jobs.Output", parameters='{"bytes":100000}')
    assert ended.message["result"] == {"truncated": True, "bytes": 100_002}
    assert ended.log == "x" * 100_000 + "\n"


def test_failure_shape(image: Image) -> None:
    error = image.run("samples.jobs.Fail", parameters='{"times":1}').message["error"]
    line = error["frame"].pop("line")
    traceback = error.pop("traceback")
    assert error == {
        "type": "RuntimeError",
        "message": "attempt 1 of 1 that fail",
        "frame": {"module": "samples.jobs", "function": "Fail.handle"},
    }
    where = f'  File "{JOB_IMAGE}/samples/samples/jobs.py", line {line}, in handle\n'
    assert traceback.startswith(f"{where}    raise RuntimeError")


def test_later_shape(image: Image) -> None:
    ended = image.run("samples.jobs.Later", parameters='{"seconds":2.5,"times":1}')
    assert ended.message["retryAfterSeconds"] == 3


@pytest.mark.parametrize("sample", ["Fail", "Later"])
def test_samples_succeed_after_their_times(image: Image, sample: str) -> None:
    parameters = {"Fail": '{"times":2}', "Later": '{"seconds":1,"times":2}'}[sample]
    codes = [
        image.run(f"samples.jobs.{sample}", parameters=parameters, attempt=attempt).exit_code
        for attempt in (1, 2, 3)
    ]
    assert codes == [{"Fail": 1, "Later": 75}[sample]] * 2 + [0]


def test_the_context_is_the_environment(image: Image) -> None:
    assert image.run("hostile.Jobs", "context", attempt=3).message["result"] == {
        "name": "stock-7",
        "namespace": "shop",
        "uid": "2f1c",
        "run": 2,
        "attempt": 3,
        "idempotency_key": "2f1c-2",
    }


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BGJOB_CONTRACT", "2"),
        ("BGJOB_CONTRACT", None),
        ("BGJOB_CLASS", None),
        ("BGJOB_METHOD", None),
        ("BGJOB_PARAMETERS", None),
        ("BGJOB_UID", None),
        ("BGJOB_RUN", "first"),
        ("BGJOB_ATTEMPT", "-1"),
    ],
)
def test_a_broken_environment_is_refused_by_name(
    image: Image, variable: str, value: str | None
) -> None:
    environment = image.environment("samples.jobs.Echo")
    del environment[variable]
    if value is not None:
        environment[variable] = value
    ended = image.end(image.start(environment))
    assert ended.exit_code == 64
    assert variable in ended.message["error"]["message"] or "contract 1" in ended.log


def test_a_log_that_cannot_be_written_costs_only_the_message(image: Image) -> None:
    environment = image.environment("samples.jobs.Echo", parameters='{"a":1}')
    environment["BGJOB_TERMINATION_LOG"] = "/absent/termination-log"
    ended = image.end(image.start(environment))
    assert (ended.exit_code, ended.message) == (0, None)
    assert '{"result":{"a":1}' in ended.log


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("$(BGJOB_UID) $$(X) ${HOME} `id` %s", id="expansions"),
        pytest.param("\"'\\ \t\r\n\b \x7f\u2028", id="quotes and white space"),
        pytest.param("😀é\ufeff\U0010ffff", id="emoji"),
        pytest.param("a\0b", id="NUL"),
        pytest.param([[[{"a": [None, True, -1.5e-300, 2**53]}]]], id="nested"),
        pytest.param("x" * (64 * 1024 - len('{"value":""}')), id="64 KiB"),
    ],
)
def test_hostile_parameters_arrive_as_equal_values(image: Image, value: object) -> None:
    parameters = json.dumps({"value": value}, ensure_ascii=False, separators=(",", ":"))
    ended = image.run("hostile.Jobs", "prints_parameters", parameters)
    assert json.loads(ended.log) == {"value": value}


def test_more_than_64_kib_of_parameters_do_not_fit(image: Image) -> None:
    parameters = json.dumps({"value": "x" * 64 * 1024})
    assert image.run("hostile.Jobs", "prints_parameters", parameters).exit_code == 65


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text().filter(lambda name: name != "self"), VALUES))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_json_arrives_as_equal_values(image: Image, parameters: dict[str, object]) -> None:
    text = json.dumps(parameters, ensure_ascii=False, separators=(",", ":"))
    ended = image.run("hostile.Jobs", "prints_parameters", text)
    assert json.loads(ended.log) == parameters


@pytest.mark.parametrize("method", ["waits", "waits_async"])
def test_sigterm_lets_the_job_clean_up_and_a_second_one_does_not_disturb(
    image: Image, method: str
) -> None:
    process = image.start(image.environment("hostile.Jobs", method))
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "cleaning up\n"
    process.send_signal(signal.SIGTERM)
    ended = image.end(process, "clean up\n")
    assert ended.log.startswith("cleaned up\nTraceback")
    assert ended.exit_code == 143
    assert ended.message["error"]["type"] == "bgjobs_runner.Cancelled"
    assert ended.message["error"]["frame"]["function"] == f"Jobs.{method}"


def test_sigterm_ends_the_runner_before_it_has_looked_for_the_job(image: Image) -> None:
    comes_early = """
import os, runpy, signal, sys

class Importing:
    def find_spec(self, name, *_):
        if name == "bgjobs_runner.pod":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Importing())
runpy.run_module("bgjobs_runner", run_name="__main__")
"""
    ended = subprocess.run([image.python, "-B", "-I", "-c", comes_early], check=False)
    assert ended.returncode == 143


def test_a_job_that_catches_the_cancellation_ends_with_its_own_code(image: Image) -> None:
    process = image.start(image.environment("hostile.Jobs", "returns_when_cancelled"))
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    ended = image.end(process)
    assert (ended.exit_code, ended.message["result"]) == (0, "half of it")


@pytest.mark.parametrize("method", ["leaves_a_thread", "leaves_a_process"])
def test_threads_and_processes_that_are_stopped_are_named(image: Image, method: str) -> None:
    assert "did not join: leftover" in image.run("hostile.Jobs", method).log


def test_a_crash_leaves_its_stack_in_the_log(image: Image) -> None:
    assert "in handle" in image.run("samples.jobs.Crash").log


def test_a_job_starts_without_the_slow_parts_of_the_standard_library(image: Image) -> None:
    slow = {"asyncio", "argparse", "ctypes", "logging", "pathlib", "pytest", "socket", "typing"}
    listed = subprocess.run(
        [image.python, "-B", "-I", "-c", "import sys, bgjobs_runner.pod; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert slow & set(listed.stdout.split()) == set()


def on_a_laptop(image: Image, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [image.python, "-B", "-m", "bgjobs_runner", *arguments],
        env={},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        pytest.param([], 64, id="neither a pod nor a command"),
        pytest.param(["run"], 2, id="no class"),
        pytest.param(["run", "samples.jobs.Echo", "--param", "a"], 2, id="no value"),
        pytest.param(["run", "samples.jobs.Echo", "--params-file", "absent"], 2, id="no file"),
    ],
)
def test_wrong_use_says_how_it_is_used(image: Image, arguments: list[str], exit_code: int) -> None:
    ended = on_a_laptop(image, *arguments)
    assert ended.returncode == exit_code
    assert "python -m bgjobs_runner run" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "keys"),
    [
        (["samples.jobs.Fail", "--param", "times=1"], 1, FAILURE),
        (["samples.jobs.Fail", "--param", "times=1", "--attempt", "2"], 0, SUCCESS),
        (["os.system"], 64, FAILURE),
        (["samples.jobs.Fail", "--param", "tims=1"], 65, FAILURE),
        (["samples.jobs.Later", "--param", "times=1", "--param", "seconds=1"], 75, LATER),
        (["hostile.Jobs", "--method", "gives_up"], 66, FAILURE),
    ],
)
def test_a_laptop_ends_as_the_pod_would(
    image: Image, arguments: list[str], exit_code: int, keys: set[str]
) -> None:
    ended = on_a_laptop(image, "run", *arguments)
    assert ended.returncode == exit_code
    assert json.loads(ended.stdout[ended.stdout.index("{") :]).keys() == keys


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("7", 7),
        ('"7"', "7"),
        ("007", "007"),
        ("seven", "seven"),
        ("true", True),
        ('{"a":[1]}', {"a": [1]}),
        ("NaN", "NaN"),
        ("", ""),
        ("a=b", "a=b"),
        ("😀", "😀"),
    ],
)
def test_a_value_on_the_command_line_is_json_or_else_text(
    image: Image, given: str, value: object
) -> None:
    ended = on_a_laptop(image, "run", "samples.jobs.Echo", "--param", f"a={given}")
    assert json.loads(ended.stdout)["result"] == {"a": value}


def test_check_prints_the_samples_as_lines_of_an_allowlist(image: Image) -> None:
    ended = on_a_laptop(image, "check", "samples.jobs")
    names = ["Echo", "Sleep", "Nap", "Fail", "Exit", "Output", "Crash", "Memory", "Later"]
    assert ended.stdout == "".join(f"samples.jobs.{name}: handle\n" for name in names)
    assert ended.returncode == 0
