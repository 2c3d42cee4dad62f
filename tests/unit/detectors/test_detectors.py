import time

import pytest

from folio_api.detectors import DETECTORS as NAMES
from folio_serving.detectors import DETECTORS, detected

FOUND = {
    "CreditCard": [
        "pay with 4111 1111 1111 1111 now",
        "ref 12 4111-1111-1111-1111",
        "378282246310005",
        "card:5500005555555559.",
        "7,4111111111111111,12/27",
        "4111.1111.1111.1111",
        "no.4111.1111.1111.1111.",
        "4111\t1111\t1111\t1111",
        "4111  1111  1111  1111",
        "4111 1111\n1111 1111",
        "4111\r\n1111\r\n1111\r\n1111",
        "3782.822463.10005",
        "7 4111\t1111\t1111\t1111 12/27 123",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "5 5\n0000 5555\t55 5559",
        "４１１１ １１１１ １１１１ １１１１",  # noqa: RUF001 - wide digits are digits
        "4111\u00a01111\u00a01111\u00a01111",
        "\u202a4111\u202c 1111\u2063 11\ufe0f11 1111",
        "".join(chr(0x660 + int(digit)) for digit in "4111111111111111"),
    ],
    "DateOfBirth": [
        "DOB: 03/12/1984",
        "born on 1 May 1970",
        "date of birth is 1984-12-03",
        "born May 3, 1980",
    ],
    "Email": ["mail a.b+c@x-y.example.org.", "<ann@example.co>"],
    "IBAN": [
        "DE89 3704 0044 0532 0130 00 please",
        "GB82WEST12345698765432",
        "iban gb82 west 1234 5698 7654 32",
        "from NL91ABNA0417164300, thanks",
        "DE89.3704.0044.0532.0130.00",
        "DE89\t3704\t0044\t0532\t0130\t00",
        "DE89  3704  0044  0532  0130  00",
        "GB82 WEST\r\n1234 5698\r\n7654 32",
    ],
    "IPAddress": ["at 192.168.0.1.", "2001:db8::1"],
    "MedicalRecordNumber": ["MRN: 00482911", "medical record number is H-123456", "patient ID 55231"],
    "NHSNumber": ["943 476 5919", "nhs 9434765919", "943-476-5919"],
    "PassportNumber": [
        "passport no. C01X00T47",
        "passport number 123456789",
        "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    ],
    "PersonName": [
        "please call Dr. Meyer",
        "my name is Ayse Kaya",
        "John Smith said",
        "Mrs O'Neil",
        "Patient: Ayse Kaya",
    ],
    "PhoneNumber": [
        "+49 30 1234567",
        "(555) 234-5678",
        "call 030/1234567",
        "07700 900123",
        "0049 30 1234567",
        "555-234-5678",
        "+14155552671",
        "7,+14155552671,Ann",
        "Ann,555-234-5678",
        "Ann,020 7946 0958",
        "+49\t30\t1234567",
        "+49  30  1234567",
        "0049\n30\n1234567",
        "030\t1234567",
        "(030)\n1234567",
        "555\t234\t5678",
        "(555)\n234.5678",
        "+49.30.1234567",
        "+49 30 1234567\n12345678901",
    ],
    "SecretKey": ["sk-abcdefghijklmnop1234", "AKIAIOSFODNN7EXAMPLE", "-----BEGIN RSA PRIVATE KEY-----"],
    "USSocialSecurityNumber": ["ssn 078-05-1120", "my social security number is 078051120"],
}
NOT_FOUND = {
    "CreditCard": [
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "order 1234567890123",
        "8111 1111 1111 1114",
        "0.4111111111111111",
        "12.4111111111111111",
        "41.11111111111111",
        "45.33.32.156 45.33.32.157 45.33.32.158",
        "22.11.2026 23.11.2026 24.11.2026",
        "4111,1111,1111,1111",
        "4111\n\n\n\n1111 1111 1111",
    ],
    "DateOfBirth": ["meeting 03/12/1984", "born in 1984", "born 45/45/1984"],
    "Email": ["a@b", "@home x@ y", "look @ this"],
    "IBAN": [
        "DE89 3704 0044 0532 0130 01",
        "DE89.3704\t0044\n0532 0130 01",
        "HE12 ABCD 1234 5678 9012",
        "DE89 3704",
    ],
    "IPAddress": ["version 1.2.3", "999.1.1.1", "12:30:45", "at 10:20", "std::vector"],
    "MedicalRecordNumber": ["medical record of our firm", "record 12345678"],
    "NHSNumber": ["943 476 5918", "1111111111"],
    "PassportNumber": ["passport photo 35 mm", "L898902C37UTO7408122F1204159ZE184226B<<<<<10"],
    "PersonName": [
        "what is the capital of France?",
        "New York City",
        "the patient went home",
        "write a function in Python",
        "My name is unknown",
    ],
    "PhoneNumber": [
        "2024-01-02",
        "2024 and 2025",
        "1,234,567",
        "12.05.2024",
        "3.14159265358",
        "3,020 794 6095",
        "01-02-2024",
        "0\t1024\n2048\n1234",
    ],
    "SecretKey": ["sk-learn", "eyJhbGci"],
    "USSocialSecurityNumber": ["000-12-3456", "666-12-3456", "912-34-5678", "123-45-67890"],
}
CASES = [(name, text) for name, texts in FOUND.items() for text in texts]
OTHERS = [(name, text) for name, texts in NOT_FOUND.items() for text in texts]


def test_the_contract_names_exactly_the_detectors_there_are():
    assert tuple(sorted(DETECTORS)) == NAMES
    assert set(FOUND) == set(NOT_FOUND) == set(NAMES)


@pytest.mark.parametrize(("name", "text"), CASES)
def test_an_identifier_is_found(name, text):
    assert detected([name], ["nothing here", text]) == {name}


@pytest.mark.parametrize(("name", "text"), OTHERS)
def test_what_only_looks_alike_is_not_found(name, text):
    assert detected([name], [text]) == frozenset()


def test_only_what_is_wanted_is_looked_for():
    assert detected(["Email"], ["4111 1111 1111 1111 a@b.example"]) == {"Email"}
    assert detected([], ["a@b.example"]) == frozenset()


UNITS = [
    "1",
    "-.",
    "a",
    "@",
    "a@",
    "a.",
    "1:",
    "DE12_",
    "+1",
    "(",
    "12-",
    "(1",
    "mrn_",
    "born_",
    "born_12.",
    "passport_",
    "eyJ",
    "sk-",
    "ssn_",
    "1_/_",
    "Dr._",
    "John_",
    "my_name_is_",
    "1.1.1.",
    "<",
    "a1",
    "Name_Aa_van_",
    "11_",
    "::",
    "'",
    "A.",
    "patient_:",
    "+(0)",
    "a-@",
    "0",
    "4",
    "4_",
    "4\t",
    "41.",
    "41_",
    "+1\n",
    "030\t",
    "1::2_",
]
SIZE = 6_000


@pytest.mark.parametrize("name", NAMES)
def test_time_grows_with_the_text_not_with_its_square(name):
    """Ten times the text may take some ten times as long; a square would take a hundred times."""

    def seconds(size: int) -> float:
        start = time.thread_time()
        for unit in UNITS:
            word = unit.replace("_", " ")
            for text in (
                word * (size // len(word)),
                word * (size // len(word)) + "!",
                "x" + word * (size // len(word)),
            ):
                DETECTORS[name](text)
        return time.thread_time() - start

    seconds(SIZE // 10)
    small, large = min(seconds(SIZE // 10) for _ in range(3)), min(seconds(SIZE) for _ in range(2))
    assert large < 40 * small + 0.01


@pytest.mark.parametrize(("name", "near_miss"), [("CreditCard", "4 "), ("IBAN", "DE12 ")])
def test_a_text_of_nothing_but_near_misses_is_taken_to_hold_one(name, near_miss):
    assert detected([name], [near_miss * 30]) == frozenset()
    assert detected([name], [near_miss * 2000]) == {name}
