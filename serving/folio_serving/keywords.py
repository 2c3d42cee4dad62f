"""Finds which of many keywords stand in a text: whole words, any case, in one pass however many keywords
there are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"\w+")


class KeywordMatcher:
    """Looks each word of a text up among the keywords' first words.

    A keyword that begins or ends with a letter or digit begins or ends a word there: `art` is not in
    `start`, while `def ` with its blank is in `def f`.
    """

    def __init__(self, keywords: Iterable[str]) -> None:
        by_word: dict[str, list[str]] = defaultdict(list)
        wordless: dict[str, re.Pattern[str]] = {}
        for keyword in sorted({keyword.casefold() for keyword in keywords if keyword}):
            if first := _WORD.match(keyword):
                by_word[first.group()].append(keyword)
            else:
                wordless[keyword] = re.compile(
                    re.escape(keyword) + (r"(?!\w)" if _ends_in_word(keyword) else "")
                )
        self._by_word = dict(by_word)
        self._wordless = wordless

    def found(self, text: str) -> frozenset[str]:
        """Return the keywords, case-folded, that stand in the text."""
        if not self._by_word and not self._wordless:
            return frozenset()
        folded = text.casefold()
        return frozenset((*self._from_words(folded), *self._without_words(folded)))

    def _from_words(self, text: str) -> Iterator[str]:
        for word in _WORD.finditer(text) if self._by_word else ():
            for keyword in self._by_word.get(word.group(), ()):
                if text.startswith(keyword, word.start()) and _ends_there(text, word.start(), keyword):
                    yield keyword

    def _without_words(self, text: str) -> Iterator[str]:
        return (keyword for keyword, pattern in self._wordless.items() if pattern.search(text))


def _ends_in_word(keyword: str) -> bool:
    return _WORD.match(keyword[-1]) is not None


def _ends_there(text: str, start: int, keyword: str) -> bool:
    following = text[start + len(keyword) : start + len(keyword) + 1]
    return not (_ends_in_word(keyword) and following and _WORD.match(following))
