"""Which pairs of submissions academic.plagiarism finds suspicious, and which passages it shows.

tests/data/plagiarism/pairs.tsv names pairs of documents and what is true of them. The half `tuning`
set the limits of the comparison; nothing was changed for the half `measure`.
"""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from academic.plagiarism import Comparison, Document, Passage, compare, is_suspicious

DATA = Path(__file__).parents[1] / "data" / "plagiarism"
with (DATA / "pairs.tsv").open() as file:
    PAIRS = list(csv.DictReader(file, delimiter="\t"))

HONEST = {"honest", "prompt"}
COPIED = {"copied", "reordered", "paraphrased", "renamed", "partly"}

SENTENCES = (
    "The old lighthouse keeper counted eleven ships before the fog swallowed the harbour.",
    "His daughter painted the railings green because rust frightened the summer visitors.",
    "Every Thursday a narrow boat brought paraffin, letters and a basket of warm bread.",
)
OTHER = (
    "Mathematicians proved the four colour theorem with a computer in the seventies.",
    "Many colleagues refused to believe a proof that nobody could read in a lifetime.",
    "Shorter arguments have appeared since, though all of them still need the machine.",
)


def text(*sentences: str) -> Document:
    return Document(" ".join(sentences), "text")


def document(pair: dict[str, str], name: str) -> Document:
    content = (DATA / pair["folder"] / f"{pair[name]}.txt").read_text()
    return Document(content, "text" if pair["folder"].startswith("texts/") else "program")


def compared(pair: dict[str, str]) -> Comparison:
    prompt = (DATA / pair["folder"] / "prompt.txt").read_text()
    return compare(document(pair, "a"), document(pair, "b"), prompt)


@pytest.mark.parametrize("half", ["tuning", "measure"])
def test_copies_are_found_and_honest_work_is_left_alone(
    half: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: Counter[tuple[bool, bool]] = Counter()
    wrong = []
    for pair in PAIRS:
        if pair["half"] != half:
            continue
        found, copied = is_suspicious(compared(pair)), pair["label"] in COPIED
        counts[found, copied] += 1
        if found != copied:
            wrong.append(pair)
    precision = counts[True, True] / (counts[True, True] + counts[True, False])
    recall = counts[True, True] / (counts[True, True] + counts[False, True])
    with capsys.disabled():
        print(
            f"\nplagiarism, {half}: precision {precision:.3f}, recall {recall:.3f}"
            f" over {counts.total()} pairs"
        )
    assert precision >= 0.95, wrong
    assert recall >= 0.9, wrong


def test_the_pairs_are_enough_and_of_all_sorts() -> None:
    measured = [pair for pair in PAIRS if pair["half"] == "measure"]
    assert len(PAIRS) >= 60
    assert len(measured) >= len(PAIRS) / 2
    assert {pair["label"] for pair in measured} == HONEST | COPIED
    halves = {pair["folder"]: pair["half"] for pair in PAIRS}
    assert all(halves[pair["folder"]] == pair["half"] for pair in PAIRS)


@pytest.mark.parametrize(
    "pair", PAIRS, ids=lambda pair: "-".join((pair["folder"], pair["a"], pair["b"]))
)
def test_passages_lie_within_the_documents_in_order_and_apart(pair: dict[str, str]) -> None:
    found = compared(pair)
    in_a = [(passage.a_start, passage.a_end) for passage in found.passages]
    in_b = sorted((passage.b_start, passage.b_end) for passage in found.passages)
    for places, name in ((in_a, "a"), (in_b, "b")):
        edges = list(itertools.chain(*places))
        assert edges == sorted(edges)
        assert all(0 <= edge <= len(document(pair, name).text) for edge in edges)
    assert 0 <= found.similarity <= 1


def test_it_is_the_same_whichever_document_comes_first() -> None:
    a, b = text(*SENTENCES), text(SENTENCES[2], OTHER[0], SENTENCES[0])
    there, back = compare(a, b, ""), compare(b, a, "")
    assert there.similarity == back.similarity
    assert set(there.passages) == {
        Passage(passage.b_start, passage.b_end, passage.a_start, passage.a_end)
        for passage in back.passages
    }


def test_a_passage_shows_the_copied_sentences_and_nothing_else() -> None:
    a, b = text(*SENTENCES), text(OTHER[0], SENTENCES[0], SENTENCES[1], OTHER[1])
    [passage] = compare(a, b, "").passages
    copied = f"{SENTENCES[0]} {SENTENCES[1]}".removesuffix(".")
    assert a.text[passage.a_start : passage.a_end] == copied
    assert b.text[passage.b_start : passage.b_end] == copied


def test_a_copy_within_a_longer_document_is_all_of_the_shorter_one() -> None:
    assert compare(text(*SENTENCES), text(*OTHER, *SENTENCES), "").similarity == 1


@pytest.mark.parametrize(
    "disguise",
    [
        pytest.param(str.upper, id="upper case"),
        pytest.param(lambda text: text.replace("o", "o\u200b"), id="invisible characters"),
        *(
            pytest.param(
                lambda text, unseen=unseen: re.sub(r"(\w)(\w)", rf"\1{unseen}\2", text),
                id=f"unseen U+{ord(unseen):04X}",
            )
            for unseen in "\u034f\u061c\u115f\u17b5\u180e\u2066\u206f\ufe0f\U000e0101\U000e0061"
        ),
        pytest.param(lambda text: text.replace(" ", "\u3164"), id="letters like spaces"),
        pytest.param(lambda text: text.replace(" ", " \u1160 "), id="words of nothing"),
        pytest.param(lambda text: text.replace("e", "е").replace("T", "Т"), id="Cyrillic letters"),
        pytest.param(
            lambda text: text.translate(str.maketrans("aoinvpHET", "αοιnνρΗΕΤ")), id="Greek letters"
        ),
        pytest.param(lambda text: text.replace(" ", "\n   "), id="white space"),
        pytest.param(lambda text: text.replace("fi", "ﬁ").replace(",", " -"), id="typography"),
    ],
)
def test_no_disguise_of_a_text_helps(disguise: Callable[[str], str]) -> None:
    found = compare(text(*SENTENCES), Document(disguise(" ".join(SENTENCES)), "text"), "")
    assert found.similarity > 0.9
    assert is_suspicious(found)


@pytest.mark.parametrize("times", [2, 17, 100])
def test_pasting_a_copy_many_times_does_not_hide_it(times: int) -> None:
    source = (DATA / "programs/primes/first.txt").read_text()
    found = compare(Document(source, "program"), Document(source * times, "program"), "")
    assert found.similarity > 0.9
    assert is_suspicious(found)


def test_what_both_quote_from_the_prompt_does_not_count() -> None:
    prompt = " ".join(SENTENCES)
    a, b = text(*SENTENCES, OTHER[0]), text(*SENTENCES, OTHER[1])
    assert is_suspicious(compare(a, b, ""))
    assert compare(a, b, prompt) == Comparison("text", 0.0, ())


@pytest.mark.parametrize("kind", ["text", "program"])
@pytest.mark.parametrize(
    "content", ["", " \n", "\0", "?!", "(" * 5000, "a " * 5000, '"""', "\ud800"]
)
def test_any_content_can_be_compared(kind: str, content: str) -> None:
    a, b = Document(content, kind), Document(f"x = 1 {content}", kind)  # type: ignore[arg-type]
    assert 0 <= compare(a, b, content).similarity <= 1
    assert 0 <= compare(a, b, "").similarity <= 1


@pytest.mark.parametrize(
    "piece", ["\n ", "!", "'", '"""', "f'{", "ab cd ef gh. ", "a\u200b"], ids=repr
)
def test_a_document_as_large_as_can_be_sent_is_no_burden(piece: str) -> None:
    """What grows with the square of the size would take hours here, and the test with it."""
    content = (piece * 65536)[:65536]
    for kind in ("text", "program"):
        document = Document(content, kind)
        assert compare(document, document, content).similarity <= 1


def test_a_few_equal_lines_prove_nothing() -> None:
    loop = Document("for number in range(10):\n    print(number, number * number)\n", "program")
    found = compare(loop, loop, "")
    assert found.similarity == 1
    assert not is_suspicious(found)


def test_a_list_of_terms_is_no_copy_of_a_text_that_uses_them() -> None:
    terms = (
        "Osmosis, turgor, plasmolysis, membrane, water, concentration, vacuole, wall, pressure. "
    )
    essay = text(
        "Water crosses the membrane by osmosis, to where the concentration is higher.",
        "In the vacuole it builds up a pressure on the wall, the turgor.",
        "Plasmolysis is when the membrane leaves the wall because water leaves the vacuole.",
    )
    assert not is_suspicious(compare(text(terms * 3), essay, ""))


def test_a_text_and_a_program_are_not_compared() -> None:
    with pytest.raises(ValueError, match="A text and a program cannot be compared"):
        compare(Document("", "text"), Document("", "program"), "")
