"""Brings the images to where the cluster's nodes find them."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bgjobs_local.errors import LocalError
from bgjobs_local.images import DOCKER_PYTHON, IMAGES, PREFIX, TAG, lay_context

_LOADERS: Mapping[str, tuple[str, ...]] = {
    "kind": ("kind", "load", "docker-image"),
    "minikube": ("minikube", "image", "load"),
    "k3d": ("k3d", "image", "import"),
}
_TAG_LENGTH = 12


def to_current_cluster(load: str) -> dict[str, str]:
    """Builds the images with Docker or Podman and delivers them.

    `load` is kind, minikube, k3d or the prefix of a registry such as
    registry.example/team/. Returns under which name the cluster finds each image.
    """
    if not load:
        raise LocalError(
            "CLUSTER=current needs to know how images get to its nodes: "
            "LOAD=kind, LOAD=minikube, LOAD=k3d or LOAD=registry.example/team/"
        )
    builder = next((tool for tool in ("docker", "podman") if shutil.which(tool)), None)
    if builder is None:
        raise LocalError("CLUSTER=current builds the images with docker or podman: install one.")
    prefix = PREFIX if load in _LOADERS else f"{load.rstrip('/')}/"
    delivered = {}
    for name in IMAGES:
        built = f"{prefix}{name}:{TAG}"
        _build(builder, name, prefix)
        delivered[name] = built if load in _LOADERS else _tagged_by_content(builder, built)
        print(f"Delivering {delivered[name]}", flush=True)
        _run(*_LOADERS.get(load, (builder, "push")), delivered[name])
    return delivered


def _tagged_by_content(builder: str, built: str) -> str:
    """Give an image a tag that no other has: nodes would keep an older one of the same name."""
    inspect = (builder, "image", "inspect", "--format", "{{.Id}}", built)
    identity = _run(*inspect, stdout=subprocess.PIPE).strip().removeprefix("sha256:")
    tagged = f"{built.removesuffix(TAG)}{identity[:_TAG_LENGTH]}"
    _run(builder, "tag", built, tagged)
    return tagged


def _build(builder: str, name: str, prefix: str) -> None:
    image = IMAGES[name]
    base = () if image.base == "base" else ("--build-arg", f"BASE_IMAGE={prefix}{image.base}:{TAG}")
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / name
        context.mkdir()
        lay_context(image, context, DOCKER_PYTHON)
        file = ("--file", str(context / "Containerfile"))
        tag = ("--tag", f"{prefix}{name}:{TAG}")
        _run(builder, "build", *base, *file, *tag, str(context))


def _run(*argv: str, stdout: int | None = None) -> str:
    try:
        return subprocess.run(argv, check=True, stdout=stdout, text=True).stdout
    except FileNotFoundError as error:
        raise LocalError(
            f"{argv[0]} is not installed: install it or choose another LOAD."
        ) from error
    except subprocess.CalledProcessError as error:
        raise LocalError(f"`{' '.join(argv)}` failed with exit code {error.returncode}.") from error
