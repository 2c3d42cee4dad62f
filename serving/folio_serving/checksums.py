"""The check digits of identifiers, so that a number is not taken for a card because of its length."""

from __future__ import annotations

_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FO FI GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM TL SO",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""By country, from the SWIFT IBAN registry."""
_MRZ_WEIGHTS = (7, 3, 1)


def is_luhn(digits: str) -> bool:
    """Check the last digit of a card number (ISO/IEC 7812); a run of zeros is no number."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0 and len(set(digits)) > 1


def is_iban_country(code: str) -> bool:
    return code.upper() in _IBAN_LENGTHS


def is_iban(text: str) -> bool:
    """Check an account number (ISO 13616, remainder 1 by 97) at the start of a text without blanks, in
    capitals.
    """
    number = text[: _IBAN_LENGTHS.get(text[:2], 0)]
    if (
        len(number) < 15
        or len(number) < _IBAN_LENGTHS[text[:2]]
        or not (number.isascii() and number.isalnum())
    ):
        return False
    return int("".join(str(int(letter, 36)) for letter in number[4:] + number[:4])) % 97 == 1


def is_nhs_number(digits: str) -> bool:
    """Check the last of the 10 digits of a patient's number in England (remainder by 11)."""
    if len(digits) != 10 or len(set(digits)) == 1:
        return False
    rest = sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return rest != 1 and (11 - rest) % 11 == int(digits[9])


def mrz_digit(field: str) -> str:
    """Return the check digit of a field in a passport's machine-readable zone (ICAO 9303)."""
    values = (0 if letter == "<" else int(letter, 36) for letter in field)
    return str(sum(value * _MRZ_WEIGHTS[place % 3] for place, value in enumerate(values)) % 10)
