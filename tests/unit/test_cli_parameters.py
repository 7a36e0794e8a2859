"""What submit makes of the parameters that it is given."""

from typing import Any

import pytest

from bgjobs.cli.errors import UsageError
from bgjobs.cli.parameters import read_parameters


@pytest.mark.parametrize(
    ("pair", "want"),
    [
        ("warehouse=7", {"warehouse": 7}),
        ("name=main hall", {"name": "main hall"}),
        ('name="7"', {"name": "7"}),
        ("on=true", {"on": True}),
        ("rest=null", {"rest": None}),
        ('list=[1, "a"]', {"list": [1, "a"]}),
        ("sum=a=b", {"sum": "a=b"}),
        ("empty=", {"empty": ""}),
        ("number=NaN", {"number": "NaN"}),
        ("number=1e400", {"number": "1e400"}),
        ("broken={", {"broken": "{"}),
    ],
)
def test_a_parameter_is_json_where_it_is_json_and_else_text(
    pair: str, want: dict[str, Any]
) -> None:
    assert read_parameters([pair], None) == want


@pytest.mark.parametrize("pair", ["warehouse", "=7", ""])
def test_a_pair_without_a_name_or_a_value_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="not of the form name=value"):
        read_parameters([pair], None)


@pytest.mark.parametrize(
    "text",
    [
        '{"warehouse": 7, "deep": [1e3, null], "smile": "\\ud83d\\ude00"}',
        '{\n\t"warehouse": 7,\n\t"deep": [1e3, null],\n\t"smile": "😀"\n}',
        '\ufeff{"warehouse": 7, "deep": [1e3, null], "smile": "😀"}',
        "warehouse: 7\ndeep: [1.0e+3, ~]\nsmile: 😀\n",
        "all: &all {deep: [1000, ~], smile: 😀}\n<<: *all\n",
    ],
)
def test_a_file_holds_parameters_as_json_or_yaml(text: str) -> None:
    read = read_parameters(["warehouse=8"], text.encode())
    assert (read["warehouse"], read["deep"], read["smile"]) == (8, [1000, None], "😀")


def test_an_empty_file_holds_none() -> None:
    assert read_parameters([], b"") == {}


@pytest.mark.parametrize(
    ("content", "line", "column", "why"),
    [
        ("a: [\n", 2, 1, "while parsing a flow node, expected the node content"),
        ("a:\n  - 1\n - 2\n", 3, 2, "while parsing a block mapping, expected <block end>"),
        ("a: b: c", 1, 5, "mapping values are not allowed here"),
        ("a: *b", 1, 4, "found undefined alias 'b'"),
        ('{\n\t"a": 1,\n\t"b" 2\n}', 3, 6, "Expecting ':' delimiter"),
        ("{a: 1, b: ]}", 1, 11, "while parsing a flow node"),
        ("a: 1\n---\nb: 2\n", 2, 1, "expected a single document"),
        ("a: 1\nb: \x07", 2, 4, "special characters are not allowed"),
        ("a: 1\nb: ü\udcff", 2, 5, "it is not UTF-8"),
        ("a: 1\nday: 2030-01-31", 2, 6, "2030-01-31 is no value of JSON: put it in quotes"),
        ("a: [1, 12:30]", 1, 8, "12:30 is no number of JSON: put it in quotes"),
        ("a: {b: .nan}", 1, 8, ".nan is no number of JSON: put it in quotes"),
        ("1: one", 1, 1, "1 is no text, as a name must be: put it in quotes"),
        ("? [a]\n: b", 1, 3, "this is no text, as a name must be"),
        ("a: !!set {b}", 1, 4, "this is no value of JSON"),
        ("a: !!python/name:os.system ''", 1, 4, "this is no value of JSON"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(
    content: str, line: int, column: int, why: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read_parameters([], content.encode(errors="surrogateescape"))
    assert str(refused.value).startswith(f"--params-file, line {line}, column {column}: {why}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "must hold one object of JSON values"),
        ("just text", "must hold one object of JSON values"),
        ('{"a": NaN}', "cannot be used: NaN is no number of JSON"),
        ('{"a": 1e400}', "cannot be used: 1e400 is no number of JSON"),
        ("a: &a [*a]", "is nested too deeply"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_file_of_anything_but_an_object_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_parameters([], text.encode())
