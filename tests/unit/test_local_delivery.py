"""Under which names images come to a cluster that is not the local one."""

from pathlib import Path

import pytest

from bgjobs_local import delivery
from bgjobs_local.images import IMAGES

# All of its images have the same content.
DOCKER = """#!/bin/sh
echo "$*" >> {folder}/calls
case "$1 $2" in
    "image inspect") echo sha256:$(cat {folder}/content)0123456789abcdef ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a docker and a kind that only note how they are called."""
    for name in ("docker", "kind"):
        tool = tmp_path / name
        tool.write_text(DOCKER.format(folder=tmp_path))
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(delivery, "lay_context", lambda *_: None)
    (tmp_path / "content").write_text("aaaa")
    return tmp_path


def test_a_changed_image_has_another_tag_in_a_registry(tools: Path) -> None:
    before = delivery.to_current_cluster("registry.example/team")
    assert before["operator"] == "registry.example/team/operator:aaaa01234567"
    (tools / "content").write_text("bbbb")
    after = delivery.to_current_cluster("registry.example/team")
    assert after["operator"] == "registry.example/team/operator:bbbb01234567"
    pushed = [call for call in (tools / "calls").read_text().splitlines() if "push" in call]
    assert pushed == [f"push {image}" for image in (*before.values(), *after.values())]


@pytest.mark.usefixtures("tools")
def test_nodes_that_are_given_their_images_find_them_under_the_names_in_the_overlays() -> None:
    assert delivery.to_current_cluster("kind") == {
        name: f"localhost/bgjobs/{name}:dev" for name in IMAGES
    }
