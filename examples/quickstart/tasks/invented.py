"""Invented payees and forms of a request, so that a model learns to read and copy, and nothing by heart."""

import json
from pathlib import Path
from random import Random
from typing import Any

_WORDS: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent.parent / "data" / "invented.json").read_text(encoding="utf-8")
)
_NAMES, _FORMS = _WORDS["names"], _WORDS["forms"]
_COMMON_LETTERS = {"onsets": "bbcddfghhjkkllmmnnpprrssttvvwz", "vowels": "aeiou"}
"""Most syllables are made of these, as in most names; the rest are as rare as in the world's."""


def invented_payee(rng: Random) -> str:
    """Return a person's or a firm's name that nobody has."""
    kind = rng.random()
    if kind < 0.6:
        title = rng.choice(("Dr. ", "Mr ", "Mrs ", "Prof. ", "St. ")) if rng.random() < 0.08 else ""
        return title + " ".join(_word(rng) for _ in range(rng.choice((1, 2, 2, 2, 2, 3))))
    if kind < 0.75:
        return f"{_word(rng)} {_name('trades', rng)}"
    if kind < 0.85:
        article = "The " if rng.random() < 0.3 else ""
        return f"{article}{_name('plain', rng)} {_name(rng.choice(('plain', 'trades')), rng)}"
    if kind < 0.93:
        first, second = (_name("plain", rng) if rng.random() < 0.5 else _word(rng) for _ in range(2))
        return f"{first} & {second} {_name('trades', rng)}"
    return f"{_word(rng)}'s {_name('trades', rng)}"


def invented_form(rng: Random) -> str:
    """Return a request with the fields {amount}, {payee} and {date}."""
    if rng.random() < 0.15:
        return _filled_in(rng)
    made = _with_date(_core(rng), rng)
    made = f"{_form('openers', rng)} {made}" if rng.random() < 0.35 else made[0].upper() + made[1:]
    made += rng.choice(("", ".", ".", ".", "!", "?"))
    if rng.random() < 0.3:
        made += f" {_form('closers', rng)}"
    return made.lower() if rng.random() < 0.1 else made


def _core(rng: Random) -> str:
    ask = f"{_form('asks', rng)} " if rng.random() < 0.75 else ""
    makers: tuple[Any, ...] = (
        lambda: f"{ask}{_form('verbs', rng)} {{amount}} {_to(rng)} {{payee}}",
        lambda: f"{ask}{_form('verbs', rng)} {{amount}} {_to(rng)} {{payee}} for {_thing(rng)}",
        lambda: f"{ask}{_form('verbs', rng)} {{payee}} {rng.choice(('', 'the sum of ', 'my '))}{{amount}}",
        lambda: f"{rng.choice(('', '', 'our friend ', 'uncle '))}{{payee}} {_form('gets', rng)} {{amount}}",
        lambda: f"{{payee}} {_form('gets', rng)} {{amount}} for {_thing(rng)}",
        lambda: f"{rng.choice(('', '', 'my share, ', 'exactly '))}{{amount}} {_form('goes', rng)} {{payee}}",
        lambda: f"{_thing(rng)} {_form('with', rng)} {{payee}} {_form('costs', rng)} {{amount}}",
        lambda: (
            f"{_thing(rng)} {_form('costs', rng)} {{amount}}, {_form('verbs', rng)} it {_to(rng)} {{payee}}"
        ),
    )
    made: str = rng.choice(makers)()
    return made


def _with_date(core: str, rng: Random) -> str:
    on = "on" if rng.random() < 0.2 else _form("on", rng)
    alone = on.strip(",; ")
    place = rng.random()
    if place < 0.2:
        return f"{alone} {{date}}{rng.choice((', ', ': ', ' '))}{core}"
    if place < 0.3:
        return f"{core} ({alone} {{date}})"
    if place < 0.4:
        say = rng.choice(("make it", "say", "I think", "and that", "we said", "let us take"))
        return f"{core}, {say} {{date}}"
    return f"{core}{'' if on[0] in ',;' else ' '}{on} {{date}}"


def _filled_in(rng: Random) -> str:
    names = ["amount", "payee", "date"]
    rng.shuffle(names)
    separator = _form("separators", rng)
    if rng.random() < 0.3:
        return separator.join(f"{{{name}}}" for name in names)
    colon = rng.choice((": ", " ", " = ", ":"))
    return separator.join(f"{_form(f'{name}_labels', rng)}{colon}{{{name}}}" for name in names)


def _to(rng: Random) -> str:
    return "to" if rng.random() < 0.5 else _form("to", rng)


def _thing(rng: Random) -> str:
    return f"{rng.choice(('the', 'my', 'our', 'that', 'this', 'her', 'a'))} {_form('things', rng)}"


def _word(rng: Random) -> str:
    made = "".join(_syllable(rng) for _ in range(rng.choice((1, 2, 2, 2, 3, 3, 4))))
    if rng.random() < 0.1:
        made += rng.choice(("-", "'", "")) + "".join(_syllable(rng) for _ in range(2)).title()
    return made[0].upper() + made[1:]


def _syllable(rng: Random) -> str:
    onset = "" if rng.random() < 0.15 else _letters("onsets", 0.35, rng)
    return onset + _letters("vowels", 0.6, rng) + (_name("codas", rng) if rng.random() < 0.45 else "")


def _letters(kind: str, common: float, rng: Random) -> str:
    return rng.choice(_COMMON_LETTERS[kind]) if rng.random() < common else _name(kind, rng)


def _name(kind: str, rng: Random) -> str:
    return rng.choice(_NAMES[kind])


def _form(kind: str, rng: Random) -> str:
    return rng.choice(_FORMS[kind])
