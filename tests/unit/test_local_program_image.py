"""Images that hold one program."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgjobs_local import program_image


@pytest.fixture
def image(tmp_path: Path) -> Iterator[tarfile.TarFile]:
    program = tmp_path / "hello"
    program.write_bytes(b"a program")
    program_image.write(program, "localhost/hello:local", tmp_path / "hello.tar")
    with tarfile.open(tmp_path / "hello.tar") as archive:
        yield archive


def content(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member
    return member.read()


def test_the_archive_names_its_image(image: tarfile.TarFile) -> None:
    (manifest,) = json.loads(content(image, "manifest.json"))
    assert manifest["RepoTags"] == ["localhost/hello:local"]


def test_the_layer_holds_the_program_and_has_the_digest_that_the_image_names(
    image: tarfile.TarFile,
) -> None:
    layer = content(image, "layer.tar")
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert content(files, "hello") == b"a program"
    config = json.loads(content(image, "config.json"))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
