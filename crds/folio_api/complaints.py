"""What pydantic and the schema find wrong, in the words of somebody who writes YAML."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from folio_api.errors import Complaint, Path
from folio_api.structural import Schema
from folio_api.types import shown

SHAPES = {
    "model_type": "a mapping of fields: write {name}: {{{example}}}",
    "model_attributes_type": "a mapping of fields: write {name}: {{{example}}}",
    "dict_type": "a mapping of names to values: write {name}: {{NAME: VALUE}}",
    "mapping_type": "a mapping of names to values: write {name}: {{NAME: VALUE}}",
    "tuple_type": "a list: write - before each entry",
    "bool_type": "true or false: write one of them, without quotes",
}


def complaints(errors: Sequence[ErrorDetails], schema: Schema) -> tuple[Complaint, ...]:
    """The same errors with the path as it is written and the fix, each once."""
    found = [_complaint(error, schema) for error in errors if not _is_miscounted(error)]
    meant = {one.meant for one in found}
    return tuple(one for one in found if one.path not in meant)


def _complaint(error: ErrorDetails, schema: Schema) -> Complaint:
    path = tuple(step for step in error["loc"] if step != "[key]")
    if error["type"] == "extra_forbidden":
        return _unknown(path, at(schema, path[:-1]).get("properties", {}))
    return Complaint(path, _message(error, path, schema))


def _is_miscounted(error: ErrorDetails) -> bool:
    """Whether a list is called too short only because its wrong entries were not counted."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _message(error: ErrorDetails, path: Path, schema: Schema) -> str:
    kind, value, field = error["type"], error["input"], at(schema, path)
    if kind == "missing":
        return _missing(field)
    if kind == "literal_error":
        return one_of(value, field.get("enum", ()))
    if kind == "written":
        return error["msg"]
    if kind in SHAPES:
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        return f"{sort_of(value)} is not {SHAPES[kind].format(name=name, example=_example(field))}"
    return _scalar(kind, value) or _bound(kind, value, error.get("ctx", {})) or error["msg"]


def _example(schema: Schema) -> str:
    """The fields that must be there, or the first that can."""
    fields = list(schema.get("required", ())) or list(schema.get("properties", ()))[:1]
    return ", ".join(f"{field}: ..." for field in fields)


def _scalar(kind: str, value: object) -> str:
    if kind.startswith("int_"):
        hint = ": remove the quotes" if isinstance(value, str) and value.lstrip("-").isdigit() else ""
        return f"{_kind_of(value)} is not a whole number{hint}"
    if kind == "string_type":
        hint = f': write it in quotes, "{_plain(value)}"' if not isinstance(value, list | dict) else ""
        return f"{_kind_of(value)} is not a text{hint}"
    return ""


def _bound(kind: str, value: object, limits: Mapping[str, Any]) -> str:
    told = {
        "greater_than_equal": "{value} is too small: at least {ge}",
        "less_than_equal": "{value} is too large: at most {le}",
        "string_too_short": "is empty: give it a value, or remove the line",
        "string_too_long": "{shown} has {count} characters: at most {max_length} are allowed",
        "too_long": "has {actual_length} entries: at most {max_length} are allowed",
        "too_short": "has {actual_length} entries: at least {min_length} is needed",
    }
    return told.get(kind, "").format(value=value, shown=shown(value), count=len(str(value)), **limits)


def _missing(schema: Schema) -> str:
    if "enum" in schema:
        return f"is missing: one of {', '.join(schema['enum'])}"
    meaning = _lower(schema.get("description", ""))
    return f"is missing: {meaning}".removesuffix(".").removesuffix(": ")


def _lower(sentence: str) -> str:
    """The sentence as it goes on behind a colon: its first word in lower case, unless it is a name or GPU."""
    first = sentence.split(" ", 1)[0]
    return sentence[:1].lower() + sentence[1:] if first[1:].islower() or len(first) == 1 else sentence


def _unknown(path: Path, allowed: Iterable[str]) -> Complaint:
    known = [field for field in allowed if field != "status"]
    near = nearest(str(path[-1]), known)
    meant = (*path[:-1], near) if near else path[:-1]
    return Complaint(path, f"unknown field; {suggestion(str(path[-1]), known)}", meant)


def one_of(value: object, allowed: Iterable[str]) -> str:
    options = list(allowed)
    near = nearest(str(value), options)
    hint = f"; did you mean {near}?" if near else ""
    return f"{_kind_of(value)} is not one of {', '.join(options)}{hint}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or all there is."""
    options = sorted(known)
    near = nearest(name, options)
    return f"did you mean {near}?" if near else f"known here: {', '.join(options)}"


def nearest(name: str, options: Iterable[str]) -> str | None:
    """The closest option, whatever the case and the word breaks."""
    folded = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.replace("_", "").replace("-", "").lower(), folded, n=1, cutoff=0.7)
    return folded[near[0]] if near else None


def _kind_of(value: object) -> str:
    """The value where it is short, its sort otherwise."""
    return sort_of(value) if value is None or isinstance(value, dict | list) else shown(value)


def sort_of(value: object) -> str:
    """What was written instead; not the value itself, which may be a key that belongs into a Secret."""
    sorts = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        bool: "true or false",
        type(None): "an empty value",
    }
    return sorts.get(type(value), "a number")


def _plain(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def at(schema: Schema, path: Path) -> Schema:
    """The schema of the field at the path; empty where the path leaves what is declared."""
    for step in path:
        if isinstance(step, int):
            schema = schema.get("items", {})
        else:
            schema = schema.get("properties", {}).get(step) or schema.get("additionalProperties") or {}
    return schema
