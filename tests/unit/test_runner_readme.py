"""What job-image/README.md shows is what happens."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

README = Path(__file__).parents[2] / "job-image" / "README.md"
HOME = "/home/me"


def test_commands_of_the_readme_print_what_it_shows(tmp_path: Path) -> None:
    ran = []
    for language, body in blocks(README.read_text()):
        if language == "console":
            for command, shown in commands(body):
                printed = run(command, tmp_path)
                assert re.fullmatch(pattern(shown), steady(printed)), f"$ {command}\n{printed}"
                ran.append(command)
        elif named := re.match(r"# (\S+)\n", body):
            file = tmp_path / named[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(body)
    assert {command.split()[3] for command in ran if "bgjobs_runner" in command} == {"run", "check"}


def blocks(markdown: str) -> Iterator[tuple[str, str]]:
    for block in re.finditer(r"^```(\w+)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL):
        yield block[1], block[2]


def commands(console: str) -> Iterator[tuple[str, str]]:
    for shown in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, output = shown.partition("\n")
        yield command, output


def run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        # A reader's laptop need not have this project's other pytest plugins.
        env={"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:asyncio"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.replace(str(folder), HOME)


def steady(output: str) -> str:
    """Without what differs from one machine and run to the next."""
    return re.sub(r'("peakMemoryBytes": |"cpuSeconds": |passed in )[\d.]+', r"\1N", output)


def pattern(shown: str) -> str:
    """A line of three dots stands for any lines."""
    parts = re.split(r"^\.\.\.\n", steady(shown), flags=re.MULTILINE)
    return r"(?:.*\n)*".join(re.escape(part) for part in parts)
