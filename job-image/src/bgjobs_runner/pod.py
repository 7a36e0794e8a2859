"""The entry point in a pod: an attempt from the environment, its outcome to Kubernetes."""

import io
import os
import sys
from collections.abc import Mapping

from bgjobs_runner import Context, Refused
from bgjobs_runner.process import end, prepare_output
from bgjobs_runner.running import Attempt, Outcome, failure, perform
from bgjobs_runner.termination import encode

CONTRACT = "1"
TERMINATION_LOG = "/dev/termination-log"


def run_from_environment() -> None:
    """Run the attempt that the BGJOB_ variables describe (CONTRACT.md) and end the process."""
    # Of two streams the log would take lines in any order: a traceback torn by what the job prints.
    os.dup2(1, 2)
    prepare_output()
    outcome = _outcome(os.environb)
    _write(outcome)
    end(outcome.exit_code)


def _outcome(environment: Mapping[bytes, bytes]) -> Outcome:
    try:
        attempt = attempt_from(environment)
    except Refused as error:
        return failure(error, package="")
    return perform(attempt)


def attempt_from(environment: Mapping[bytes, bytes]) -> Attempt:
    """Raises Refused if the environment does not keep to the contract."""

    def value(name: str) -> bytes:
        try:
            return environment[name.encode()]
        except KeyError:
            raise Refused(
                f"{name} is not set. The operator starts this program in a pod;"
                " on a laptop use: python -m bgjobs_runner run shop.jobs.SyncStock"
            ) from None

    def text(name: str) -> str:
        return value(name).decode(errors="replace")

    def number(name: str) -> int:
        if not value(name).isdigit():
            raise Refused(f"{name} is {text(name)!r}, not a whole number")
        return int(value(name))

    if text("BGJOB_CONTRACT") != CONTRACT:
        raise Refused(
            f"this image speaks contract {CONTRACT}, the operator {text('BGJOB_CONTRACT')!r}:"
            " build it again on the job image of the operator's release"
        )
    return Attempt(
        class_path=text("BGJOB_CLASS"),
        method=text("BGJOB_METHOD"),
        parameters=value("BGJOB_PARAMETERS"),
        context=Context(
            name=text("BGJOB_NAME"),
            namespace=text("BGJOB_NAMESPACE"),
            uid=text("BGJOB_UID"),
            run=number("BGJOB_RUN"),
            attempt=number("BGJOB_ATTEMPT"),
            idempotency_key=text("BGJOB_IDEMPOTENCY_KEY"),
        ),
    )


def _write(outcome: Outcome) -> None:
    path = os.environ.get("BGJOB_TERMINATION_LOG", TERMINATION_LOG)
    message = encode(outcome.message)
    try:
        with io.FileIO(path, "w") as file:
            file.write(message)
    except OSError as error:
        print(f"cannot write the termination message: {error}", file=sys.stderr)
        print(message.decode(), file=sys.stderr)
