"""Task C, dates and durations to ISO 8601: a grammar to learn from, and a hard tail written by hand."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from random import Random

from tasks.calendar_words import DAY_FORMS, MONTHS, SPOKEN_FORMS, any_day, number_words
from tasks.items import Item, Split, Task

PREFIX = "To ISO: "
TAIL_FILE = Path(__file__).parent.parent / "data" / "hard_dates.tsv"
FIXED_DAYS = {
    "Christmas Day": (12, 25),
    "New Year's Day": (1, 1),
    "New Year's Eve": (12, 31),
    "Halloween": (10, 31),
    "Valentine's Day": (2, 14),
    "Women's Day": (3, 8),
    "All Saints' Day": (11, 1),
    "Epiphany": (1, 6),
}
_STEPS = (
    ("the day after", 1),
    ("the day before", -1),
    ("one week after", 7),
    ("two days after", 2),
    ("three days after", 3),
)
_LEADS = ("", "", "", "", "on ", "by ", "due ", "starting ", "from ", "until ")

Pair = tuple[str, str]


def date_items(split: Split, count: int, rng: Random, avoid: frozenset[str] = frozenset()) -> list[Item]:
    made: dict[str, Item] = {}
    while len(made) < count:
        text, iso = grammar_pair(rng)
        prompt = PREFIX + text
        if prompt not in avoid:
            made.setdefault(
                prompt, Item(f"date-{split}-{len(made):04}", Task.DATE, prompt, (iso,), split, "grammar")
            )
    return list(made.values())


def hard_items(path: Path = TAIL_FILE) -> list[Item]:
    """Return the hand-written tail; every fourth item validates, none trains."""
    rows = [
        line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    splits = [Split.VAL if number % 4 == 3 else Split.TEST for number in range(len(rows))]
    return [
        Item(f"date-hard-{number:03}", Task.DATE, PREFIX + text, tuple(accepted.split("|")), split, "hard")
        for number, ((text, accepted), split) in enumerate(zip(rows, splits, strict=True))
    ]


def grammar_pair(rng: Random) -> Pair:
    makers: tuple[Callable[[Random], Pair], ...] = (
        _plain,
        _plain,
        _spoken,
        _relative,
        _holiday,
        _edge,
        _month,
        _duration,
        _duration,
    )
    return rng.choice(makers)(rng)


def _plain(rng: Random) -> Pair:
    day = any_day(rng)
    return rng.choice(_LEADS) + rng.choice(DAY_FORMS)(day), day.isoformat()


def _spoken(rng: Random) -> Pair:
    day = any_day(rng)
    return rng.choice(SPOKEN_FORMS)(day), day.isoformat()


def _relative(rng: Random) -> Pair:
    day = any_day(rng)
    words, days = rng.choice(_STEPS)
    shown = day.isoformat() if rng.random() < 0.5 else rng.choice(DAY_FORMS)(day)
    if abs(days) == 1 and rng.random() < 0.5:
        words = "tomorrow" if days == 1 else "yesterday"
        return f"{words}, if today is {shown}", (day + timedelta(days=days)).isoformat()
    return f"{words} {shown}", (day + timedelta(days=days)).isoformat()


def _holiday(rng: Random) -> Pair:
    name = rng.choice(tuple(FIXED_DAYS))
    year = rng.randint(1990, 2035)
    return f"{name} {year}", date(year, *FIXED_DAYS[name]).isoformat()


def _edge(rng: Random) -> Pair:
    year, month = rng.randint(1990, 2035), rng.randint(1, 12)
    if rng.random() < 0.5:
        return f"the first day of {MONTHS[month - 1]} {year}", f"{year}-{month:02}-01"
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return f"the last day of {MONTHS[month - 1]} {year}", f"{year}-{month:02}-{last}"


def _month(rng: Random) -> Pair:
    year, month = rng.randint(1990, 2035), rng.randint(1, 12)
    name = MONTHS[month - 1]
    return rng.choice(
        (f"{name} {year}", f"{name[:3]} {year}", f"in {name} of {year}", f"{month:02}/{year}")
    ), f"{year}-{month:02}"


_UNITS = {
    "year": ("P", "Y"),
    "month": ("P", "M"),
    "week": ("P", "W"),
    "day": ("P", "D"),
    "hour": ("PT", "H"),
    "minute": ("PT", "M"),
    "second": ("PT", "S"),
}
_PAIRS = (("year", "month"), ("day", "hour"), ("hour", "minute"), ("minute", "second"))


def _duration(rng: Random) -> Pair:
    if rng.random() < 0.12:
        return rng.choice(
            (
                ("half an hour", "PT30M"),
                ("an hour and a half", "PT1H30M"),
                ("a quarter of an hour", "PT15M"),
                ("one and a half hours", "PT1H30M"),
            )
        )
    if rng.random() < 0.6:
        unit = rng.choice(tuple(_UNITS))
        number = rng.randint(1, 60)
        lead, letter = _UNITS[unit]
        return rng.choice(("", "", "for ", "within ", "every ")) + _counted(
            number, unit, rng
        ), f"{lead}{number}{letter}"
    return _two_units(rng)


def _two_units(rng: Random) -> Pair:
    large, small = rng.choice(_PAIRS)
    first, second = rng.randint(1, 12), rng.randint(1, 50)
    joint = rng.choice((" and ", ", ", " "))
    text = f"{_counted(first, large, rng)}{joint}{_counted(second, small, rng)}"
    (lead, letter), (small_lead, small_letter) = _UNITS[large], _UNITS[small]
    between = "" if lead == small_lead else "T"
    return text, f"{lead}{first}{letter}{between}{second}{small_letter}"


def _counted(number: int, unit: str, rng: Random) -> str:
    count = number_words(number) if rng.random() < 0.5 else str(number)
    if number == 1 and rng.random() < 0.5:
        count = "an" if unit == "hour" else "a"
    return f"{count} {unit}{'' if number == 1 else 's'}"
