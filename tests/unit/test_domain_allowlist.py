"""Which methods of which classes may run."""

import pytest

from bgjobs.domain.allowlist import parse_allowlist, refusal
from bgjobs.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("value", "methods"),
    [
        ("handle", {"handle"}),
        ("handle undo", {"handle", "undo"}),
        ("handle\nundo\n", {"handle", "undo"}),
        (" handle,\tundo , handle ", {"handle", "undo"}),
        ("", set()),
        (" \n,", set()),
    ],
)
def test_methods_are_separated_by_spaces_newlines_or_commas(value: str, methods: set[str]) -> None:
    assert parse_allowlist({"shop.jobs.SyncStock": value}) == {"shop.jobs.SyncStock": methods}


def test_an_empty_allowlist_allows_nothing() -> None:
    assert parse_allowlist({}) == {}


@pytest.mark.parametrize(
    "class_",
    ["SyncStock", "", ".jobs", "shop..Jobs", "shop.jobs.", "shop.1.X", "shop-a.X", "shop.jobs.Ñ"],
)
def test_a_key_that_is_no_dotted_class_breaks_it(class_: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no dotted Python class"):
        parse_allowlist({"shop.jobs.SyncStock": "handle", class_: "handle"})


@pytest.mark.parametrize("method", ["_private", "__init__", "1st", "handle;undo", "handle-it", "é"])
def test_a_method_that_is_not_public_breaks_it_and_is_named(method: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'shop.jobs.SyncStock' lists '{method}'"):
        parse_allowlist({"shop.jobs.SyncStock": f"handle {method}"})


def test_only_ascii_space_separates_methods_as_for_the_admission_policy() -> None:
    with pytest.raises(ConfigurationError, match=r"lists 'handle\\xa0undo'"):
        parse_allowlist({"shop.jobs.SyncStock": "handle\xa0undo"})


def test_a_novel_is_not_quoted_whole() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_allowlist({"shop.jobs.SyncStock": "handle " + "-" * 100_000})
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("class_", "method", "begins"),
    [
        ("shop.jobs.SyncStock", "handle", None),
        ("shop.jobs.SyncStock", "undo", "Method undo of class shop.jobs.SyncStock is not"),
        ("shop.jobs.Other", "handle", "Class shop.jobs.Other is not in the allowlist"),
        ("shop.jobs", "handle", "Class shop.jobs is not"),
        ("shop.jobs.syncstock", "handle", "Class shop.jobs.syncstock is not"),
        ("shop.jobs.SyncStock.Inner", "handle", "Class shop.jobs.SyncStock.Inner is not"),
        ("shop.jobs.Emptied", "handle", "Method handle of class shop.jobs.Emptied is not"),
    ],
)
def test_only_the_exact_class_and_method_are_allowed(
    class_: str, method: str, begins: str | None
) -> None:
    allowlist = parse_allowlist({"shop.jobs.SyncStock": "handle", "shop.jobs.Emptied": ""})
    said = refusal(allowlist, class_, method)
    assert said is None if begins is None else said is not None and said.startswith(begins)


def test_a_refusal_says_what_to_do_next() -> None:
    said = refusal({}, "shop.jobs.SyncStock", "handle") or ""
    assert said.endswith("to add it to ConfigMap bgjobs-allowlist, then retry this job.")
