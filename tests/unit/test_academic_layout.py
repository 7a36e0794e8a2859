"""The academic application stands on bgjobs, and nothing of bgjobs on it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
_ALL_MODULES = """
import importlib, pkgutil, sys
sys.modules["academic"] = None  # whoever imports it gets an ImportError
sys.path[:0] = sys.argv[1:]
for name in ("bgjobs", "bgjobs_runner"):
    package = importlib.import_module(name)
    assert package.__file__.startswith(sys.argv[1].partition("/operator")[0]), package.__file__
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
            print(module.name)
"""


def test_bgjobs_is_whole_without_the_academic_folder(tmp_path: Path) -> None:
    for folder in ("operator", "crds", "job-image"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-B", "-c", _ALL_MODULES),
            *(str(tmp_path / folder / "src") for folder in ("operator", "job-image")),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "bgjobs.controller.reconciler" in done.stdout
    named = [
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if path.suffix in {".py", ".yaml", ".toml", ".md"} or path.name == "Containerfile"
        if "academic" in path.read_text().lower()
    ]
    assert named == []


def _runtimes(path: str) -> Any:
    return yaml.safe_load((REPOSITORY / path).read_text())["data"]


def test_the_local_cluster_runs_students_programs_as_they_are_shipped_to_run() -> None:
    shipped = _runtimes("academic/deploy/base/sandbox-runtime.yaml")["academic.sandbox"]
    local = _runtimes("deploy/overlays/local/runtimes.yaml")
    assert yaml.safe_load(local["academic.sandbox"]) == yaml.safe_load(shipped)
    # What a shorter key gives, the sandbox would inherit.
    assert (
        not {"env", "envFrom", "volumes", "serviceAccountName"}
        & yaml.safe_load(local["academic"]).keys()
    )
