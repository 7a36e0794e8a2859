"""The layout that everything else rests on."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (REPOSITORY / "operator" / "__init__.py").exists()


def test_no_word_of_the_academic_use_case_leaks_into_the_runner() -> None:
    words = re.compile(r"grading|student|plagiarism|academic", re.IGNORECASE)
    leaks = [
        str(path.relative_to(REPOSITORY))
        for folder in ("operator", "crds", "job-image")
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file()
        and path.suffix in {".py", ".yaml", ".md", ".toml", ".txt", ""}
        and words.search(path.read_text())
    ]
    assert leaks == []
