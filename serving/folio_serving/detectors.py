"""Finds common identifiers in texts: a pattern for the shape, a checksum or range where the identifier has
one.

Rules, not learned, so that what they find can be stated; docs/reference/detectors.md states it, limits
included. Every pattern takes time linear in the text: what may repeat without bound is possessive, so
nothing is retried.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from ipaddress import ip_address
from types import MappingProxyType

from folio_serving.checksums import is_iban, is_iban_country, is_luhn, is_nhs_number, mrz_digit
from folio_serving.names import holds_person_name

Detector = Callable[[str], bool]

_CARD = r"(?<!\w)(?<!\d\.)(?=(?:[346]|5(?={gap}[1-5])|2(?={gap}[2-7]))"
"""Where a card number may begin: at a group whose first digits are an issuer's."""
_CARD_RUNS = (
    (
        re.compile(_CARD.format(gap=r"[\s-]{0,3}") + r"(?:[\s-]{0,3}+\d){12})"),
        re.compile(r"\d++(?:[\s-]{1,3}+\d++){0,18}+"),
    ),
    (re.compile(_CARD.format(gap="") + r"\d{1,6}(?:\.\d{2,7}){2})"), re.compile(r"\d++(?:\.\d{2,7}+){2,8}+")),
)
"""Groups apart by blanks, line breaks or hyphens, or by points: where they begin, and how far they go. A
fraction is no group, and dates or addresses beside each other are not one number.
"""
_GROUP = re.compile(r"\d++(?![A-Za-z_@])")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]++@[\w-]++(?:\.[\w-]++)+")
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[\s.-]{0,3}[A-Za-z0-9])")
_IBAN_SPAN = 80
"""Characters that the longest number takes with gaps between its groups."""
_GAPS = re.compile(r"[\s.-]+")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{3,39}(?![\w:])")
_PHONE_START = r"(?<![\w.+])(?:(?<!\d,)|(?=[+(]))"
"""Not within a word or a fraction; behind a comma as in a line of CSV."""
_PHONE_RUN = re.compile(_PHONE_START + r"(?:\+|\(\+?|00(?=[1-9]))?\d++(?:[ ./()-]{1,3}\d++)*+(?![\w@])")
_PHONE_APART = re.compile(
    _PHONE_START + r"(?:\+|\(\+|00(?=[1-9])|\(?0(?=\d\d))\d++(?:[\s./()-]{1,3}\d++){1,6}+(?![\w@])"
)
"""Tabs and line breaks between groups are many in a table: only what begins as a phone number does."""
_NANP = re.compile(r"(?:\+?1[ .-]?)?\(?[2-9]\d\d\)?[ .-]{1,2}[2-9]\d\d[ .-]\d{4}")
_NANP_APART = re.compile(
    _PHONE_START + r"(?:\+?1[\s.-]{1,3})?\(?[2-9]\d\d\)?[\s.-]{1,3}[2-9]\d\d[\s.-]{1,3}\d{4}(?![\w@])"
)
_SSN = re.compile(r"(?<![\d-])(\d{3})([ -])(\d{2})\2(\d{4})(?![\d-])")
_SSN_NAMED = re.compile(r"(?i)\b(?:ssn|social security)\b[^\d\n]{0,24}(\d{3})[ -]?(\d{2})[ -]?(\d{4})\b")
_NHS = re.compile(r"(?<![\d-])\d{3}([ -]?)\d{3}\1\d{4}(?![\d-])")
_RECORD = re.compile(
    r"(?i)\b(?:mrn|medical record|health record|patient (?:id|no|number)|chart (?:no|number)|"
    r"hospital (?:id|no|number))\b[^\d\n]{0,24}(?<![0-9])[a-z]{0,3}-?\d{4,12}\b"
)
_BIRTH = re.compile(
    r"(?i)\b(?:dob|d\.o\.b\.?|date of birth|birth ?date|born|geboren|né|née)\b[^\d\n]{0,16}"
    r"(\d{1,4})[ ./-]{1,2}(\d{1,2}|[a-z]{3,9})[ ,./-]{1,2}(\d{2,4})\b"
)
_BIRTH_WORDS = re.compile(
    r"(?i)\b(?:dob|date of birth|birth ?date|born)\b[^\d\n]{0,16}[a-z]{3,9} \d{1,2},? \d{4}\b"
)
_PASSPORT = re.compile(
    r"(?i)\b(?:passport|reisepass|passeport|pasaporte)\b[^\d\n]{0,24}?\b(?=(?:[a-z]{0,3}\d){4})[a-z\d]{6,10}\b"
)
_PASSPORT_MRZ = re.compile(r"(?<![A-Z0-9<])([A-Z0-9<]{9})(\d)[A-Z<]{3}\d{7}[MFX<]\d{7}")
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abprs]-|sk-|sk_live_|rk_live_)[\w-]{16,}+"
    r"|\beyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\."
)
_CARD_LENGTHS = range(13, 20)
MOST_CANDIDATES = 1000
"""A text with more that have an identifier's shape and fail its checksum is taken to hold one: by chance it
would, and each check takes time.
"""
_DASHES = str.maketrans({0x2010: "-", 0x2011: "-", 0x2012: "-", 0x2013: "-", 0x2014: "-", 0x2212: "-"})
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_DIGIT = re.compile(r"\d")


def detected(names: Iterable[str], texts: Iterable[str]) -> frozenset[str]:
    """Return which of these detectors find something in any of the texts."""
    missing = set(names)
    found: set[str] = set()
    for text in texts:
        plain = _plain(text)
        hits = {name for name in missing if DETECTORS[name](plain)}
        found |= hits
        missing -= hits
        if not missing:
            break
    return frozenset(found)


def _plain(text: str) -> str:
    """Return the text with one spelling for digits, blanks and dashes, so that a wide 4 is a 4."""
    if text.isascii():
        return text
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_DASHES)
    return _DIGIT.sub(lambda digit: str(int(digit.group())), plain)


def _one_passes(candidates: Iterable[str], check: Detector) -> bool:
    return any(count >= MOST_CANDIDATES or check(one) for count, one in enumerate(candidates))


def _credit_card(text: str) -> bool:
    return any(_one_passes(_card_numbers(text, *run), is_luhn) for run in _CARD_RUNS)


def _card_numbers(text: str, begins: re.Pattern[str], run: re.Pattern[str]) -> Iterator[str]:
    """Yield the joined neighbouring groups of a card number's length: other numbers may stand beside it."""
    for start in begins.finditer(text):
        digits = ""
        found = run.match(text, start.start())
        for group in _GROUP.finditer(text, *found.span()) if found else ():
            digits += group.group()
            if len(digits) >= _CARD_LENGTHS.stop:
                break
            if len(digits) in _CARD_LENGTHS:
                yield digits


def _date_of_birth(text: str) -> bool:
    numeric = any(_is_date(*match.groups()) for match in _BIRTH.finditer(text))
    return numeric or _BIRTH_WORDS.search(text) is not None


def _is_date(first: str, middle: str, last: str) -> bool:
    if not middle.isdigit():
        return True
    year, others = (int(first), (middle, last)) if len(first) == 4 else (int(last), (first, middle))
    full = year if year > 99 else 1900 + year
    return any(_exists(full, int(a), int(b)) for a, b in (others, others[::-1]))


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return year >= 1890


def _iban(text: str) -> bool:
    starts = (start.start() for start in _IBAN_START.finditer(text) if is_iban_country(start.group()[:2]))
    spans = (_GAPS.sub("", text[start : start + _IBAN_SPAN]).upper() for start in starts)
    return _one_passes(spans, is_iban)


def _ip_address(text: str) -> bool:
    return any(_is_address(match.group()) for match in _IPV4.finditer(text)) or any(
        _is_address(match.group()) for match in _IPV6.finditer(text) if _has_eight_parts(match.group())
    )


def _has_eight_parts(text: str) -> bool:
    """Tell an address from a time of day before it is read, which takes longer."""
    return "::" in text or text.count(":") == 7


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text)) and text != "::"
    except ValueError:
        return False


def _nhs_number(text: str) -> bool:
    return any(is_nhs_number(re.sub(r"\D", "", match.group())) for match in _NHS.finditer(text))


def _passport(text: str) -> bool:
    return _PASSPORT.search(text) is not None or any(
        mrz_digit(match.group(1)) == match.group(2) for match in _PASSPORT_MRZ.finditer(text)
    )


def _phone(text: str) -> bool:
    runs = (match.group() for pattern in (_PHONE_RUN, _PHONE_APART) for match in pattern.finditer(text))
    return _NANP_APART.search(text) is not None or any(_is_phone(run) for run in runs)


def _is_phone(run: str) -> bool:
    """Take what dials abroad, North American grouping, or a national number with its leading 0 and a gap."""
    digits = re.sub(r"\D", "", run)
    if run.lstrip("(")[:1] == "+":
        return 8 <= len(digits) <= 15
    if digits.startswith("00"):
        return 10 <= len(digits) <= 17
    if _NANP.search(run):
        return True
    return digits.startswith("0") and 9 <= len(digits) <= 12 and len(digits) < len(run)


def _social_security(text: str) -> bool:
    apart = ((m.group(1), m.group(3), m.group(4)) for m in _SSN.finditer(text))
    named = (m.groups() for m in _SSN_NAMED.finditer(text))
    return any(_is_issued(*parts) for parts in (*apart, *named))


def _is_issued(area: str, group: str, serial: str) -> bool:
    return area not in {"000", "666"} and area[0] != "9" and group != "00" and serial != "0000"


def _holds(pattern: re.Pattern[str]) -> Detector:
    return lambda text: pattern.search(text) is not None


DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "CreditCard": _credit_card,
        "DateOfBirth": _date_of_birth,
        "Email": _holds(_EMAIL),
        "IBAN": _iban,
        "IPAddress": _ip_address,
        "MedicalRecordNumber": _holds(_RECORD),
        "NHSNumber": _nhs_number,
        "PassportNumber": _passport,
        "PersonName": holds_person_name,
        "PhoneNumber": _phone,
        "SecretKey": _holds(_SECRET),
        "USSocialSecurityNumber": _social_security,
    }
)
"""Implements every name of `folio_api.detectors`."""
