"""Whether a text keeps to the response format that the client asked for.

The schema is the client's, so it may not make the gateway work without end or fetch anything: references
outside it are errors, and `pattern` (regular expressions of unbounded cost) is not checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.exceptions import ValidationError as Mismatch
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable


def _unchecked(*_: Any) -> Iterator[Mismatch]:
    return iter(())


def _additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Mismatch]:
    if "patternProperties" not in schema:
        yield from (
            Draft202012Validator.VALIDATORS["additionalProperties"](validator, allowed, instance, schema)
            or ()
        )


_Validator = extend(
    Draft202012Validator,
    {
        "pattern": _unchecked,
        "patternProperties": _unchecked,
        "additionalProperties": _additional,
        "unevaluatedProperties": _unchecked,
    },
)
_NOTHING_OUTSIDE: Registry[Any] = Registry()


def fault(text: str, response_format: Mapping[str, Any] | None) -> str | None:
    """Return why the text does not keep to the format; None when it does, or when none was asked for."""
    kind = (response_format or {}).get("type", "text")
    if kind == "text":
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if kind == "json_schema":
        return _schema_fault(value, _schema(response_format or {}))
    return None if isinstance(value, dict) else "not a JSON object"


def _schema_fault(value: Any, schema: Any) -> str | None:
    if schema is None:
        return None
    try:
        Draft202012Validator.check_schema(schema)
        _Validator(schema, registry=_NOTHING_OUTSIDE).validate(value)
    except Mismatch as error:
        return f"{error.json_path}: {error.message[:200]}"
    except SchemaError as error:
        return f"response_format.json_schema is no schema: {error.message[:200]}"
    except (Unresolvable, RecursionError) as error:
        return f"response_format.json_schema cannot be followed: {type(error).__name__}"
    return None


def _schema(response_format: Mapping[str, Any]) -> Any:
    wrapped = response_format.get("json_schema")
    return wrapped.get("schema") if isinstance(wrapped, Mapping) else None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
