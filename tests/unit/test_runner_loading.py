"""Which classes and methods the runner lets run."""

import sys
from pathlib import Path

import pytest

from bgjobs_runner import Refused, job
from bgjobs_runner.loading import load, require_opt_in

MODULE = """
import os
from bgjobs_runner import job

@job
class Sync:
    text = "no method"
    Inner = dict

    def handle(self): ...
    def _private(self): ...
    @property
    def size(self): ...
    @staticmethod
    def static(): ...
    @classmethod
    def of_class(cls): ...

class Heir(Sync):
    def handle(self): ...

@job
class OptedHeir(Sync):
    pass

class Plain:
    def handle(self): ...

def function(): ...
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "runner_shop"
    package.mkdir()
    (package / "jobs.py").write_text(MODULE)
    (package / "needy.py").write_text("import runner_library_that_is_missing")
    (package / "broken.py").write_text("raise OSError('no database')")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("method", ["handle", "static", "of_class"])
def test_public_methods_of_a_class_that_opts_in_run(method: str) -> None:
    assert load("runner_shop.jobs.Sync", method).__name__ == "Sync"


@pytest.mark.parametrize(
    ("class_path", "method", "reason"),
    [
        pytest.param("os.system", "handle", "standard library", id="a function of the library"),
        pytest.param("subprocess.Popen", "wait", "standard library", id="a class of the library"),
        pytest.param("runner_shop.jobs.os", "system", "no class os", id="a module in a module"),
        pytest.param("runner_shop.jobs.function", "handle", "no class function", id="a function"),
        pytest.param("runner_shop.jobs.Absent", "handle", "no class Absent", id="no such class"),
        pytest.param("runner_shop.jobs.Plain", "handle", "does not opt in", id="no opt-in"),
        pytest.param("runner_shop.jobs.Heir", "handle", "does not opt in", id="inherited opt-in"),
        pytest.param("runner_shop.jobs.job", "handle", "no class job", id="the decorator"),
        pytest.param("runner_shop.jobs.Sync", "_private", "is private", id="a private method"),
        pytest.param("runner_shop.jobs.Sync", "__init__", "is private", id="the constructor"),
        pytest.param("runner_shop.jobs.Sync", "absent", "no method absent", id="no such method"),
        pytest.param(
            "runner_shop.jobs.OptedHeir", "handle", "no method handle", id="an inherited method"
        ),
        pytest.param("runner_shop.jobs.Sync", "text", "is no method", id="a constant"),
        pytest.param("runner_shop.jobs.Sync", "size", "is no method", id="a property"),
        pytest.param("runner_shop.jobs.Sync", "Inner", "is no method", id="a class in the class"),
        pytest.param(
            "runner_absent.jobs.Sync", "handle", "no module runner_absent", id="no package"
        ),
        pytest.param(
            "runner_shop.absent.Sync", "handle", "no module runner_shop.absent", id="no module"
        ),
        pytest.param(
            "runner_shop.needy.Sync", "handle", "needs runner_library_that", id="missing library"
        ),
        pytest.param("Sync", "handle", "no dotted path", id="no module named"),
        pytest.param("", "handle", "no dotted path", id="empty"),
        pytest.param("..jobs.Sync", "handle", "no dotted path", id="relative"),
        pytest.param("runner_shop.jobs.Sync\n", "handle", "no dotted path", id="trailing newline"),
        pytest.param("runner_shop/jobs.Sync", "handle", "no dotted path", id="a slash"),
        pytest.param("runner_shop.jobs.Sync\0", "handle", "no dotted path", id="NUL"),
        pytest.param("runner_ѕhop.jobs.Sync", "handle", "no module runner_ѕhop", id="homoglyph"),
    ],
)
def test_everything_else_is_refused(class_path: str, method: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        load(class_path, method)


def test_modules_of_the_standard_library_are_refused_without_importing_them() -> None:
    with pytest.raises(Refused):
        load("antigravity.Browser", "handle")
    assert "antigravity" not in sys.modules


def test_what_a_module_raises_while_it_is_imported_is_the_jobs_own_failure() -> None:
    with pytest.raises(OSError, match="no database"):
        load("runner_shop.broken.Sync", "handle")


def test_the_opt_in_survives_a_decorator_that_copies_the_class() -> None:
    @job
    class Original:
        def handle(self) -> None: ...

    require_opt_in(type("Copy", (), dict(vars(Original))), "handle")


def test_the_opt_in_is_for_classes() -> None:
    with pytest.raises(TypeError, match="above a class"):
        job(len)  # type: ignore[type-var]
