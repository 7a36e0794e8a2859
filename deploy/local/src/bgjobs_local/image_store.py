"""Where the images are built and kept: buildah's store in the cache, and what runs on it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bgjobs_local import packages
from bgjobs_local.binaries import cache
from bgjobs_local.errors import LocalError
from bgjobs_local.locks import locked
from bgjobs_local.processes import last_lines


@contextmanager
def opened(log: Path) -> Iterator[None]:
    """Hold the store, which all checkouts of one user share, and clear what was interrupted."""
    packages.ensure(
        {
            "mmdebstrap": "makes the file system that the images start from",
            "buildah": "builds container images without a daemon",
        }
    )
    with locked(_store(), "another build of images"):
        shutil.rmtree(_scratch(), ignore_errors=True)
        _scratch().mkdir()
        run(*_buildah("rm", "--all"), log=log)
        yield


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder in the cache, for the time being."""
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        yield Path(folder)


def has(tag: str) -> bool:
    return tag in _tags()


def python_version(tag: str) -> str:
    """Which Python an image has, by the variable that Python's own images set too."""
    environment = "{{range .OCIv1.Config.Env}}{{println .}}{{end}}"
    shown = output(*_buildah("inspect", "--type=image", f"--format={environment}", tag))
    return dict(line.split("=", 1) for line in shown.split())["PYTHON_VERSION"]


def build(tag: str, context: Path, log: Path, arguments: Sequence[str]) -> None:
    """Build the Containerfile of a context, trusting whom this machine trusts meanwhile."""
    fixed = ("--isolation=chroot", "--layers", "--pull-never", f"--file={context}/Containerfile")
    certificates = "--volume=/etc/ssl/certs:/etc/ssl/certs:ro"
    run(
        *_buildah("build", *fixed, certificates, *arguments, f"--tag={tag}", str(context)),
        log=log,
    )


def export(tag: str, archive: Path, name: str, log: Path) -> None:
    """Write an image to an OCI archive, in which it has that name."""
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    # Takes half the time of gzip.
    compression = ("--compression-format=zstd", "--compression-level=1")
    run(*_buildah("push", "--quiet", *compression, tag, f"oci-archive:{partial}:{name}"), log=log)
    partial.rename(archive)


def keep_only(tags: set[str], log: Path) -> None:
    """Remove every other image, and the layers that no image needs."""
    outdated = _tags() - tags
    if outdated:
        run(*_buildah("rmi", *sorted(outdated)), log=log)
    run(*_buildah("rmi", "--prune"), log=log)


def debootstrap(*arguments: str, log: Path) -> None:
    """Run mmdebstrap."""
    run(*_alone(), "mmdebstrap", *arguments, log=log)


def run(*argv: str, log: Path) -> None:
    """Run a command with its output in a log; raises LocalError with the end of that."""
    with log.open("a") as writing:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise LocalError(
            f"`{' '.join(argv)}` ended with code {done.returncode}.{last_lines(log, 30)}"
        )


def output(*argv: str) -> str:
    """What a command prints; raises LocalError with what it complains about."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LocalError(
            f"`{' '.join(argv)}` ended with code {done.returncode}:\n{done.stderr.strip()}"
        )
    return done.stdout


def _tags() -> set[str]:
    named = ("--filter=dangling=false", "--format={{.Name}}:{{.Tag}}")
    return set(output(*_buildah("images", *named)).split())


def _buildah(*arguments: str) -> tuple[str, ...]:
    place = ("--root", f"{_store()}/layers", "--runroot", f"{_store()}/run")
    return (*_alone(), "buildah", *place, "--storage-driver", "overlay", *arguments)


def _alone() -> tuple[str, ...]:
    """A prefix by which a program's mounts and children end with it, and it with this process."""
    namespaces = ("--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
    temporary = f"TMPDIR={_scratch()}"
    return ("setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "env", temporary)


def _store() -> Path:
    return cache() / "images"


def _scratch() -> Path:
    return _store() / "scratch"
