"""A pause changes one line of a runtime's YAML, and unpause takes it away again."""

import pytest
import yaml

from bgjobs.cli.errors import CommandError
from bgjobs.cli.pausing import not_paused, pause_of, paused, unpaused

COMMENTED = """\
# The warehouse's own image.
image: shop/jobs:2   # see RELEASES

resources:
  limits: {cpu: "1", memory: 256Mi}
"""


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("", 'paused: "stocktaking"\n', id="no settings yet"),
        pytest.param("image: a", 'image: a\npaused: "stocktaking"\n', id="no newline at the end"),
        pytest.param(COMMENTED, f'{COMMENTED}paused: "stocktaking"\n', id="comments stay"),
        pytest.param(
            "paused: old  # for now\nimage: a\n",
            'paused: "stocktaking"\nimage: a\n',
            id="another reason before",
        ),
        pytest.param(
            "image: a\npaused: |\n  two\n  lines\nmaxConcurrent: 2\n",
            'image: a\npaused: "stocktaking"\nmaxConcurrent: 2\n',
            id="a reason of several lines before",
        ),
        pytest.param("{image: a}", "image: a\npaused: stocktaking\n", id="written in one line"),
        pytest.param("# nothing yet\n", '# nothing yet\npaused: "stocktaking"\n', id="a comment"),
    ],
)
def test_a_runtime_is_paused(text: str, want: str) -> None:
    assert paused(text, "stocktaking") == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(f'{COMMENTED}paused: "x"\n', COMMENTED, id="comments stay"),
        pytest.param("paused: x # why\nimage: a\n", "image: a\n", id="first line"),
        pytest.param("image: a\npaused: x", "image: a\n", id="no newline at the end"),
        pytest.param("image: a\npaused: >\n  x\n  y\n", "image: a\n", id="several lines"),
        pytest.param("{paused: x, image: a}", "image: a\n", id="written in one line"),
        pytest.param('paused: "x"\n', None, id="nothing else: the key goes"),
    ],
)
def test_a_runtime_is_unpaused(text: str, want: str | None) -> None:
    assert unpaused(text) == want


@pytest.mark.parametrize(
    "reason", ['"quoted" and \\', "naïve ☃", "a: b # c", "{x}", "two\nlines", "yes", "- item"]
)
def test_any_reason_is_kept_as_it_is_said(reason: str) -> None:
    text = paused(COMMENTED, reason)
    assert yaml.safe_load(text)["paused"] == reason
    assert pause_of(text) == reason
    assert unpaused(text) == COMMENTED


@pytest.mark.parametrize("text", ["image: [", "just text", "- a list"])
def test_what_is_no_runtime_is_left_alone(text: str) -> None:
    with pytest.raises(CommandError, match="so it is left alone"):
        paused(text, "stocktaking")


@pytest.mark.parametrize(
    ("data", "want"),
    [
        ({"default": "image: a"}, "shop.jobs.Sync is not paused."),
        (
            {"default": "paused: x", "shop": "paused: y", "shop.jobs.Other": "paused: z"},
            "shop.jobs.Sync is paused by the key shop: unpause that.",
        ),
        ({"default": "paused: x"}, "shop.jobs.Sync is paused by the key default: unpause that."),
    ],
)
def test_a_class_that_a_shorter_key_pauses_is_told(data: dict[str, str], want: str) -> None:
    assert not_paused(data, "shop.jobs.Sync") == want
