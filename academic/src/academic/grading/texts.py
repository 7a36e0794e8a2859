"""Grades a text by a rubric.

Only real sentences count (academic.grading.prose), and of a concept only its explanation: a
sentence about it with words of its context. What the form of a text earns is limited by its
content, so that a good essay about something else earns little.

What this cannot see is whether a sentence is true. Well-made nonsense in the right words passes,
which is one reason why instructors can override a grade.
"""

import bisect
import re
from collections import Counter
from collections.abc import Sequence

from academic.english import words
from academic.grading.grade import CriterionResult, Grade, grade_of
from academic.grading.prose import Sentence, prose
from academic.grading.rubric import (
    CONTEXT_WORDS,
    Concept,
    Length,
    Readability,
    Rubric,
    Structure,
    Terms,
    context_of,
    stems_of,
    terms_of,
)

# Of a sentence's words beyond grammar those that may be terms of the rubric.
_MOST_TERMS = 0.5
# The form counts fully once this part of the content is there.
_ENOUGH_CONTENT = 0.5

_SENTENCES_OF_A_PARAGRAPH = 2
# Points of reading ease below the minimum at which nothing is left of the score.
_EASE_RANGE = 30.0

_PARAGRAPH_END = re.compile(r"\n\s*\n")
_VOWELS = re.compile(r"[aeiouy]+")

Stems = tuple[str, ...]


def grade_text(text: str, rubric: Rubric) -> Grade:
    """The grade of any text, an empty one included."""
    said = prose(text)
    contents = {
        criterion.name: _terms(said, text, criterion)
        for criterion in rubric.criteria
        if isinstance(criterion, Terms)
    }
    limit = grade_of(contents.values()).score / 100 / _ENOUGH_CONTENT if contents else 1.0
    results = []
    for criterion in rubric.criteria:
        match criterion:
            case Terms():
                results.append(contents[criterion.name])
            case Structure():
                results.append(_limited(_structure(said, text, criterion), limit))
            case Length():
                results.append(_limited(_length(said, text, criterion), limit))
            case Readability():
                results.append(_limited(_readability(said, criterion), limit))
    return grade_of(results)


def _limited(result: CriterionResult, limit: float) -> CriterionResult:
    """The result of a text's form, no better than its content allows."""
    if result.score <= limit:
        return result
    explanation = (
        f"{result.explanation} It counts only in part, because too little of what was asked for is"
        " explained."
    )
    return CriterionResult(result.name, result.weight, limit, explanation)


def _terms(said: Sequence[Sentence], text: str, criterion: Terms) -> CriterionResult:
    parts = {concept: _explained(said, concept, criterion) for concept in criterion.concepts}
    everything = stems_of(text)
    explained, named, missing = [], [], []
    for concept, part in parts.items():
        if part == 1:
            explained.append(concept.name)
        elif any(_occurs(term, everything) for term in terms_of(concept)):
            named.append(concept.name)
        else:
            missing.append(concept.name)
    sentences = []
    if explained:
        sentences.append(f"Explained: {', '.join(explained)}.")
    if named:
        sentences.append(
            f"Named, but not or hardly explained: {', '.join(named)}. Say in whole sentences how it"
            " works or what it does; lists and repetitions do not count."
        )
    if missing:
        sentences.append(f"Not found: {', '.join(missing)}.")
    score = sum(parts.values()) / len(parts)
    return CriterionResult(criterion.name, criterion.weight, score, " ".join(sentences))


def _explained(said: Sequence[Sentence], concept: Concept, criterion: Terms) -> float:
    """How far a concept is explained, from 0 to 1, where it is explained best."""
    context = context_of(concept, criterion)
    found = 0
    for place, sentence in enumerate(said):
        if _names(sentence, concept) and not _is_list(sentence, criterion):
            # What is said of a thing may begin before its name and go on after it: "It ...".
            near = (other.content for other in said[max(0, place - 1) : place + 2])
            found = max(found, len(context & frozenset[str]().union(*near)))
    return min(1.0, found / CONTEXT_WORDS)


def _names(sentence: Sentence, concept: Concept) -> bool:
    stems = tuple(word.stem for word in sentence.words)
    return any(_occurs(term, stems) for term in terms_of(concept))


def _is_list(sentence: Sentence, criterion: Terms) -> bool:
    named = {
        stem
        for concept in criterion.concepts
        if _names(sentence, concept)
        for term in terms_of(concept)
        for stem in term
    }
    return len(named & sentence.content) > _MOST_TERMS * len(sentence.content)


def _structure(said: Sequence[Sentence], text: str, criterion: Structure) -> CriterionResult:
    ends = [match.start() for match in _PARAGRAPH_END.finditer(text)]
    sizes = Counter(bisect.bisect(ends, sentence.words[0].start) for sentence in said)
    paragraphs = sum(size >= _SENTENCES_OF_A_PARAGRAPH for size in sizes.values())
    score = min(1.0, paragraphs / criterion.paragraphs)
    explanation = f"Paragraphs of two or more real sentences: {paragraphs}."
    if score < 1:
        explanation += (
            f" There should be {criterion.paragraphs}: put an empty line between paragraphs, and"
            " develop each thought in at least two sentences."
        )
    return CriterionResult(criterion.name, criterion.weight, score, explanation)


def _length(said: Sequence[Sentence], text: str, criterion: Length) -> CriterionResult:
    count = sum(len(sentence.words) for sentence in said)
    explanation = f"Words in real sentences: {count}."
    if (left_out := len(words(text)) - count) > 0:
        explanation += (
            f" {left_out} more do not count, because they stand in lists, fragments, repetitions or"
            " sentences of over 60 words."
        )
    score = 1.0
    if count < criterion.minimum:
        score = count / criterion.minimum
        explanation += f" There should be at least {criterion.minimum}: say more."
    elif count > criterion.maximum:
        score = criterion.maximum / count
        explanation += (
            f" There should be at most {criterion.maximum}: leave out what matters least."
        )
    return CriterionResult(criterion.name, criterion.weight, score, explanation)


def _readability(said: Sequence[Sentence], criterion: Readability) -> CriterionResult:
    if not said:
        explanation = "There is no sentence to read."
        return CriterionResult(criterion.name, criterion.weight, 0.0, explanation)
    ease = _reading_ease(said)
    score = min(1.0, max(0.0, 1 - (criterion.minimum - ease) / _EASE_RANGE))
    explanation = f"Flesch reading ease: {ease:.0f}."
    if score < 1:
        explanation += (
            f" It should be at least {criterion.minimum:.0f}: make sentences shorter and choose"
            " shorter words."
        )
    return CriterionResult(criterion.name, criterion.weight, score, explanation)


def _reading_ease(said: Sequence[Sentence]) -> float:
    """Flesch: A New Readability Yardstick, 1948. Syllables are counted by groups of vowels."""
    all_words = [word for sentence in said for word in sentence.words]
    syllables = sum(_syllables(word.text) for word in all_words)
    return 206.835 - 1.015 * len(all_words) / len(said) - 84.6 * syllables / len(all_words)


def _syllables(word: str) -> int:
    silent = word.endswith("e") and not word.endswith("le")
    return max(1, len(_VOWELS.findall(word)) - silent)


def _occurs(term: Stems, stems: Stems) -> bool:
    return any(stems[at : at + len(term)] == term for at in range(len(stems) - len(term) + 1))
