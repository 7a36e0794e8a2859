"""When an image counts as changed, and what its build gets."""

import shutil
from pathlib import Path

import pytest
import yaml
from sqlalchemy import make_url

from bgjobs_local.database import database_secrets
from bgjobs_local.errors import LocalError
from bgjobs_local.images import IMAGES, ROOT, image_digests, lay_context, locked_entry

LOCK = """\
iniconfig==2.3.1 \\
    --hash=sha256:aa
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:dd
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the images are made from."""
    for folder in [*(image.folder for image in IMAGES.values()), "deploy/local/images/base"]:
        shutil.copytree(ROOT / folder, tmp_path / folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "deploy" / "requirements.lock", tmp_path / "deploy")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("operator/src/bgjobs/__init__.py", {"operator", "academic"}),
        ("job-image/Containerfile", {"job", "samples", "academic"}),
        ("job-image/samples/samples/jobs.py", {"samples"}),
        ("deploy/requirements.lock", {"operator", "academic"}),
        ("deploy/local/images/base/Containerfile", {"base", *IMAGES}),
        ("academic/src/academic/__pycache__/jobs.cpython-311.pyc", set()),
    ],
)
def test_an_image_changes_with_its_files_and_those_below_it(
    checkout: Path, file: str, changed: set[str]
) -> None:
    before = image_digests(checkout)
    path = checkout / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as appending:
        appending.write("\n")
    after = image_digests(checkout)
    assert {name for name in after if after[name] != before[name]} == changed


def test_an_image_changes_when_a_file_becomes_executable(checkout: Path) -> None:
    before = image_digests(checkout)["mariadb"]
    (checkout / "deploy/local/images/mariadb/client.cnf").chmod(0o755)
    assert image_digests(checkout)["mariadb"] != before


def test_two_checkouts_of_the_same_files_share_their_images(checkout: Path) -> None:
    assert image_digests(checkout) == image_digests(ROOT)


def test_every_containerfile_is_built() -> None:
    built = {ROOT / image.folder / "Containerfile" for image in IMAGES.values()}
    there = {
        path
        for folder in ("operator", "job-image", "academic", "deploy")
        for path in (ROOT / folder).rglob("Containerfile")
    }
    assert there - built == {ROOT / "deploy/local/images/base/Containerfile"}


@pytest.mark.parametrize("name", IMAGES)
def test_a_containerfile_builds_on_whatever_base_it_is_given(name: str) -> None:
    lines = (ROOT / IMAGES[name].folder / "Containerfile").read_text().splitlines()
    instructions = [line for line in lines if not line.startswith("#")]
    assert instructions[0].startswith("ARG BASE_IMAGE=")
    assert instructions[1] == "FROM ${BASE_IMAGE}"


def test_the_context_of_an_image_is_its_folder(tmp_path: Path) -> None:
    lay_context(IMAGES["samples"], tmp_path, "3.13")
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"Containerfile", "samples/jobs.py"} <= files


def test_a_locked_dependency_is_installed_by_its_hashes_alone() -> None:
    want = "numpy==2.4.6 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    assert locked_entry(LOCK, "numpy==2.4.6") == want


def test_a_dependency_that_is_not_locked_says_how_to_lock_it() -> None:
    with pytest.raises(LocalError, match=r"does not pin numpy==3\.0\.0: run `make lock`"):
        locked_entry(LOCK, "numpy==3.0.0")


def test_each_user_of_the_database_has_the_password_that_init_sql_gives() -> None:
    secrets = [each["stringData"] for each in yaml.safe_load_all(database_secrets())]
    [init_sql] = [secret["init.sql"] for secret in secrets if "init.sql" in secret]
    urls = [make_url(text) for secret in secrets for text in secret.values() if "mysql" in text]
    assert [url.username for url in urls] == ["bgjobs", "dashboard", "academic"]
    for url in urls:
        assert f"USER {url.username} IDENTIFIED BY '{url.password}';" in init_sql
    assert "GRANT SELECT ON bgjobs.* TO dashboard;" in init_sql
    assert "GRANT ALL ON academic.* TO academic;" in init_sql


def test_every_database_gets_secrets_of_its_own() -> None:
    assert database_secrets() != database_secrets()
