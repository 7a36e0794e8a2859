"""Which documents CompareDocuments finds similar, and what it does with the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from academic.documents import CompareDocuments
from bgjobs_runner import PermanentFailure

LICENCES = "/usr/share/common-licenses"

ORIGINAL = (
    "It was a bright cold day in early spring and the clocks of the town were striking noon"
    " while the ferry left the harbour with nobody on board but the pilot and his dog"
)
UNRELATED = (
    "Preheat the oven, whisk three eggs with sugar until pale, fold in sifted flour and melted"
    " butter, pour everything into a greased tin and bake for twenty five minutes"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "original").write_text(ORIGINAL)
    (tmp_path / "unrelated").write_text(UNRELATED)
    return tmp_path


def compare(directory: Path | str) -> dict[str, object]:
    return CompareDocuments().handle(str(directory))


def most_similar(directory: Path | str) -> object:
    pairs = compare(directory)["pairs"]
    assert isinstance(pairs, list)
    return pairs[0]


def test_lgpl_2_and_2_1_are_near_twins() -> None:
    pairs = compare(LICENCES)["pairs"]
    assert isinstance(pairs, list)
    # The two versions of the GFDL are even more alike.
    twins = [pair for pair in pairs[:2] if (pair["a"], pair["b"]) == ("LGPL-2", "LGPL-2.1")]
    assert len(twins) == 1
    assert twins[0]["similarity"] > 0.8


def test_every_pair_is_compared_once_and_links_to_a_document_are_not_documents() -> None:
    documents = [path for path in Path(LICENCES).iterdir() if not path.is_symlink()]
    result = compare(LICENCES)
    assert result["documents"] == len(documents)
    assert result["compared"] == len(documents) * (len(documents) - 1) // 2


def test_unrelated_documents_have_nothing_in_common(directory: Path) -> None:
    assert most_similar(directory) == {"a": "original", "b": "unrelated", "similarity": 0.0}


def test_case_punctuation_and_line_breaks_hide_no_copy(directory: Path) -> None:
    disguised = ORIGINAL.upper().replace(" THE ", ",\n(THE) ")
    (directory / "copy").write_text(disguised)
    assert most_similar(directory) == {"a": "copy", "b": "original", "similarity": 1.0}


def test_a_copy_is_found_within_a_longer_document(directory: Path) -> None:
    (directory / "longer").write_text(f"{UNRELATED[:80]} {ORIGINAL} {UNRELATED[80:]}")
    (directory / "unrelated").unlink()
    pair = most_similar(directory)
    assert isinstance(pair, dict)
    assert pair["similarity"] > 0.9


def test_the_result_does_not_depend_on_the_process() -> None:
    code = (
        "from academic.documents import CompareDocuments;"
        f"print(CompareDocuments().handle({LICENCES!r}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"\x89PNG\r\n\x1a\n", "is not UTF-8 text", id="a picture"),
        pytest.param(b"one two three four five\0six", "is not text", id="text with a NUL"),
        pytest.param(b"too few words", "has fewer than 5 words", id="a few words"),
        pytest.param(b"", "has fewer than 5 words", id="nothing"),
    ],
)
def test_what_cannot_be_compared_is_named(directory: Path, content: bytes, reason: str) -> None:
    (directory / "odd one").write_bytes(content)
    result = compare(directory)
    assert result["skipped"] == [f"odd one: {reason}"]
    assert result["documents"] == 2


def test_a_name_that_is_no_text_is_shown_all_the_same(directory: Path) -> None:
    Path(os.fsdecode(bytes(directory) + b"/a\xff")).write_text(ORIGINAL)
    assert most_similar(directory) == {"a": "a\\xff", "b": "original", "similarity": 1.0}


def test_the_result_fits_into_3_kib_whatever_the_names(directory: Path) -> None:
    for number in range(20):
        (directory / f"{number}{'é' * 120}").write_text(ORIGINAL)
        (directory / f"skipped {number}{'é' * 120}").write_text("")
    result = compare(directory)
    assert len(json.dumps(result).encode()) <= 3072
    assert result["pairs"]


def test_one_document_alone_fails_for_good_and_says_why(directory: Path) -> None:
    (directory / "unrelated").write_bytes(b"\xff")
    message = r"needs two documents, and .* has 1; skipped: unrelated: is not UTF-8 text"
    with pytest.raises(PermanentFailure, match=message):
        compare(directory)


def test_a_missing_directory_fails_for_good_and_says_what_to_do(directory: Path) -> None:
    message = r"missing cannot be read \(No such file or directory\): name a directory"
    with pytest.raises(PermanentFailure, match=message):
        compare(directory / "missing")
