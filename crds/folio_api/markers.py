"""What a CRD says beyond JSON Schema: how a list merges, what is free-form, and CEL rules.

Markers sit in the annotations of the resource classes, so that the CRDs and the loader read the same ones.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

OFFENDER = "x-folio-offender"
VALIDATIONS = "x-kubernetes-validations"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"


@dataclass(frozen=True)
class Offender:
    """How `folio` finds the entry of a list that breaks a rule; an API server only names the list."""

    cel: str
    """The value of its key."""
    key: str
    field: str
    """The field of the entry to correct."""


@dataclass(frozen=True)
class Rule:
    """One CEL rule over `self`, and the message that names the fix."""

    cel: str
    message: str
    field: str | None = None
    """The field to correct, or the list with the entry to correct, from `self`: `.name`."""
    offender: Offender | None = None

    def schema(self) -> dict[str, Any]:
        extra = {"fieldPath": self.field, OFFENDER: self.offender}
        given = {name: value for name, value in extra.items() if value is not None}
        return {"rule": " ".join(self.cel.split()), "message": self.message, **given}


def none_of(entries: str, message: str, *, field: str, within: str | None = None, key: str = "name") -> Rule:
    """A rule that holds while a CEL list of entries is empty; `field` of the first one is to be corrected."""
    return Rule(f"size({entries}) == 0", message, within, Offender(f"{entries}[0].{key}", key, field))


@dataclass(frozen=True)
class Extension:
    """Adds schema members to the annotated type."""

    members: tuple[tuple[str, Any], ...]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), **dict(self.members)}


def list_map(key: str = "name") -> Extension:
    """A list whose entries are told apart by `key`; its order means nothing."""
    return Extension(((LIST_TYPE, "map"), (LIST_KEYS, [key])))


def rules(*entries: Rule) -> Extension:
    return Extension(((VALIDATIONS, [entry.schema() for entry in entries]),))


ATOMIC = Extension(((LIST_TYPE, "atomic"),))
SCALAR_SET = Extension(((LIST_TYPE, "set"),))
FREE_FORM = Extension((("type", "object"), (PRESERVE, True)))
