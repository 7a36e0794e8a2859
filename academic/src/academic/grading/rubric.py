"""What an instructor asks of a text: criteria with weights, kept as JSON.

{"criteria": [
  {"kind": "terms", "name": "Concepts", "weight": 3, "concepts": [
    {"name": "osmosis", "forms": ["osmosis", "osmotic"],
     "context": ["water", "membrane", "concentration"]}]},
  {"kind": "structure", "name": "Structure", "weight": 1, "paragraphs": 3},
  {"kind": "length", "name": "Length", "weight": 1, "minimum": 120, "maximum": 400},
  {"kind": "readability", "name": "Readability", "weight": 1, "minimum": 30}]}
"""

from typing import Annotated

import msgspec

from academic.english import words

# Words of its context that make a mention of a concept an explanation.
CONTEXT_WORDS = 2

Weight = Annotated[float, msgspec.Meta(gt=0, le=1000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class Concept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that the text has to explain.

    `forms` are the terms that name it, one of which has to occur; its name alone if there are none.
    `context` are words of which an explanation of it uses some: they tell an explanation from a
    term that is only mentioned. Both match whatever their ending (plural, tense) and case.
    """

    name: Name
    context: Annotated[tuple[Word, ...], msgspec.Meta(min_length=2, max_length=50)]
    forms: Annotated[tuple[Word, ...], msgspec.Meta(max_length=20)] = ()


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="terms"):
    """Concepts that the text has to explain, all of the same worth."""

    name: Name
    weight: Weight
    concepts: Annotated[tuple[Concept, ...], msgspec.Meta(min_length=1, max_length=50)]


class Structure(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="structure"
):
    """At least so many paragraphs (set apart by an empty line) of at least two sentences."""

    name: Name
    weight: Weight
    paragraphs: Annotated[int, msgspec.Meta(ge=1, le=100)]


class Length(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="length"
):
    """Between so many and so many words, of which only those in real sentences count."""

    name: Name
    weight: Weight
    minimum: Count
    maximum: Count


class Readability(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="readability"
):
    """At least this Flesch reading ease: 60 is plain English, 30 an academic paper."""

    name: Name
    weight: Weight
    minimum: Annotated[float, msgspec.Meta(ge=0, le=90)]


Criterion = Terms | Structure | Length | Readability


class Rubric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a text is graded by."""

    criteria: Annotated[tuple[Criterion, ...], msgspec.Meta(min_length=1, max_length=20)]


def rubric_from_json(text: str) -> Rubric:
    """Raises ValueError with a sentence that says what is wrong, and where."""
    try:
        rubric = msgspec.json.decode(text, type=Rubric)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"The rubric cannot be used: {error}.") from error
    names = [criterion.name for criterion in rubric.criteria]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"The rubric has more than one criterion named {min(repeated)!r}.")
    for criterion in rubric.criteria:
        if isinstance(criterion, Length) and criterion.minimum > criterion.maximum:
            raise ValueError(
                f"{criterion.name!r} asks for at least {criterion.minimum} words and at most"
                f" {criterion.maximum}: make the maximum the larger one."
            )
        if isinstance(criterion, Terms):
            _check_concepts(criterion)
    return rubric


def rubric_to_json(rubric: Rubric) -> str:
    """What `rubric_from_json` reads."""
    return msgspec.json.encode(rubric).decode()


def stems_of(text: str) -> tuple[str, ...]:
    """The words of a term, whatever their endings."""
    return tuple(word.stem for word in words(text))


def terms_of(concept: Concept) -> list[tuple[str, ...]]:
    """The terms that name a concept."""
    return [stems_of(form) for form in concept.forms or (concept.name,)]


def context_of(concept: Concept, criterion: Terms) -> frozenset[str]:
    """The words that explain a concept.

    Without those that are in a term: or terms of two concepts would explain each other.
    """
    terms = {stem for other in criterion.concepts for term in terms_of(other) for stem in term}
    return frozenset(stem for word in concept.context for stem in stems_of(word)) - terms


def _check_concepts(criterion: Terms) -> None:
    for concept in criterion.concepts:
        if () in terms_of(concept):
            raise ValueError(
                f"{concept.name!r} in {criterion.name!r} has a term without a letter or digit."
            )
        if len(context_of(concept, criterion)) < CONTEXT_WORDS:
            raise ValueError(
                f"{concept.name!r} in {criterion.name!r} needs two words of context or more that"
                " are no terms themselves: add words that its explanation would use."
            )
