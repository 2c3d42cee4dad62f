"""Which of a question's words a passage has, weighed by how much each word tells.

A question about something that the documents never mention keeps a word that nothing covers: that, rather
than a low similarity, is what gives it away.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import snowballstemmer

WORD = re.compile(r"[^\W_]+(?:'[a-z]+)?")
INNER_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where the words of a fieldName meet."""
STOP_WORDS = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each either else ever every few for from
    further get gets give given had has have having he her here hers him his how i if in into is it its
    itself just know let like made make makes many may me might more most much must my need needs no nor
    not now of off on once only or other our out over own please same say says shall she should so some
    such take tell than that the their them then there these they this those through to too under until
    up use used very was we were what what's when where which while who whom whose why will with would
    yes you your
    """.split()  # noqa: SIM905 - reads as prose, not as a list
)
_stemmer = snowballstemmer.stemmer("english")


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))


def terms(text: str) -> frozenset[str]:
    """Return the stems of the words that carry meaning."""
    words = (word.removesuffix("'s") for word in WORD.findall(INNER_CAPITAL.sub(" ", text).lower()))
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS)


@dataclass(frozen=True)
class Rarity:
    """How many passages have each term."""

    passages: int
    frequency: Mapping[str, int]

    @classmethod
    def of(cls, texts: Iterable[frozenset[str]]) -> Rarity:
        frequency: Counter[str] = Counter()
        passages = 0
        for text in texts:
            frequency.update(text)
            passages += 1
        return cls(passages, dict(frequency))

    def weight(self, term: str) -> float:
        """Return what one mention tells: most for a term that no passage has."""
        return math.log((self.passages + 1) / (self.frequency.get(term, 0) + 0.5))

    def coverage(self, asked: frozenset[str], text: frozenset[str]) -> float:
        """Return the share, 0 to 1, of the question's weight that the text covers."""
        total = sum(self.weight(term) for term in asked)
        return sum(self.weight(term) for term in asked & text) / total if total else 0.0
