"""The table of README.md: each command of the plugin does what the one beside it does."""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests import server as api
from tests import watching
from tests.plugin import PROGRAM, in_shell, readme_rows
from tests.server import Jobs
from tests.watching import submit, wait_finished

_CLASS = "shop.jobs.Sync"
_NAME = "sync-7"
_ROWS = readme_rows()
_AFTER: dict[str, dict[str, Any]] = {
    "cancel": {"cancelled": True, "cancelReason": "typo"},
    "start": {"startRequests": 1},
    "retry": {"retryRequests": 1, "cancelled": False},
    "suspend": {"suspend": True},
    "resume": {"suspend": False},
}


def _kubectl(jobs: Jobs, command: str) -> str:
    """Runs what the README shows, in the namespace of the jobs."""
    control_plane = jobs.server.control_plane
    config = control_plane.kubeconfig.parent / "readme-kubeconfig"
    content = control_plane.kubeconfig.read_text()
    config.touch(mode=0o600)
    config.write_text(
        content.replace("  context:\n", f"  context:\n    namespace: {jobs.namespace}\n")
    )
    done = in_shell(jobs.server, command, config)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def shop(jobs: Jobs, name: str) -> Iterator[Jobs]:
    """A namespace of its own for each command."""
    own = watching.new_namespace(jobs.server, f"readme-{name}")
    watching.allow(own, _CLASS)
    yield own
    watching.set_key(own.server, "bgjobs-runtimes", _CLASS, None)


def _prepare(shop: Jobs, verb: str) -> None:
    """A job of which it makes sense to ask this."""
    match verb:
        case "submit" | "pause":
            return
        case "unpause":
            watching.set_key(shop.server, "bgjobs-runtimes", _CLASS, "paused: stocktaking")
        case "retry" | "list":
            submit(shop, _NAME, class_=_CLASS, pods=[{"exitCode": 66}])
            wait_finished(shop, _NAME)
        case "resume":
            submit(shop, _NAME, class_=_CLASS, suspend=True)
        case "wait":
            submit(shop, _NAME, class_=_CLASS)
        case _:
            submit(shop, _NAME, class_=_CLASS, delay="1h")


def test_every_command_is_in_the_table() -> None:
    printed = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  (\w+)  ", printed.partition("Commands:")[2], re.MULTILINE)
    assert commands
    assert {command.split()[0] for command, _ in _ROWS} == set(commands)


def _runnable() -> Iterator[Any]:
    for command, plain in _ROWS:
        verb = command.split()[0]
        # kwok's pods have no log and no port (tests/e2e), and a question needs an answer.
        if verb not in ("logs", "dashboard"):
            asked = " --yes" if "--all-failed" in command else ""
            yield pytest.param(verb, f"kubectl bgjob {command}{asked}", id=command)
            if plain.startswith("kubectl ") and plain != "kubectl apply":
                yield pytest.param(verb, plain, id=plain[:60])


@pytest.mark.parametrize(("verb", "command"), [*_runnable()])
def test_a_command_does_what_the_table_says(shop: Jobs, verb: str, command: str) -> None:
    _prepare(shop, verb)
    printed = _kubectl(shop, command)
    if verb in ("list", "explain", "wait"):
        assert _NAME in printed
    elif verb in ("pause", "unpause"):
        data = _runtimes(shop)
        assert data.get(_CLASS, "").replace('"', "").strip() == (
            "paused: stocktaking" if verb == "pause" else ""
        )
    elif verb == "submit":
        assert _spec(shop)["parameters"] == {"warehouse": 7}
    else:
        assert {field: _spec(shop).get(field) for field in _AFTER[verb]} == _AFTER[verb]


def _spec(shop: Jobs) -> Any:
    return api.request(shop.server, "GET", f"{shop.path}/{_NAME}").body["spec"]


def _runtimes(shop: Jobs) -> Any:
    path = "/api/v1/namespaces/bgjobs-system/configmaps/bgjobs-runtimes"
    return api.request(shop.server, "GET", path).body["data"]
