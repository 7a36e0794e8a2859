"""The commands for a laptop: `run` one attempt as a pod would, `check` a module's jobs."""

import argparse
import json
import sys
from pathlib import Path

from bgjobs_runner import Context
from bgjobs_runner.parameters import strict_json
from bgjobs_runner.process import end, prepare_output
from bgjobs_runner.running import Attempt, perform

_UID = "00000000-0000-0000-0000-000000000000"
_MEANINGS = {
    0: "done",
    1: "failed; tried again if retries are left",
    64: "not allowed or not found; not tried again",
    65: "the parameters do not fit; not tried again",
    66: "failed for good; not tried again",
    75: "again later; costs no retry",
    143: "stopped by SIGTERM",
}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    if options.command == "check":
        # It needs typing, which the pods do without.
        from bgjobs_runner.check import check

        sys.exit(check(options.module))
    prepare_output()
    attempt = Attempt(
        class_path=options.class_path,
        method=options.method,
        parameters=(
            json.dumps(dict(options.param)).encode()
            if options.params_file is None
            else options.params_file
        ),
        context=laptop_context(options.class_path.rpartition(".")[2], options.attempt),
    )
    outcome = perform(attempt)
    print(json.dumps(outcome.message, indent=2, ensure_ascii=False))
    print(f"exit code {outcome.exit_code}: {_MEANINGS[outcome.exit_code]}", file=sys.stderr)
    end(outcome.exit_code)


def laptop_context(class_name: str, attempt: int) -> Context:
    return Context(
        name=class_name.lower(),
        namespace="laptop",
        uid=_UID,
        run=1,
        attempt=attempt,
        idempotency_key=f"{_UID}-1",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bgjobs_runner",
        description="Without arguments it runs the attempt that the operator describes in a pod.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run one attempt as a pod would")
    run.add_argument("class_path", metavar="CLASS", help="dotted path: shop.jobs.SyncStock")
    run.add_argument("--method", default="handle")
    parameters = run.add_mutually_exclusive_group()
    parameters.add_argument(
        "--param",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="a parameter; the value is read as JSON if it is JSON, else as text"
        " (for the text 7: 'name=\"7\"')",
    )
    parameters.add_argument(
        "--params-file", type=_contents, metavar="FILE", help="all parameters, one JSON object"
    )
    run.add_argument("--attempt", type=int, default=1, help="its number; 1 if left out")
    check = commands.add_parser("check", help="find what would keep a module's jobs from running")
    check.add_argument("module", metavar="MODULE", help="dotted path: shop.jobs")
    return parser


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    try:
        return name, strict_json(value)
    except ValueError:
        return name, value


def _contents(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
