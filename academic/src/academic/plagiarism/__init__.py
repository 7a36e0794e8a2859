"""Finds passages that two submissions have in common, and says whether they are many."""

from academic.plagiarism.comparison import (
    Comparison,
    Document,
    Passage,
    compare,
    is_suspicious,
)

__all__ = ["Comparison", "Document", "Passage", "compare", "is_suspicious"]
