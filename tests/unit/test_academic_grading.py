"""Which texts earn a grade by academic.grading, and that stuffing one with terms does not."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from academic.grading import (
    Concept,
    CriterionResult,
    Length,
    Readability,
    Rubric,
    Structure,
    Terms,
    grade_text,
    rubric_from_json,
    rubric_to_json,
)
from academic.grading.prose import prose

ESSAYS = Path(__file__).parents[1] / "data" / "plagiarism" / "texts"

RUBRIC = Rubric(
    (
        Terms(
            "Concepts",
            4,
            (
                Concept(
                    "chlorophyll",
                    ("light", "absorb", "catch", "green", "blue", "energy", "electron"),
                    ("chlorophyll", "pigment"),
                ),
                Concept(
                    "thylakoid",
                    ("membrane", "chloroplast", "sac", "stack", "light", "electron"),
                    ("thylakoid", "grana"),
                ),
                Concept(
                    "ATP", ("energy", "carrier", "charge", "battery", "proton", "gradient", "drive")
                ),
                Concept(
                    "Calvin cycle",
                    ("carbon", "sugar", "dioxide", "stroma", "reduce", "product", "starch"),
                    ("Calvin cycle", "fixation", "dark reactions"),
                ),
                Concept("oxygen", ("water", "split", "free", "release", "waste", "exhaust")),
            ),
        ),
        Structure("Structure", 1, paragraphs=2),
        Length("Length", 1, minimum=80, maximum=300),
        Readability("Readability", 1, minimum=30),
    )
)
TERMS = "chlorophyll thylakoid ATP Calvin cycle oxygen"

SHORT = """\
The green pigment chlorophyll absorbs light. It sits in the membrane of the thylakoids, which are
flat sacs inside a chloroplast. With the energy of the light water is split, and oxygen is set free.

The cell keeps the energy for a moment in a carrier called ATP. In the Calvin cycle this carrier is
spent again: carbon dioxide from the air is fixed, and a sugar is the product.
"""
PLAIN = """\
A leaf is green because of chlorophyll, a pigment that catches the red and blue part of the light
and lets the green part go. We looked at it in the lab: a solution of it glowed red under a lamp.

All of this happens on membranes. They are folded into sacs, the thylakoids, and one chloroplast has
hundreds of these. When light hits them, water is split into its parts. The plant has no use for the
oxygen and lets it out. What it wants is energy in a form that can be carried around, and so it
makes ATP, which works like a charged battery.

In a second step, which is called the Calvin cycle, the plant uses up these batteries. It takes
carbon out of the air and builds sugar from it. When there is no light the batteries are soon empty,
so this step stops at night although it does not need light itself.
"""
OFF_TOPIC = (ESSAYS / "pandemic" / "second.txt").read_text()
OFF_TOPIC_SENTENCES = re.findall(r"[^.]+\.", OFF_TOPIC.replace("\n", " "))

HONEST = {
    "short": SHORT,
    "plain": PLAIN,
    "essay": (ESSAYS / "photosynthesis" / "first.txt").read_text(),
    "essay in pictures": (ESSAYS / "photosynthesis" / "second.txt").read_text(),
    "essay in notes": (ESSAYS / "photosynthesis" / "third.txt").read_text(),
}
STUFFED = {
    "list of terms": TERMS,
    "list with commas": TERMS.replace(" ", ", ") + ".",
    "terms over and over": f"{TERMS} " * 40,
    "terms over and over, as sentences": f"{TERMS}.\n\n" * 40,
    "list with context": "Chlorophyll light absorb pigment green energy, thylakoid membrane light"
    " chloroplast sac, ATP energy carrier charge store, Calvin cycle carbon sugar fix stroma,"
    " oxygen water split free release. " * 5,
    "one sentence again and again": "The chlorophyll of the thylakoid makes ATP for the Calvin"
    " cycle and then there is oxygen. " * 12,
    "the same sentence for each term": "\n\n".join(
        f"A very important part of photosynthesis is the {term}. We have learned in the lesson"
        f" that the {term} is very important."
        for term in ("chlorophyll", "thylakoid", "ATP", "Calvin cycle", "oxygen")
    ),
    "one frame for terms and context": "The chlorophyll is about the light and the energy. The"
    " thylakoid is about the membrane and the stack. The ATP is about the carrier and the gradient."
    " The Calvin cycle is about the sugar and the stroma. The oxygen is about the water and the"
    " waste.",
    "nonsense": "The chlorophyll of my grandmother drives a red tractor to the market. Yesterday a"
    " thylakoid was elected mayor, but nobody in the village had voted for it. If ATP could sing,"
    " the neighbours would close their windows at night.\n\nThe Calvin cycle is parked behind the"
    " cinema, where it waits for its owner. My sister likes oxygen better than the second season of"
    " that series, although the actors are worse. Some people put their chlorophyll on toast and"
    " eat it before they go to the thylakoid with their friends from school.",
    "salad of words": "Thylakoid of the because runs oxygen and blue is chlorophyll on table the."
    " Which ATP has been slowly Calvin cycle for under window the it."
    " Chlorophyll at never was oxygen the into green thylakoid with which of ATP is. " * 4,
    "definitions of one by another": "The chlorophyll is a kind of thylakoid with ATP in it. The"
    " thylakoid is what the oxygen of the Calvin cycle does. The ATP is where we can find"
    " chlorophyll and also oxygen. The Calvin cycle is about thylakoid and about ATP. The oxygen is"
    " for the chlorophyll and for the Calvin cycle.",
    "off the subject, terms at the end": f"{OFF_TOPIC}\n\n{TERMS}",
    "off the subject, terms in a sentence": f"{OFF_TOPIC} All of this has to do with chlorophyll,"
    " with the thylakoid, with ATP, with the Calvin cycle and with oxygen.",
    "off the subject, a term in each sentence": " ".join(
        f"{sentence.rstrip('.')} and {term}."
        for sentence, term in zip(OFF_TOPIC_SENTENCES, TERMS.split() * 3, strict=False)
    ),
    "hidden in one long sentence": OFF_TOPIC.replace(".", f", and {TERMS}, and"),
    "terms and context in one endless sentence": "In the lesson we heard of chlorophyll and of"
    " light and energy and then of the thylakoid, which has to do with a membrane and a sac, and"
    " after that the teacher came to ATP, the carrier, and said something of protons, and then"
    " there was the Calvin cycle with the sugar in it, and the stroma, and at last we wrote down"
    " oxygen and water and that something was split, and then the lesson was over and we went.",
    "a list between words of its context": "This is about light and energy, about a membrane in a"
    " sac, and about a carrier of a charge. There we have the chlorophyll and the thylakoid and"
    " the ATP and the Calvin cycle and the oxygen. Some sugar is in the stroma, and the water is"
    " split.",
    "hidden behind white space": OFF_TOPIC + "\n" * 300 + "\n\n".join(TERMS.split() * 9),
    "hidden in invisible characters": f"{OFF_TOPIC} "
    + " ".join("\u200b".join(term) for term in TERMS.split() * 9),
    "full stops between the terms": ". ".join(TERMS.split() * 9),
}


def result(text: str, name: str, rubric: Rubric = RUBRIC) -> CriterionResult:
    [found] = [each for each in grade_text(text, rubric).per_criterion if each.name == name]
    return found


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST.keys())
def test_honest_texts_earn_a_good_grade(text: str) -> None:
    grade = grade_text(text, RUBRIC)
    assert grade.score >= 70, grade


@pytest.mark.parametrize("text", STUFFED.values(), ids=STUFFED.keys())
def test_stuffing_a_text_with_terms_does_not_earn_a_grade(text: str) -> None:
    grade = grade_text(text, RUBRIC)
    assert grade.score <= 30, grade


OTHER_RUBRICS = {
    "osmosis": Terms(
        "Concepts",
        1,
        (
            Concept("osmosis", ("water", "membrane", "potential", "concentration", "region")),
            Concept(
                "bursting", ("water", "swell", "pressure", "cell", "blood"), ("burst", "lysis")
            ),
            Concept("salt", ("water", "shrink", "leave", "cell", "solution"), ("salt", "brine")),
            Concept("cell wall", ("plant", "cellulose", "turgid", "turgor", "membrane"), ("wall",)),
        ),
    ),
    "networks": Terms(
        "Concepts",
        1,
        (
            Concept(
                "sequence numbers",
                ("order", "byte", "duplicate", "segment", "missing"),
                ("number",),
            ),
            Concept(
                "acknowledgement",
                ("receiver", "confirm", "byte", "timer", "timeout", "segment", "reply"),
                ("acknowledgement", "ACK"),
            ),
            Concept("window", ("receiver", "slow", "limit", "byte", "congestion", "buffer")),
            Concept("UDP", ("late", "voice", "game", "stream", "delay", "sensor", "gap")),
        ),
    ),
}


@pytest.mark.parametrize("subject", OTHER_RUBRICS)
def test_another_rubric_tells_its_subject_from_others(subject: str) -> None:
    rubric = Rubric((OTHER_RUBRICS[subject],))
    scores = {
        path: grade_text(path.read_text(), rubric).score
        for path in ESSAYS.glob("*/*.txt")
        if path.stem in {"first", "second", "third"}
    }
    about = [score for path, score in scores.items() if path.parent.name == subject]
    others = [score for path, score in scores.items() if path.parent.name != subject]
    assert min(about) >= 60
    assert max(others) <= 30


def test_the_honest_outscore_the_stuffed_clearly() -> None:
    worst = min(grade_text(text, RUBRIC).score for text in HONEST.values())
    best = max(grade_text(text, RUBRIC).score for text in STUFFED.values())
    assert worst - best >= 40


def test_stuffing_an_honest_text_gains_nothing() -> None:
    missing = SHORT.replace("called ATP", "for it")
    assert "ATP" in result(missing, "Concepts").explanation
    stuffed = f"{missing}\n\nATP, ATP, ATP. {TERMS} ATP"
    assert grade_text(stuffed, RUBRIC).score <= grade_text(missing, RUBRIC).score


def test_the_student_is_told_what_was_found_and_what_to_do() -> None:
    text = "Chlorophyll absorbs the light. There are thylakoids as well, which I have forgotten."
    explanation = result(text, "Concepts").explanation
    assert "Explained: chlorophyll." in explanation
    assert "hardly explained: thylakoid. Say in whole sentences how it works" in explanation
    assert "Not found: ATP, Calvin cycle, oxygen." in explanation


@pytest.mark.parametrize(
    ("change", "name", "sentence"),
    [
        pytest.param(
            lambda text: text.replace("\n\n", " "),
            "Structure",
            "sentences: 1. There should be 2: put an empty line between paragraphs",
            id="one paragraph",
        ),
        pytest.param(
            lambda text: text + text.partition("\n\n")[0],
            "Length",
            "more do not count, because",
            id="repeats itself",
        ),
        pytest.param(
            lambda text: text,
            "Length",
            r"Words in real sentences: 70. There should be at least 80: say more.",
            id="short",
        ),
    ],
)
def test_the_form_is_explained(change: Callable[[str], str], name: str, sentence: str) -> None:
    assert sentence in result(change(SHORT), name).explanation


def test_too_long_a_text_is_told_so_and_loses_a_part() -> None:
    rubric = Rubric((Length("Length", 1, minimum=10, maximum=35),))
    found = result(SHORT, "Length", rubric)
    assert "at most 35: leave out" in found.explanation
    assert found.score == pytest.approx(0.5)


def test_heavy_sentences_are_told_from_light_ones() -> None:
    rubric = Rubric((Readability("Readability", 1, minimum=60),))
    heavy = (
        "Notwithstanding the considerable heterogeneity of their methodologies, contemporary"
        " investigations into institutional transformation have demonstrated that organisational"
        " complexity necessitates administrative differentiation and that it is irreversible."
    )
    assert (
        result(
            "We like to read short words. They do not hurt our eyes.", "Readability", rubric
        ).score
        == 1
    )
    found = result(heavy, "Readability", rubric)
    assert found.score == 0
    assert "It should be at least 60: make sentences shorter" in found.explanation


def test_the_form_counts_only_as_far_as_the_content_does() -> None:
    found = result(OFF_TOPIC, "Structure")
    assert found.score == 0
    assert "It counts only in part, because too little of what was asked for" in found.explanation
    form = Rubric((Structure("Structure", 1, paragraphs=2),))
    assert result(OFF_TOPIC, "Structure", form).score == 1


@pytest.mark.parametrize(
    "text", ["", " \n", "\0", "?!", "a", "a " * 9000, ". " * 9000, "\ud800", "🦉"]
)
def test_any_text_gets_a_grade(text: str) -> None:
    grade = grade_text(text, RUBRIC)
    assert grade.score == 0
    assert all(each.explanation for each in grade.per_criterion)


def test_eight_times_the_sentences_take_some_eight_times_as_long() -> None:
    """And not 64 times, as it does where every two of them are compared."""

    def seconds(count: int) -> float:
        # No word twice, also of the two texts: what a word is is remembered.
        text = " ".join(f"The a{number} is b{number}." for number in range(count, 2 * count))
        start = time.process_time()
        assert len(prose(text)) == count
        return time.process_time() - start

    assert seconds(8000) < 25 * seconds(1000)


def test_a_rubric_stays_what_it_is_as_json() -> None:
    assert rubric_from_json(rubric_to_json(RUBRIC)) == RUBRIC


LENGTH = {"kind": "length", "name": "Length", "weight": 1, "minimum": 1, "maximum": 2}
CONCEPT = {"name": "ATP", "context": ["energy", "carrier"]}
CONCEPTS = {"kind": "terms", "name": "Concepts", "weight": 1}


@pytest.mark.parametrize(
    ("rubric", "sentence"),
    [
        pytest.param({}, "missing required field `criteria`", id="nothing"),
        pytest.param({"criteria": []}, "length >= 1", id="no criterion"),
        pytest.param({"criteria": [{**LENGTH, "kind": "beauty"}]}, "'beauty'", id="unknown kind"),
        pytest.param(
            {"criteria": [{**LENGTH, "weight": 0}]}, r"criteria\[0\].weight", id="no weight"
        ),
        pytest.param({"criteria": [{**LENGTH, "words": 9}]}, "`words`", id="unknown field"),
        pytest.param(
            {"criteria": [LENGTH, LENGTH]}, "more than one criterion named 'Length'", id="same name"
        ),
        pytest.param(
            {"criteria": [{**LENGTH, "minimum": 9}]}, "make the maximum the larger", id="no range"
        ),
        pytest.param(
            {"criteria": [{**CONCEPTS, "concepts": [{**CONCEPT, "name": "?!"}]}]},
            r"'\?!' in 'Concepts' has a term without a letter",
            id="no word",
        ),
        pytest.param(
            {"criteria": [{**CONCEPTS, "concepts": [{**CONCEPT, "context": ["ATP", "energy"]}]}]},
            "'ATP' in 'Concepts' needs two words of context or more that are no terms",
            id="no context",
        ),
    ],
)
def test_a_rubric_that_cannot_be_used_is_refused_with_the_reason(
    rubric: object, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        rubric_from_json(json.dumps(rubric))


def test_what_is_no_json_is_refused_as_well() -> None:
    for text in ("", "{", "\ud800", "null"):
        with pytest.raises(ValueError, match="The rubric cannot be used"):
            rubric_from_json(text)
