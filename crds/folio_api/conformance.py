"""What an API server checks after the types, unique names and CEL, read from the schema that it gets too."""

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from cel_expr_python import cel

from folio_api.errors import Complaint, Path
from folio_api.markers import LIST_KEYS, LIST_TYPE, OFFENDER, PRESERVE, VALIDATIONS, Offender
from folio_api.structural import Schema
from folio_api.types import shown


def broken_rules(schema: Schema, value: Any, malformed: Collection[Path]) -> tuple[Complaint, ...]:
    """Complaints beside those about malformed fields.

    A rule that reads a malformed field is not asked: its answer would only repeat that in other words.
    """
    return (*_repeated(schema, value, ()), *_unmet(schema, value, (), malformed))


def _parts(schema: Schema, value: Any, path: Path) -> Iterator[tuple[Schema, Any, Path]]:
    """The declared parts one level down."""
    if isinstance(value, list):
        yield from ((schema.get("items", {}), item, (*path, index)) for index, item in enumerate(value))
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        yield from ((properties.get(name, others), part, (*path, name)) for name, part in value.items())


def _repeated(schema: Schema, value: Any, path: Path) -> Iterator[Complaint]:
    """Entries that a list may not hold twice."""
    list_type = schema.get(LIST_TYPE)
    if isinstance(value, list) and list_type in ("map", "set"):
        key = schema[LIST_KEYS][0] if list_type == "map" else None
        yield from _twice(value, path, key)
    for part_schema, part, part_path in _parts(schema, value, path):
        yield from _repeated(part_schema, part, part_path)


def _twice(entries: list[Any], path: Path, key: str | None) -> Iterator[Complaint]:
    seen: list[object] = []
    for index, entry in enumerate(entries):
        identity = entry.get(key) if key and isinstance(entry, dict) else entry
        where = (*path, index, key) if key else (*path, index)
        if identity is not None and identity in seen:
            first = f"{'.'.join(str(step) for step in path[-1:])}[{seen.index(identity)}]"
            yield Complaint(
                where, f"{shown(identity)} stands there twice, first in {first}: remove or rename one"
            )
        seen.append(identity)


def _unmet(schema: Schema, value: Any, path: Path, malformed: Collection[Path]) -> Iterator[Complaint]:
    for rule in schema.get(VALIDATIONS, ()):
        if not _is_asked(rule["rule"], path, malformed):
            continue
        if _answer(rule["rule"], value) is not True:  # an error is no True either
            yield Complaint(_to_correct(rule, value, path), rule["message"])
    if schema.get(PRESERVE):
        return
    for part_schema, part, part_path in _parts(schema, value, path):
        if part_schema:
            yield from _unmet(part_schema, part, part_path, malformed)


def _to_correct(rule: Schema, value: Any, path: Path) -> Path:
    """The field to correct; the last of entries with the same key."""
    within = tuple(rule.get("fieldPath", "").split(".")[1:])
    offender: Offender | None = rule.get(OFFENDER)
    if offender is None:
        return (*path, *within)
    key = _answer(offender.cel, value)
    entries = value[within[0]] if within else value
    index = max(index for index, entry in enumerate(entries) if entry[offender.key] == key)
    return (*path, *within, index, offender.field)


def _answer(expression: str, value: Any) -> Any:
    return _program(expression).eval(data={"self": value}).value()


@cache
def _program(expression: str) -> Any:
    return _environment().compile(expression)


@cache
def _environment() -> Any:
    return cel.NewEnv(variables={"self": cel.Type.DYN})


@cache
def _words(rule: str) -> frozenset[str]:
    """Every member that a rule may read, and some words that it does not."""
    return frozenset(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", rule))


def _is_asked(rule: str, path: Path, malformed: Collection[Path]) -> bool:
    """Whether there is nothing to compare with in a store, and all that the rule reads is well-formed."""
    return "oldSelf" not in rule and not any(_is_read(rule, path, bad) for bad in malformed)


def _is_read(rule: str, path: Path, bad: Path) -> bool:
    if len(bad) <= len(path):
        return path[: len(bad)] == bad
    steps = bad[len(path) :]
    return bad[: len(path)] == path and all(isinstance(step, int) or step in _words(rule) for step in steps)
