"""The three Secrets of a portfolio: what the gateway's pods and the models' pods mount, and Ray's own token.

Pods mount them from birth, whatever they will hold, so that a key or a token never edits a pod template.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping

from folio_api.meta import Key
from folio_api.spec import INTERNAL_TOKEN_FILE, secret_file
from folio_operator.children import (
    ROTATE,
    Manifest,
    gateway_secret,
    metadata,
    models_secret,
    ray_token_secret,
    rotation,
)
from folio_operator.cluster import CONFIG_MAP, SECRET, Body, Kind
from folio_operator.copies import Reader as Mounter
from folio_operator.copies import copies
from folio_operator.credentials import values
from folio_operator.gather import config_map_references
from folio_operator.world import Portfolio

RAY_TOKEN_KEY = "auth_token"  # noqa: S105 - the key that KubeRay looks for
TOKEN_BYTES = 32
Files = Mapping[tuple[Kind, Key], Mapping[str, bytes]]


def new_token() -> str:
    return secrets.token_hex(TOKEN_BYTES)


def internal_token(gateway: Body | None) -> str | None:
    """Return the token that opens the portfolio's own paths, from the gateway's Secret."""
    held = values(gateway).get(INTERNAL_TOKEN_FILE) if gateway else None
    return held.decode() if held else None


def pod_secrets(
    portfolio: Portfolio, files: Files, existing: Mapping[str, Body], mint: Callable[[], str] = new_token
) -> tuple[Manifest, ...]:
    """Return all three; tokens that exist stay as they are."""
    gateway, models, ray = (each(portfolio) for each in (gateway_secret, models_secret, ray_token_secret))
    token = internal_token(existing.get(gateway)) or mint()
    shared = {INTERNAL_TOKEN_FILE: token.encode()}
    held = existing.get(ray)
    rotated = {ROTATE: rotation(portfolio)} if rotation(portfolio) else None
    ray_token = _kept_ray_token(portfolio, held) or mint().encode()
    return (
        _secret(portfolio, gateway, {**shared, **_copied(portfolio, files, "gateway")}),
        _secret(portfolio, models, {**shared, **_copied(portfolio, files, "models")}),
        _secret(portfolio, ray, {RAY_TOKEN_KEY: ray_token}, rotated),
    )


def _kept_ray_token(portfolio: Portfolio, held: Body | None) -> bytes | None:
    """Return the token that is there, unless another one was asked for since."""
    if held is None or (held["metadata"].get("annotations") or {}).get(ROTATE, "") != rotation(portfolio):
        return None
    return values(held).get(RAY_TOKEN_KEY)


def _copied(portfolio: Portfolio, files: Files, mounter: Mounter) -> dict[str, bytes]:
    copied = dict(_keys(portfolio, files, mounter))
    return {**copied, **dict(_certificates(portfolio, files))} if mounter == "gateway" else copied


def _keys(portfolio: Portfolio, files: Files, mounter: Mounter) -> Iterator[tuple[str, bytes]]:
    for copy in copies(portfolio):
        held = files.get((SECRET, Key(portfolio.key.namespace, copy.secret)), {})
        for key, value in held.items():
            if copy.reader == mounter and copy.key in (None, key):
                yield copy.file_of(key), value


def _certificates(portfolio: Portfolio, files: Files) -> Iterator[tuple[str, bytes]]:
    for _, name, key in config_map_references(portfolio.members):
        held = files.get((CONFIG_MAP, Key(portfolio.key.namespace, name)), {})
        if key in held:
            yield secret_file(name, key), held[key]


def _secret(
    portfolio: Portfolio, name: str, content: Mapping[str, bytes], notes: Mapping[str, str] | None = None
) -> Manifest:
    data = {key: base64.b64encode(value).decode() for key, value in sorted(content.items())}
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.name,
        "metadata": metadata(portfolio, name, notes),
        "type": "Opaque",
        "data": data,
    }
