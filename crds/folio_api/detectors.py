"""The detectors that a data class may use. The data plane implements each; a test compares the two."""

from typing import Final, Literal, get_args

Detector = Literal[
    "CreditCard",
    "DateOfBirth",
    "Email",
    "IBAN",
    "IPAddress",
    "MedicalRecordNumber",
    "NHSNumber",
    "PassportNumber",
    "PersonName",
    "PhoneNumber",
    "SecretKey",
    "USSocialSecurityNumber",
]
DETECTORS: Final[tuple[str, ...]] = get_args(Detector)
