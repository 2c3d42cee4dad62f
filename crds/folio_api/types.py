"""The scalars of the resources: parsed once at the edge, and written back as a person writes them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from folio_api.markers import INT_OR_STRING

UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
SUFFIX_FACTOR = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"


def seconds(text: str) -> float:
    """`1h30m` -> 5400.0. The text is known to match the duration pattern."""
    return sum(float(number) * UNIT_SECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", text))


def duration_text(value: float) -> str:
    """5400.0 -> `1h30m`."""
    left = round(value * 1000)
    text = ""
    for unit, milliseconds in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, milliseconds)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def shown(value: object) -> str:
    """The value as it stands in YAML, cut to a length that fits a line."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:50]}...{text[-1]}"


@dataclass(frozen=True)
class Written:
    """How a scalar is written: a string with a pattern, and what to say when it is not."""

    expected: str
    pattern: str
    max_length: int
    parse: Callable[[str], Any] = str
    write: Callable[[Any], str] = str

    def read(self, value: object) -> Any:
        if not isinstance(value, str):
            raise self._complaint(value)
        if len(value) > self.max_length:
            raise PydanticCustomError(
                "written",
                "{shown} has {count} characters, at most {most} are allowed",
                {"shown": shown(value), "count": len(value), "most": self.max_length},
            )
        if re.search(self.pattern, value) is None or value.endswith("\n"):
            raise self._complaint(value)
        return self.parse(value)

    def _complaint(self, value: object) -> PydanticCustomError:
        """What is wrong, and for a number without quotes or unit how it is written."""
        texts = (str(value), f"{value}s") if _is_number(value) or isinstance(value, str) else ()
        fix = next((text for text in texts if re.search(self.pattern, text)), None)
        context = {
            "shown": shown(value),
            "expected": self.expected,
            "hint": f': write "{fix}"' if fix else "",
        }
        return PydanticCustomError("written", "{shown} is not {expected}{hint}", context)

    def _take(self, value: object) -> Any:
        """In Python a parsed value is as good as its text."""
        return self.read(value) if isinstance(value, str) else value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_plain_validator_function(self.read),
            python_schema=core_schema.no_info_before_validator_function(self._take, handler(source)),
            serialization=core_schema.plain_serializer_function_ser_schema(self.write, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern, "maxLength": self.max_length}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Quantity(str):
    """An amount of a resource as Kubernetes writes it: `4`, `500m`, `16Gi`."""

    __slots__ = ()

    @property
    def value(self) -> Decimal:
        number, suffix = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", self).groups()  # type: ignore[union-attr]
        return Decimal(number) * SUFFIX_FACTOR[suffix]

    @classmethod
    def read(cls, value: object) -> Self:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and len(text) <= 32 and re.fullmatch(QUANTITY_PATTERN, text):
            return cls(text)
        hint = f': write "{value}"' if isinstance(value, float) else ""
        context = {"shown": shown(value), "hint": hint}
        raise PydanticCustomError(
            "written", "{shown} is not an amount such as 4, 500m or 16Gi{hint}", context
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.read,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {INT_OR_STRING: True, "pattern": QUANTITY_PATTERN, "maxLength": 32}


A_DURATION = "a duration such as 500ms, 30s, 10m or 1h30m"
Duration = Annotated[
    float, Written(A_DURATION, r"^([1-9][0-9]{0,5}(ms|s|m|h))+$", 16, seconds, duration_text)
]
"""Seconds, more than none; written `10m`."""

Delay = Annotated[
    float, Written(A_DURATION, r"^(0s|([1-9][0-9]{0,5}(ms|s|m|h))+)$", 16, seconds, duration_text)
]
"""Seconds, or none at all: `0s`."""

Money = Annotated[
    Decimal,
    Written('an amount in USD such as "0.70"', r"^[0-9]{1,9}(\.[0-9]{1,9})?$", 20, Decimal, "{:f}".format),
]
Share = Annotated[
    Decimal,
    Written(
        'a number from 0 to 1 such as "0.62"',
        r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$",
        12,
        Decimal,
        "{:f}".format,
    ),
]
Name = Annotated[
    str,
    Written(
        "a name: lower-case letters, digits and -, beginning with a letter and not ending with -",
        r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        40,
    ),
]
"""DNS-1035, at most 40: names of Folio's objects and of the entries in them."""

ObjectName = Annotated[
    str,
    Written(
        "the name of an object: lower-case letters, digits, - and .",
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        253,
    ),
]
"""DNS-1123: names of Secrets, ConfigMaps, claims."""

DataKey = Annotated[
    str, Written("a key of a Secret or ConfigMap: letters, digits, -, _ and .", r"^[-._a-zA-Z0-9]+$", 253)
]
HeaderName = Annotated[str, Written("the name of an HTTP header such as x-task", r"^[A-Za-z0-9_-]+$", 64)]
Region = Annotated[str, Written("a region such as eu-west", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", 63)]
SqlIdentifier = Annotated[
    str,
    Written(
        "the name of a table: TABLE or SCHEMA.TABLE, of letters, digits and _",
        r"^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$",
        127,
    ),
]
CronSchedule = Annotated[
    str,
    Written(
        'a cron schedule of five fields such as "0 3 * * *"', r"^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$", 100
    ),
]
Digest = Annotated[
    str, Written("a SHA-256 digest: 64 of 0-9 and a-f", r"^([0-9a-f]{64}|[0-9a-f]{4,60}\.\.\.)$", 64)
]
"""The shortened form `9f2c...` is well-formed and never matches a file."""

Image = Annotated[
    str, Written("a container image such as registry/name:tag", r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", 512)
]
HostName = Annotated[
    str,
    Written(
        "a host name such as llm.acme.dev",
        r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        253,
    ),
]

Line = Annotated[str, Field(min_length=1, max_length=512)]
"""A short text."""
Resources = Annotated[Mapping[str, Quantity], Field(max_length=16)]
