"""What docs/client.md shows of its commands that need no cluster is what happens."""

import re
from pathlib import Path

from tests.unit.test_runner_readme import blocks, commands, pattern, run, steady

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
_WITHOUT_CLUSTER = ("python -m ", "python -c ")


def write_files(folder: Path) -> None:
    """The page's files: a block that begins with a comment is one, of that name."""
    for _, body in blocks(PAGE.read_text()):
        if named := re.match(r"# (\S+)\n", body):
            file = folder / named[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(body)


def test_what_the_page_does_without_a_cluster(tmp_path: Path) -> None:
    write_files(tmp_path)
    ran = 0
    for language, body in blocks(PAGE.read_text()):
        for command, shown in commands(body) if language == "console" else ():
            if command.startswith(_WITHOUT_CLUSTER):
                printed = run(command, tmp_path)
                assert re.fullmatch(pattern(shown), steady(printed)), f"$ {command}\n{printed}"
                ran += 1
    assert ran == 3
