"""Grades a text by a rubric."""

from academic.grading.grade import Grade
from academic.grading.rubric import Rubric


def grade_text(text: str, rubric: Rubric) -> Grade:
    """The grade of any text, an empty one included."""
    raise NotImplementedError
