"""Secrets and ConfigMaps beside the resources in a file: where `folio up` finds keys and questions."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from folio_api.complaints import sort_of
from folio_api.errors import Complaint
from folio_api.meta import Key


@dataclass(frozen=True)
class Secret:
    """Its values never show in a repr."""

    key: Key
    values: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class ConfigMap:
    key: Key
    values: Mapping[str, str]


def secret(key: Key, document: Mapping[str, Any]) -> tuple[Secret, tuple[Complaint, ...]]:
    complaints = tuple(_misplaced(document))
    if complaints:
        return Secret(key, {}), complaints
    values = {name: base64.b64decode(text) for name, text in (document.get("data") or {}).items()}
    plain = {name: text.encode() for name, text in (document.get("stringData") or {}).items()}
    return Secret(key, {**values, **plain}), ()


def config_map(key: Key, document: Mapping[str, Any]) -> tuple[ConfigMap, tuple[Complaint, ...]]:
    complaints = tuple(_not_text(document, "data"))
    return ConfigMap(key, {} if complaints else dict(document.get("data") or {})), complaints


def _misplaced(document: Mapping[str, Any]) -> Iterator[Complaint]:
    texts = list(_not_text(document, "data")) + list(_not_text(document, "stringData"))
    yield from texts
    if texts:
        return
    for name, text in (document.get("data") or {}).items():
        try:
            base64.b64decode(text, validate=True)
        except binascii.Error:
            yield Complaint(("data", name), "is not base64: write it as it is under stringData")


def _not_text(document: Mapping[str, Any], member: str) -> Iterator[Complaint]:
    values = document.get(member) or {}
    if not isinstance(values, dict):
        message = f"{sort_of(values)} is not a mapping of names to values: write {member}: {{NAME: VALUE}}"
        yield Complaint((member,), message)
        return
    for name, text in values.items():
        if not isinstance(text, str):
            yield Complaint((member, name), f"{sort_of(text)} is not a text: write it in quotes")
