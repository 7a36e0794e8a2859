"""What the form for a new assignment begins with."""

from collections.abc import Mapping

from academic.store.schema import Kind

RUBRICS: Mapping[Kind, str] = {
    Kind.TEXT: """\
{"criteria": [
  {"kind": "terms", "name": "Concepts", "weight": 3, "concepts": [
    {"name": "osmosis", "forms": ["osmosis", "osmotic"],
     "context": ["water", "membrane", "concentration"]}
  ]},
  {"kind": "structure", "name": "Structure", "weight": 1, "paragraphs": 3},
  {"kind": "length", "name": "Length", "weight": 1, "minimum": 120, "maximum": 400},
  {"kind": "readability", "name": "Readability", "weight": 1, "minimum": 30}
]}""",
    Kind.PROGRAM: """\
[
  {"input": "3 4\\n", "expected_output": "7\\n"},
  {"input": "-1 1\\n", "expected_output": "0\\n", "hidden": true}
]""",
}
