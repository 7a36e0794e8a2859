"""Builds the container images, without Docker or a registry, each when its inputs changed."""

import hashlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bgjobs_local import base_image, image_store
from bgjobs_local.binaries import cache
from bgjobs_local.errors import LocalError

ROOT = Path(__file__).parents[4]
EXPORTED = ROOT / ".local" / "images"
PREFIX = "localhost/bgjobs/"
TAG = "dev"
# Of the base image that the Containerfiles name.
DOCKER_PYTHON = "3.13"
_LOCK_FILE = Path("deploy", "requirements.lock")
_BASE_FOLDER = Path("deploy", "local", "images", "base")


@dataclass(frozen=True)
class Image:
    """An image to build from a folder's Containerfile, on top of the image named `base`.

    The build context is the folder and, where wanted, wheels/ with the wheels of
    these projects of ours and dependencies/ with what the image's own needs:
    `dependencies` are the arguments by which uv finds that, or None.
    """

    name: str
    folder: str
    base: str = "base"
    wheels: tuple[str, ...] = ()
    dependencies: tuple[str, ...] | None = None


IMAGES: Mapping[str, Image] = {
    image.name: image
    for image in (
        Image("operator", "operator", dependencies=("--extra", "operator", "--extra", "dashboard")),
        Image("job", "job-image", wheels=("job-image",)),
        Image("samples", "job-image/samples", base="job"),
        Image(
            "academic",
            "academic",
            base="job",
            wheels=("operator",),
            dependencies=("--extra", "service", "--extra", "postbox"),
        ),
        Image("mariadb", "deploy/local/images/mariadb"),
    )
}


def build() -> list[Path]:
    """Build what changed and return the archive of each image, for `ctr images import`.

    Beside NAME.tar lies NAME.digest, which differs when the image does. Raises
    LocalError with the end of the log where a build fails.
    """
    digests = image_digests(ROOT)
    stale = [name for name in IMAGES if _exported_digest(name) != digests[name]]
    if stale:
        EXPORTED.mkdir(parents=True, exist_ok=True)
        log = EXPORTED / "store.log"
        with image_store.opened(log):
            for name in stale:
                _export(name, digests)
            image_store.keep_only({_tag(name, digests) for name in digests}, log)
    print(f"Images: {len(stale)} of {len(IMAGES)} built, in {EXPORTED}", flush=True)
    return [EXPORTED / f"{name}.tar" for name in IMAGES]


def image_digests(root: Path) -> dict[str, str]:
    """A digest of everything that goes into each image, the images below it included."""
    made_from = (*base_image.OPTIONS, base_image.codename(), platform.machine())
    digests = {"base": _digest(*made_from, *_contents(root / _BASE_FOLDER))}
    for image in IMAGES.values():
        parts = [repr(image), digests[image.base]]
        for folder in (image.folder, *image.wheels):
            parts += _contents(root / folder)
        if image.dependencies is not None:
            parts.append((root / _LOCK_FILE).read_text())
        digests[image.name] = _digest(*parts)
    return digests


def lay_context(image: Image, context: Path, python: str) -> None:
    """Lay the build context of `image` for a base with that version of Python.

    Of the dependencies it has the list, with hashes, by which pip finds their
    wheels in its index.
    """
    folder = ROOT / image.folder
    for file in _files(folder):
        target = context / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    for project in image.wheels:
        out = ("--out-dir", str(context / "wheels"))
        image_store.output(_tool("uv"), "build", "--quiet", "--wheel", *out, str(ROOT / project))
    if image.dependencies is not None:
        requirements = _requirements(context)
        requirements.parent.mkdir()
        requirements.write_text(_locked_dependencies(image, python))


def locked_entry(lock: str, pinned: str) -> str:
    """The entry of `name==version` in a lock file, with its hashes and without its condition."""
    hashes = r"\\\n(?:    --hash=\S+(?: \\)?\n)+"
    found = re.search(rf"^{re.escape(pinned)}(?: ;.*)? ({hashes})", lock, re.MULTILINE)
    if not found:
        raise LocalError(f"{_LOCK_FILE} does not pin {pinned}: run `make lock`.")
    return f"{pinned} {found[1]}"


def _export(name: str, digests: Mapping[str, str]) -> None:
    started = time.monotonic()
    _ensure_built(name, digests)
    # Gone meanwhile, lest it vouch for an archive that is not its own.
    digest = EXPORTED / f"{name}.digest"
    digest.unlink(missing_ok=True)
    called = f"{PREFIX}{name}:{TAG}"
    image_store.export(_tag(name, digests), EXPORTED / f"{name}.tar", called, _log(name))
    digest.write_text(digests[name])
    print(f"Image {name}: ready after {time.monotonic() - started:.0f} s", flush=True)


def _ensure_built(name: str, digests: Mapping[str, str]) -> None:
    """Build an image, and what it stands on, unless the store has it."""
    tag = _tag(name, digests)
    if image_store.has(tag):
        return
    with image_store.scratch() as context:
        if name == "base":
            print("Image base: making a minimal Debian with Python (a minute, once)", flush=True)
            shutil.copytree(ROOT / _BASE_FOLDER, context, dirs_exist_ok=True)
            argument = f"PYTHON_VERSION={base_image.lay(context, _log(name))}"
        else:
            base = IMAGES[name].base
            _ensure_built(base, digests)
            print(f"Image {name}: building", flush=True)
            argument = f"BASE_IMAGE={_tag(base, digests)}"
            python = image_store.python_version(_tag(base, digests))
            lay_context(IMAGES[name], context, python)
            _add_dependencies(IMAGES[name], context, python)
        image_store.build(tag, context, _log(name), [f"--build-arg={argument}"])


def _locked_dependencies(image: Image, python: str) -> str:
    """The part of the lock file that an image's project needs with that version of Python."""
    lock = ROOT / _LOCK_FILE
    options = ("--quiet", "--no-header", "--no-annotate", "--python-version", python)
    project = (*(image.dependencies or ()), str(ROOT / image.folder / "pyproject.toml"))
    found = image_store.output(
        *(_tool("uv"), "pip", "compile", *options, "--constraint", str(lock), *project)
    )
    # What has no "==" is a project of this repository: its wheel, or the image below, has it.
    pinned = [line.strip() for line in found.splitlines() if "==" in line]
    return "".join(locked_entry(lock.read_text(), each) for each in pinned)


def _add_dependencies(image: Image, context: Path, python: str) -> None:
    """Put the wheels of the dependencies beside their list, from the cache if it has them."""
    if image.dependencies is None:
        return
    requirements = _requirements(context)
    listed = requirements.read_text()
    kept = cache() / "wheels" / f"{image.name}-{_digest(python, listed)}"
    if not kept.exists():
        print(f"Image {image.name}: fetching its Python packages", flush=True)
        with image_store.scratch() as folder:
            _download(requirements, python, folder / "wheels", _log(image.name))
            # Kept with the wheels, because buildah takes a new file for another one.
            offline = f"--no-index\n--find-links=/dependencies\n{listed}"
            (folder / "wheels" / requirements.name).write_text(offline)
            for outdated in kept.parent.glob(f"{image.name}-*"):
                shutil.rmtree(outdated)
            kept.parent.mkdir(exist_ok=True)
            (folder / "wheels").rename(kept)
    shutil.copytree(kept, requirements.parent, dirs_exist_ok=True)


def _download(requirements: Path, python: str, folder: Path, log: Path) -> None:
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")
    wheels = ("--only-binary=:all:", f"--python-version={python}", "--dest", str(folder))
    image_store.run(
        *(_tool("pip"), "download", *options, *wheels, "--requirement", str(requirements)), log=log
    )


def _requirements(context: Path) -> Path:
    return context / "dependencies" / "requirements.txt"


def _contents(folder: Path) -> Iterator[str]:
    """What of an image's folder makes a difference to the image."""
    for file in _files(folder):
        yield str(file.relative_to(folder))
        yield str(os.access(file, os.X_OK))
        yield hashlib.sha256(file.read_bytes()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The files of an image's folder, less those that another image is built from."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_file():
            yield path
        elif not (path / "Containerfile").exists():
            yield from _files(path)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _exported_digest(name: str) -> str:
    digest = EXPORTED / f"{name}.digest"
    there = digest.exists() and (EXPORTED / f"{name}.tar").exists()
    return digest.read_text() if there else ""


def _tag(name: str, digests: Mapping[str, str]) -> str:
    """The image's name in the store, where the builds of several checkouts lie side by side."""
    return f"{PREFIX}{name}:{digests[name]}"


def _log(name: str) -> Path:
    return EXPORTED / f"{name}.log"


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
